//! The alarm event (CONTRACT 1.3): fields to a checked [`AlarmEvent`].
//!
//! What always holds: an event that comes out of here has a name, a state, a time and an object,
//! a severity unless it is a clear, strings within their limits, and wishes that can be granted.
//! Which event is older, and what it changes, is left to the logic.

use super::canary;
use super::reader::Reader;
use ticketgate_actors::logic::correlation;
use ticketgate_actors::model::{
    AlarmEvent, AlarmRef, AlarmState, BackendId, Details, Fields, Kind, Mark, Said, Severity,
    Wishes,
};
use ticketgate_actors::ports::Malformed;

/// Characters of a name (`id`, `source`, `object`): it becomes part of keys, links and routing
/// keys, and an alarm is looked up by it.
const MAX_NAME: usize = 256;
/// Characters of one line (`object_name`, `probable_cause`, `value` and their like).
const MAX_LINE: usize = 1024;
/// Characters of free text; ticketing systems cut descriptions at 4,000 to 32,000.
const MAX_TEXT: usize = 16 * 1024;

/// The fields that are read; all others are left in the raw body.
pub const FIELDS: &[&str] = &[
    "id",
    "source",
    "state",
    "severity",
    "raised_at",
    "changed_at",
    "object",
    "object_name",
    "alarm_type",
    "probable_cause",
    "specific_problem",
    "text",
    "value",
    "properties",
    "ticket",
];

const STATES: &[(&str, AlarmState)] = &[
    ("raised", AlarmState::Raised),
    ("updated", AlarmState::Updated),
    ("cleared", AlarmState::Cleared),
];

/// `cleared` is X.733's sixth severity; here it is a state, so it means no severity.
const SEVERITIES: &[(&str, Option<Severity>)] = &[
    ("critical", Some(Severity::Critical)),
    ("major", Some(Severity::Major)),
    ("minor", Some(Severity::Minor)),
    ("warning", Some(Severity::Warning)),
    ("indeterminate", Some(Severity::Indeterminate)),
    ("cleared", None),
];

/// What a severity may be called.
pub fn severity_words() -> impl Iterator<Item = &'static str> {
    SEVERITIES.iter().map(|(word, _)| *word)
}

pub(super) const KINDS: &[(&str, Kind)] =
    &[("incident", Kind::Incident), ("change", Kind::Change), ("problem", Kind::Problem)];

const MARKS: &[(&str, bool)] = &[("snapshot_begin", false), ("snapshot_end", true)];

/// Reads the fields of `body`: an alarm event, the beginning or end of a snapshot, or a test alarm.
///
/// # Errors
/// The first field at fault, and what is wrong with it.
pub fn said(fields: Fields, body: &[u8], known: &[BackendId]) -> Result<Said, Malformed> {
    if canary::is_test(&fields) {
        return canary::read(fields).map(Said::Test);
    }
    let state = fields.get("state").and_then(|state| state.as_str());
    match state.and_then(|state| MARKS.iter().find(|(word, _)| *word == state)) {
        Some((_, ends)) => mark(fields, *ends).map(Said::Mark),
        None => alarm(fields, body, known).map(Said::from),
    }
}

fn mark(fields: Fields, ends: bool) -> Result<Mark, Malformed> {
    let mut from = Reader::new(fields);
    let source = from.name("source", MAX_NAME)?;
    let pass = from.name("id", MAX_NAME)?;
    let raised_at = from.time("raised_at")?;
    let at = from.time("changed_at")?.or(raised_at);
    Ok(Mark { source, pass, ends, at })
}

/// Reads the fields of `body`. `known` are the configured backends: a wish for another one could
/// never be granted, so its sender should hear of it.
///
/// # Errors
/// The first field at fault, and what is wrong with it.
pub fn alarm(fields: Fields, body: &[u8], known: &[BackendId]) -> Result<AlarmEvent, Malformed> {
    let mut from = Reader::new(fields);
    let id = from.name("id", MAX_NAME)?;
    let source = from.name("source", MAX_NAME)?;
    let state = from.word("state", STATES)?;
    let mut state = from.require("state", state)?;
    let severity = match (from.word("severity", SEVERITIES), state) {
        // A clear needs none: a word that nobody knows must not keep the ticket open.
        (Err(_) | Ok(None), AlarmState::Cleared) => None,
        (Err(fault), _) => return Err(fault),
        (Ok(Some(Some(severity))), _) => Some(severity),
        (Ok(Some(None)), _) => {
            state = AlarmState::Cleared;
            None
        }
        (Ok(None), _) => return Err(from.fault("severity", "is missing")),
    };
    let raised_at = from.time("raised_at")?;
    let raised_at = from.require("raised_at", raised_at)?;
    let changed_at = from.time("changed_at")?;
    let details = Details {
        severity,
        raised_at,
        object: from.name("object", MAX_NAME)?,
        object_name: from.text("object_name", MAX_LINE)?,
        alarm_type: from.text("alarm_type", MAX_LINE)?,
        probable_cause: from.text("probable_cause", MAX_LINE)?,
        specific_problem: from.text("specific_problem", MAX_LINE)?,
        text: from.text("text", MAX_TEXT)?,
        value: from.text("value", MAX_LINE)?,
        properties: from.map("properties")?,
        wishes: wishes(from.part("ticket", "ticket.")?, known)?,
    };
    let body_hash = correlation::body_hash(body);
    Ok(AlarmEvent { alarm: AlarmRef { source, id }, state, changed_at, details, body_hash })
}

fn wishes(mut from: Reader, known: &[BackendId]) -> Result<Wishes, Malformed> {
    let backend = match from.text("backend", MAX_NAME)? {
        None => None,
        Some(name) => match known.iter().find(|backend| backend.as_str() == name) {
            Some(backend) => Some(backend.clone()),
            None => {
                let known = known.iter().map(BackendId::as_str);
                return Err(from.unknown("backend", &name, known));
            }
        },
    };
    Ok(Wishes { backend, kind: from.word("kind", KINDS)?, fields: from.map("fields")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use ticketgate_actors::model::Timestamp;

    fn full() -> Value {
        json!({
            "id": "a1", "source": "probe", "state": "updated", "severity": "major",
            "raised_at": "2026-11-21T11:00:00.5+01:00", "changed_at": "2026-11-21T10:00:01Z",
            "object": "tx/1", "object_name": "Transmitter 1", "alarm_type": "equipment",
            "probable_cause": "los", "specific_problem": "port 3", "text": "Loss of signal",
            "value": "-97 dBm", "properties": {"site": "north", "n": [1, {"a": null}]},
            "ticket": {"backend": "crm", "kind": "problem", "fields": {"priority": 2}, "new": 1},
            "a_field_of_tomorrow": {"x": [1]},
        })
    }

    fn read(message: Value) -> Result<AlarmEvent, Malformed> {
        let Value::Object(fields) = message else { panic!("the tests give maps") };
        alarm(fields.into(), b"body", &[BackendId::new("crm"), BackendId::new("noc")])
    }

    fn with(name: &str, value: Value) -> Value {
        let mut message = full();
        message[name] = value;
        message
    }

    #[test]
    fn every_field_is_read_and_unknown_ones_are_ignored() {
        let event = read(full()).unwrap();
        assert_eq!(event.alarm.to_string(), "probe/a1");
        assert_eq!(event.state, AlarmState::Updated);
        assert_eq!(event.changed_at, Some(Timestamp::from_millis(1_795_255_201_000)));
        assert_eq!(event.body_hash, correlation::body_hash(b"body"));
        let details = event.details;
        assert_eq!(details.severity, Some(Severity::Major));
        assert_eq!(details.raised_at, Timestamp::from_millis(1_795_255_200_500));
        assert_eq!(details.object, "tx/1");
        assert_eq!(details.object_name.as_deref(), Some("Transmitter 1"));
        assert_eq!(details.alarm_type.as_deref(), Some("equipment"));
        assert_eq!(details.probable_cause.as_deref(), Some("los"));
        assert_eq!(details.specific_problem.as_deref(), Some("port 3"));
        assert_eq!(details.text.as_deref(), Some("Loss of signal"));
        assert_eq!(details.value.as_deref(), Some("-97 dBm"));
        assert_eq!(details.properties["n"], json!([1, {"a": null}]));
        assert_eq!(details.wishes.backend, Some(BackendId::new("crm")));
        assert_eq!(details.wishes.kind, Some(Kind::Problem));
        assert_eq!(Value::from(details.wishes.fields), json!({"priority": 2}));
    }

    #[test]
    fn a_clear_needs_no_severity_and_the_severity_cleared_is_a_clear() {
        for (state, severity, kept) in [
            ("cleared", json!(null), None),
            ("cleared", json!("cleared"), None),
            ("raised", json!("cleared"), None),
            ("cleared", json!("minor"), Some(Severity::Minor)),
            ("cleared", json!("page"), None),
        ] {
            let mut message = with("severity", severity);
            message["state"] = json!(state);
            let event = read(message).unwrap();
            assert_eq!((event.state, event.details.severity), (AlarmState::Cleared, kept));
        }
    }

    #[test]
    fn what_is_optional_may_be_absent_or_null() {
        let bare = json!({
            "id": "a1", "source": "probe", "state": "raised", "severity": "warning",
            "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1", "text": null, "ticket": null,
        });
        let event = read(bare).unwrap();
        assert_eq!(event.changed_at, None);
        assert_eq!(event.details.text, None);
        assert_eq!(event.details.wishes, Wishes::default());
    }

    #[test]
    fn whatever_is_wrong_names_its_field() {
        let long = "x".repeat(MAX_NAME + 1);
        for (name, value, field, reason) in [
            ("id", json!(null), "id", "id is missing"),
            ("id", json!("  "), "id", "id is empty"),
            ("id", json!(7), "id", "id must be a string, not a number"),
            ("id", json!(long), "id", "id has 257 characters; 256 are allowed"),
            ("source", json!(""), "source", "source is empty"),
            ("state", json!(null), "state", "state is missing"),
            (
                "state",
                json!("RAISED"),
                "state",
                "state \"RAISED\" is not one of: raised, updated, cleared",
            ),
            ("severity", json!(null), "severity", "severity is missing"),
            (
                "severity",
                json!("awful"),
                "severity",
                "severity \"awful\" is not one of: critical, major, minor, warning, \
                 indeterminate, cleared",
            ),
            ("severity", json!(["major"]), "severity", "severity must be a string, not an array"),
            ("raised_at", json!(null), "raised_at", "raised_at is missing"),
            (
                "raised_at",
                json!("yesterday"),
                "raised_at",
                "raised_at \"yesterday\" is not an RFC 3339 time with an offset \
                 (for example 2026-11-21T10:00:00Z)",
            ),
            ("raised_at", json!(17), "raised_at", "raised_at must be a string, not a number"),
            (
                "changed_at",
                json!("2026-11-21T10:00:00"),
                "changed_at",
                "changed_at \"2026-11-21T10:00:00\" is not an RFC 3339 time with an offset \
                 (for example 2026-11-21T10:00:00Z)",
            ),
            ("object", json!(null), "object", "object is missing"),
            (
                "text",
                json!("x".repeat(MAX_TEXT + 1)),
                "text",
                "text has 16385 characters; 16384 are allowed",
            ),
            ("value", json!(1.5), "value", "value must be a string, not a number"),
            ("properties", json!([]), "properties", "properties must be a map, not an array"),
            ("ticket", json!("crm"), "ticket", "ticket must be a map, not a string"),
            (
                "ticket",
                json!({"backend": "cmr"}),
                "ticket.backend",
                "ticket.backend \"cmr\" is not one of: crm, noc",
            ),
            (
                "ticket",
                json!({"kind": "event"}),
                "ticket.kind",
                "ticket.kind \"event\" is not one of: incident, change, problem",
            ),
            (
                "ticket",
                json!({"fields": true}),
                "ticket.fields",
                "ticket.fields must be a map, not true or false",
            ),
        ] {
            let error = read(with(name, value)).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{error}");
            assert_eq!(error.reason, reason);
        }
    }
}
