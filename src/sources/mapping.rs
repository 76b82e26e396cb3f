//! From what a foreign system says to our words: one expression a field.
//!
//! The language is that of the conditions in backends' descriptions (minijinja's expressions). An
//! expression sees `item`, the alarm at hand, and `body`, the whole message.
//!
//! What always holds: work is bounded by fuel; what is missing stays missing; no error repeats what
//! a foreign system sent.

use crate::wire::{ALARM_FIELDS, severity_words};
use minijinja::value::{Serde, Value as Variable, ValueKind};
use minijinja::{Environment, Error, UndefinedBehavior, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use ticketgate_actors::model::{Fields, Timestamp};
use ticketgate_actors::ports::Malformed;

/// Steps that the expressions of one field may take.
const FUEL: u64 = 50_000;
/// Alarms in one message; what one group commit takes without others having to wait.
const ITEMS_MAX: usize = 1_000;
/// Fields that are maps and stay maps; every other is text.
const MAPS: [&str; 2] = ["properties", "ticket"];

/// `[source.event]` and its neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MappingSection {
    /// A list: each of its elements is an `item`. Absent: the message is the one item.
    pub each: Option<String>,
    /// True: this item is no alarm, and is left out.
    pub skip: Option<String>,
    /// Names the event: the same again changes nothing. Absent: the message's own id, if it has one.
    pub event_id: Option<String>,
    /// By the name of a field of the alarm event: where it is found.
    pub event: BTreeMap<String, String>,
    /// Their words for a severity, and ours.
    pub severity: BTreeMap<String, String>,
    /// For a severity that is not among them; absent: such an alarm is parked.
    pub severity_default: Option<String>,
}

/// A compiled mapping.
#[derive(Debug)]
pub(super) struct Mapping {
    environment: Environment<'static>,
    section: MappingSection,
    name: String,
}

/// One alarm in our words.
#[derive(Debug, PartialEq)]
pub(super) struct Mapped {
    /// What names the event.
    pub event_id: Option<String>,
    /// The fields of an alarm event.
    pub fields: Fields,
}

impl Mapping {
    /// Compiles a description.
    ///
    /// # Errors
    /// The key at fault, and what is wrong with it.
    pub fn new(name: &str, section: MappingSection) -> Result<Self, (String, String)> {
        let environment = environment();
        let whole =
            [("each", &section.each), ("skip", &section.skip), ("event_id", &section.event_id)];
        let whole =
            whole.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text.as_ref()?)));
        let each = section.event.iter().map(|(key, text)| (format!("event.{key}"), text));
        for (key, text) in whole.chain(each) {
            let compiled = environment.compile_expression(text);
            compiled.map_err(|error| (key, format!("is no expression: {error}")))?;
        }
        if let Some(odd) = section.event.keys().find(|key| !ALARM_FIELDS.contains(&key.as_str())) {
            let what = format!("is no field of an alarm event; known: {}", ALARM_FIELDS.join(", "));
            return Err((format!("event.{odd}"), what));
        }
        for needed in ["id", "state", "object", "raised_at"] {
            if !section.event.contains_key(needed) {
                return Err((format!("event.{needed}"), "is needed".to_owned()));
            }
        }
        let words: Vec<_> = severity_words().collect();
        let default = section.severity_default.iter().map(|word| ("severity_default", word));
        let ours = section.severity.values().map(|word| ("severity", word)).chain(default);
        for (key, word) in ours {
            if !words.contains(&word.as_str()) {
                let what = format!("{word:?} is not one of: {}", words.join(", "));
                return Err((key.to_owned(), what));
            }
        }
        Ok(Self { environment, section, name: name.to_owned() })
    }

    /// The alarms in a message; each in our words, or what is wrong with it.
    ///
    /// # Errors
    /// The message as a whole cannot be read.
    pub fn alarms(&self, body: &[u8]) -> Result<Vec<Result<Mapped, Malformed>>, Malformed> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| whole(format!("cannot be read as JSON: {error}")))?;
        let body = Variable::from(Serde(&body));
        let items = match &self.section.each {
            None => vec![body.clone()],
            Some(expression) => {
                let list = self.value(expression, context! { body => body.clone() });
                let list = list.map_err(|why| whole(format!("each: {why}")))?;
                let is_list = matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable);
                if !is_list || list.len().is_none_or(|items| items > ITEMS_MAX) {
                    let what = format!("each: {expression} is no list of at most {ITEMS_MAX}");
                    return Err(whole(what));
                }
                list.try_iter().map_err(|_| whole("each: no list".to_owned()))?.collect()
            }
        };
        let mapped = items
            .into_iter()
            .map(|item| self.one(&context! { body => body.clone(), item => item }));
        Ok(mapped.filter_map(Result::transpose).collect())
    }

    fn one(&self, around: &Variable) -> Result<Option<Mapped>, Malformed> {
        let at = |key: &str, why| Malformed {
            field: Some(key.to_owned()),
            reason: format!("{key} of source {}: {why}", self.name),
        };
        if let Some(expression) = &self.section.skip {
            let skip = self.value(expression, around.clone()).map_err(|why| at("skip", why))?;
            if skip.is_true() {
                return Ok(None);
            }
        }
        let event_id = match &self.section.event_id {
            None => None,
            Some(expression) => {
                let found = self.value(expression, around.clone());
                text_of(&found.map_err(|why| at("event_id", why))?)
            }
        };
        let mut fields = Fields::new();
        for (key, expression) in &self.section.event {
            let found = self.value(expression, around.clone()).map_err(|why| at(key, why))?;
            let value = match MAPS.contains(&key.as_str()) {
                true => serde_json::to_value(&found).ok().filter(|value| !value.is_null()),
                false => text_of(&found).map(Value::from),
            };
            if let Some(value) = value {
                fields.insert(key.clone(), value);
            }
        }
        fields.entry("source").or_insert_with(|| self.name.clone().into());
        self.severity(&mut fields);
        Ok(Some(Mapped { event_id, fields }))
    }

    /// Their word for ours. One that no map has is left as it is where there is no map at all.
    fn severity(&self, fields: &mut Fields) {
        let theirs = fields.get("severity").and_then(Value::as_str).map(str::to_owned);
        let map = &self.section.severity;
        let ours = theirs.as_ref().and_then(|word| map.get(word)).cloned();
        let ours = ours.or_else(|| theirs.filter(|_| map.is_empty()));
        if let Some(word) = ours.or_else(|| self.section.severity_default.clone()) {
            fields.insert("severity".to_owned(), word.into());
        }
    }

    fn value(&self, expression: &str, around: Variable) -> Result<Variable, String> {
        // Compiling borrows from the environment, and costs some microseconds.
        let compiled = self.environment.compile_expression(expression);
        compiled.and_then(|compiled| compiled.eval(around)).map_err(|error| kind_of(&error))
    }
}

/// A missing or empty value is none.
fn text_of(value: &Variable) -> Option<String> {
    let missing = value.is_undefined() || value.is_none();
    (!missing).then(|| value.to_string()).filter(|text| !text.is_empty())
}

fn whole(reason: String) -> Malformed {
    Malformed { field: None, reason }
}

/// Without the error's detail, which may repeat a value.
fn kind_of(error: &Error) -> String {
    error.kind().to_string()
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.add_filter("from_unix", from_unix);
    environment
}

/// Seconds since 1970, or a text of them, as an RFC 3339 time.
fn from_unix(value: &Variable) -> Result<Variable, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(value.clone());
    }
    let no_number =
        || Error::new(minijinja::ErrorKind::InvalidOperation, "from_unix takes seconds since 1970");
    let seconds: f64 = value.to_string().parse().map_err(|_| no_number())?;
    // Up to the year 9999; a millisecond is exact in a double for as long.
    if !(0.0..=253_402_300_799.0).contains(&seconds) {
        return Err(no_number());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    let millis = (seconds * 1_000.0).round() as i64;
    Ok(Variable::from(Timestamp::from_millis(millis).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mapping(more: &str) -> Result<Mapping, (String, String)> {
        let text = format!(
            "{more}\n[event]\nid = 'item.no'\nstate = \"'cleared' if item.over else 'updated'\"\n\
             object = 'item.host'\nraised_at = 'item.at|from_unix'\nseverity = 'item.level'\n\
             properties = 'item.more'\ntext = 'body.title'\n"
        );
        Mapping::new("probe", toml::from_str(&text).unwrap())
    }

    fn map(more: &str, body: Value) -> Vec<Result<Mapped, Malformed>> {
        mapping(more).unwrap().alarms(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn each_item_becomes_an_alarm_in_our_words() {
        let more = "each = 'body.list'\nskip = \"item.level == 'debug'\"\nevent_id = 'item.uid'\n\
                    severity_default = 'minor'\nseverity = {high = 'critical'}";
        let body = json!({"title": "t", "list": [
            {"no": 7, "host": "a", "at": 1_700_000_000, "level": "high", "uid": "u1"},
            {"no": "8", "host": "b", "at": "1700000000.5", "level": "odd", "over": true,
             "more": {"n": [1, null]}},
            {"no": 9, "level": "debug"},
        ]});
        let mapped = map(more, body);
        assert_eq!(mapped.len(), 2);
        let first = mapped[0].as_ref().unwrap();
        assert_eq!(first.event_id.as_deref(), Some("u1"));
        assert_eq!(
            Value::from(first.fields.clone()),
            json!({"id": "7", "source": "probe", "state": "updated", "severity": "critical",
                   "object": "a", "raised_at": "2023-11-14T22:13:20.000Z", "text": "t"})
        );
        let second = mapped[1].as_ref().unwrap();
        assert_eq!(second.fields["severity"], "minor");
        assert_eq!(second.fields["state"], "cleared");
        assert_eq!(second.fields["raised_at"], "2023-11-14T22:13:20.500Z");
        assert_eq!(second.fields["properties"], json!({"n": [1, null]}));
    }

    #[test]
    fn one_that_cannot_be_mapped_takes_none_with_it() {
        let body = json!([{"no": 1, "at": "soon"}, {"no": 2, "at": 1}]);
        let mapped = map("each = 'body'", body);
        let wrong = mapped[0].as_ref().unwrap_err();
        assert_eq!(wrong.field.as_deref(), Some("raised_at"));
        assert!(!wrong.reason.contains("soon"), "{wrong}");
        assert!(mapped[1].is_ok());
    }

    #[test]
    fn without_a_map_their_words_are_ours() {
        let mapped = map("", json!({"no": 1, "level": "major"}));
        assert_eq!(mapped[0].as_ref().unwrap().fields["severity"], "major");
        let mapped = map("severity = {a = 'major'}", json!({"no": 1, "level": "b"}));
        assert_eq!(mapped[0].as_ref().unwrap().fields["severity"], "b", "which is refused by name");
    }

    #[test]
    fn what_is_no_message_is_refused_as_a_whole() {
        let mapping = mapping("each = 'body.list'").unwrap();
        let many = json!({"list": vec![1; ITEMS_MAX + 1]}).to_string();
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in ["", "<xml/>", "{}", r#"{"list": 3}"#, r#"{"list": {}}"#, &many, &deep] {
            assert!(mapping.alarms(body.as_bytes()).is_err(), "{}", &body[..body.len().min(40)]);
        }
    }

    #[test]
    fn an_expression_that_does_not_end_costs_its_fuel_and_no_more() {
        let text = "each = 'range(100000)|list'\n[event]\nid = '1'\nstate = '1'\nobject = '1'\n\
                    raised_at = '1'";
        let endless = Mapping::new("probe", toml::from_str(text).unwrap()).unwrap();
        assert!(endless.alarms(b"{}").is_err());
    }

    #[test]
    fn what_is_wrong_in_a_description_names_its_key() {
        for (text, key) in [
            ("[event]\nid = 'a'\nobject = 'a'\nraised_at = 'a'", "event.state"),
            ("[event]\nid = 'a +'", "event.id"),
            ("each = '['", "each"),
            (
                "[event]\nid = 'a'\nstate = 'a'\nobject = 'a'\nraised_at = 'a'\nsize = 'a'",
                "event.size",
            ),
            (
                "severity_default = 'bad'\n[event]\nid = 'a'\nstate = 'a'\nobject = 'a'\n\
                 raised_at = 'a'",
                "severity_default",
            ),
        ] {
            let wrong = Mapping::new("probe", toml::from_str(text).unwrap()).unwrap_err();
            assert_eq!(wrong.0, key, "{}", wrong.1);
        }
    }
}
