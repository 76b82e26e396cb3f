//! `[policy]` and its rules, and what the logic makes of them.
//!
//! A rule may set every way of the policy for its own alarms; what it leaves out is as the policy says.

use crate::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::logic::expression::{Expression, Template};
use ticketgate_actors::logic::occurrence::UPDATE_ON;
use ticketgate_actors::logic::policy::{
    ClearedFirst, FIELD_NAMES, FieldValue, NAMES, OnClear, PersonClosed, Policy, RaisedAgain, Rule,
    Storm, Ways,
};
use ticketgate_actors::logic::topology::Topology;
use ticketgate_actors::model::{BackendId, Kind, Severity, Timestamp};

/// Rules of one policy: each event is held against them one by one.
const RULES_MAX: usize = 1_000;
/// Tickets that a storm's limit may count.
const STORM_MAX: u32 = 100_000;

/// `[policy]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySection {
    /// The backend of alarms that no rule sends elsewhere; empty: they get no ticket.
    pub default_backend: String,
    /// Search the backend for the correlation key before a create.
    pub search_first: bool,
    /// An alarm was cleared before its ticket was made: `create` or `skip`.
    pub cleared_first: ClearedFirst,
    /// What a clear does: `close`, `resolve`, `note`, `update` or `nothing`.
    pub on_clear: OnClear,
    /// What a new occurrence does: `new` or `reopen`.
    pub raised_again: RaisedAgain,
    /// Raised again within this time after its clear, an alarm goes on with the ticket that it had.
    #[serde(with = "words::duration")]
    pub flapping: Duration,
    /// A person closed its ticket while the alarm is active: its next change leaves it so, opens it
    /// again, or makes a new one.
    pub person_closed: PersonClosed,
    /// Close tickets that were found and not made by us.
    pub close_adopted: bool,
    /// From an alarm's first event to its create.
    #[serde(with = "words::duration")]
    pub create_delay: Duration,
    /// From a change to the update.
    #[serde(with = "words::duration")]
    pub update_delay: Duration,
    /// From the clear to the close; of alarms that share a ticket, from the last one's.
    #[serde(with = "words::duration")]
    pub close_delay: Duration,
    /// Fields of the alarm whose change causes an update; absent: all but `properties`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_on: Option<Vec<String>>,
    /// No more tickets than so many, a backend; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm: Option<StormSection>,
    /// Fields of the ticket, as templates over the alarm.
    pub fields: BTreeMap<String, toml::Value>,
    /// The first rule that matches decides.
    pub rule: Vec<RuleSection>,
}

/// `[policy.storm]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StormSection {
    /// Tickets of one backend, 1 to 100,000.
    pub tickets: u32,
    /// Within this time.
    #[serde(with = "words::duration")]
    pub within: Duration,
}

/// `[[policy.rule]]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSection {
    /// Shown in `explain`; its own.
    pub name: String,
    /// Matches the source: `*` stands for any characters.
    pub source: Option<String>,
    /// Matches the managed object: `*` stands for any characters.
    pub object: Option<String>,
    /// Matches any of these severities; none: all.
    pub severity: Vec<Severity>,
    /// Matches where this expression is true.
    pub when: Option<String>,
    /// No ticket, for this reason.
    pub no_ticket: Option<String>,
    /// From then on the rule matches nothing.
    pub until: Option<Timestamp>,
    /// Which backend; none: the default one.
    pub backend: Option<BackendId>,
    /// Which kind of ticket.
    pub kind: Kind,
    /// Alarms with the same value of this expression share a ticket while it is open.
    pub group_by: Option<String>,
    /// As in `[policy]`, and so are all that follow.
    pub search_first: Option<bool>,
    #[allow(missing_docs)]
    pub cleared_first: Option<ClearedFirst>,
    #[allow(missing_docs)]
    pub on_clear: Option<OnClear>,
    #[allow(missing_docs)]
    pub raised_again: Option<RaisedAgain>,
    #[allow(missing_docs)]
    #[serde(with = "words::optional_duration")]
    pub flapping: Option<Duration>,
    #[allow(missing_docs)]
    pub person_closed: Option<PersonClosed>,
    #[allow(missing_docs)]
    pub close_adopted: Option<bool>,
    #[allow(missing_docs)]
    #[serde(with = "words::optional_duration")]
    pub create_delay: Option<Duration>,
    #[allow(missing_docs)]
    #[serde(with = "words::optional_duration")]
    pub update_delay: Option<Duration>,
    #[allow(missing_docs)]
    #[serde(with = "words::optional_duration")]
    pub close_delay: Option<Duration>,
    #[allow(missing_docs)]
    pub update_on: Option<Vec<String>>,
    /// Laid over the policy's own.
    pub fields: BTreeMap<String, toml::Value>,
}

/// A fault: its key below `policy`, and what is wrong.
type Fault = (String, String);

impl PolicySection {
    /// As the logic takes it.
    ///
    /// # Errors
    /// Every fault: its key below `policy`, and what is wrong.
    pub fn policy(&self, topology: Arc<Topology>) -> Result<Policy, Vec<Fault>> {
        let mut faults = Vec::new();
        let ways = self.ways(&mut faults);
        let mut rules: Vec<Rule> = Vec::new();
        for (n, section) in self.rule.iter().enumerate() {
            let mut of_rule = Vec::new();
            let rule = section.rule(self, &ways, &mut of_rule);
            if rules.iter().any(|other| other.name == rule.name) {
                of_rule.push(("name".to_owned(), format!("{:?} is there twice", rule.name)));
            }
            faults
                .extend(of_rule.into_iter().map(|(key, what)| (format!("rule[{n}].{key}"), what)));
            rules.push(rule);
        }
        if rules.len() > RULES_MAX {
            faults.push(("rule".to_owned(), format!("there may be {RULES_MAX}")));
        }
        if let Some(storm) = &self.storm {
            if !(1..=STORM_MAX).contains(&storm.tickets) {
                let what = format!("must be 1 to {STORM_MAX}");
                faults.push(("storm.tickets".to_owned(), what));
            }
            if storm.within.is_zero() {
                faults.push(("storm.within".to_owned(), "must be longer than 0s".to_owned()));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Policy {
            default_backend: (!self.default_backend.is_empty())
                .then(|| BackendId::new(&self.default_backend)),
            ways,
            rules,
            storm: self.storm.as_ref().map(|it| Storm { tickets: it.tickets, within: it.within }),
            topology,
            mastered: Arc::default(),
        })
    }

    fn ways(&self, faults: &mut Vec<Fault>) -> Ways {
        Ways {
            search_first: self.search_first,
            cleared_first: self.cleared_first,
            on_clear: self.on_clear,
            raised_again: self.raised_again,
            flapping: self.flapping,
            person_closed: self.person_closed,
            close_adopted: self.close_adopted,
            create_delay: self.create_delay,
            update_delay: self.update_delay,
            close_delay: self.close_delay,
            update_on: self.update_on.as_deref().map(|names| update_on(names, faults)),
            fields: fields(&self.fields, faults).into(),
        }
    }
}

impl RuleSection {
    fn rule(&self, policy: &PolicySection, ways: &Ways, faults: &mut Vec<Fault>) -> Rule {
        let mut expression = |key: &str, text: &Option<String>| {
            let built = Expression::new(text.as_deref()?, &NAMES);
            built.map_err(|what| faults.push((key.to_owned(), what))).ok()
        };
        let when = expression("when", &self.when);
        let group_by = expression("group_by", &self.group_by);
        if self.name.is_empty() {
            faults.push(("name".to_owned(), "is needed".to_owned()));
        }
        if self.until.is_some() && self.no_ticket.is_none() {
            faults.push(("until".to_owned(), "belongs to no_ticket".to_owned()));
        }
        // The rule's own over the policy's, by name.
        let mut all = policy.fields.clone();
        all.extend(self.fields.clone());
        let own = |own: Option<Duration>, other: Duration| own.unwrap_or(other);
        let ways = Ways {
            search_first: self.search_first.unwrap_or(ways.search_first),
            cleared_first: self.cleared_first.unwrap_or(ways.cleared_first),
            on_clear: self.on_clear.unwrap_or(ways.on_clear),
            raised_again: self.raised_again.unwrap_or(ways.raised_again),
            flapping: own(self.flapping, ways.flapping),
            person_closed: self.person_closed.unwrap_or(ways.person_closed),
            close_adopted: self.close_adopted.unwrap_or(ways.close_adopted),
            create_delay: own(self.create_delay, ways.create_delay),
            update_delay: own(self.update_delay, ways.update_delay),
            close_delay: own(self.close_delay, ways.close_delay),
            update_on: match &self.update_on {
                Some(names) => Some(update_on(names, faults)),
                None => ways.update_on.clone(),
            },
            fields: fields(&all, faults).into(),
        };
        Rule {
            name: self.name.clone(),
            source: self.source.clone(),
            object: self.object.clone(),
            severity: self.severity.clone(),
            when,
            no_ticket: self.no_ticket.clone(),
            until: self.until,
            backend: self.backend.clone(),
            kind: self.kind,
            group_by,
            ways,
        }
    }
}

fn update_on(names: &[String], faults: &mut Vec<Fault>) -> Arc<[String]> {
    for name in names {
        if !UPDATE_ON.contains(&name.as_str()) && !name.starts_with("properties.") {
            let known = UPDATE_ON.join(", ");
            let what = format!("{name:?} is not one of {known}, properties.NAME");
            faults.push(("update_on".to_owned(), what));
        }
    }
    names.into()
}

/// A field's name goes into descriptions' templates as `fields.NAME`.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|it| it.is_ascii_alphabetic())
        && letters.all(|it| it.is_ascii_alphanumeric() || it == '_')
        && name.len() <= 64
}

fn fields(
    sections: &BTreeMap<String, toml::Value>,
    faults: &mut Vec<Fault>,
) -> Vec<(String, FieldValue)> {
    let mut fields = Vec::new();
    for (name, value) in sections {
        let key = || format!("fields.{name}");
        if !is_name(name) {
            let what = "is a name of letters, digits and _, at most 64";
            faults.push((key(), what.to_owned()));
        }
        let value = match value {
            toml::Value::String(text) => match Template::new(text, &FIELD_NAMES) {
                Ok(template) => FieldValue::Written(template),
                Err(what) => {
                    faults.push((key(), what));
                    continue;
                }
            },
            toml::Value::Integer(number) => FieldValue::Fixed((*number).into()),
            toml::Value::Float(number) => FieldValue::Fixed((*number).into()),
            toml::Value::Boolean(yes) => FieldValue::Fixed((*yes).into()),
            _ => {
                faults
                    .push((key(), "is a text with {{ expressions }}, a number or true".to_owned()));
                continue;
            }
        };
        fields.push((name.clone(), value));
    }
    fields
}
