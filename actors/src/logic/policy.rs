//! From an alarm to its ticket: which backend, which kind, which fields, when, and what a clear or
//! a new raise does. Plain data and functions; the order of rules is the order of the config.

use crate::model::{Alarm, AlarmEvent, BackendId, Fields, Kind, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What happens when an alarm is cleared before its ticket was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClearedFirst {
    /// The ticket is made and closed: every alarm leaves a trace in the ticketing system.
    #[default]
    Create,
    /// No ticket.
    Skip,
}

/// What a clear does to the ticket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClear {
    /// Close it.
    #[default]
    Close,
    /// Set its fields (the level says `cleared`) and leave it open.
    Update,
    /// Leave it alone.
    Nothing,
}

/// What a new occurrence of an alarm does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RaisedAgain {
    /// A new ticket.
    #[default]
    New,
    /// The ticket of the occurrence before is opened again.
    Reopen,
}

/// One rule: the first that matches an alarm decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Shown in `explain`.
    pub name: String,
    /// Matches the source: `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Matches the managed object: `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Matches any of these severities; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severity: Vec<Severity>,
    /// No ticket, for this reason. With an end (`until`): none before that, and then only for what is
    /// still active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_ticket: Option<String>,
    /// From then on the rule matches nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Which backend; none: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendId>,
    /// Which kind of ticket.
    #[serde(default)]
    pub kind: Kind,
}

/// The policy as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// For alarms that no rule sends elsewhere; none: they get no ticket.
    pub default_backend: Option<BackendId>,
    /// Search the backend for the correlation key before a create.
    pub search_first: bool,
    /// Cleared before its ticket was made.
    pub cleared_first: ClearedFirst,
    /// What a clear does.
    pub on_clear: OnClear,
    /// What a new occurrence does.
    pub raised_again: RaisedAgain,
    /// May we close tickets that we found and did not make?
    pub close_adopted: bool,
    /// From an alarm's first event to its create.
    pub create_delay: Duration,
    /// From a change to the update.
    pub update_delay: Duration,
    /// From the clear to the close.
    pub close_delay: Duration,
    /// In order; the first that matches decides.
    pub rules: Vec<Rule>,
}

/// What policy says of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Which backend; none: no ticket.
    pub backend: Option<BackendId>,
    /// Which kind.
    pub kind: Kind,
    /// Why, for `explain`.
    pub reason: String,
    /// No ticket before this time, and none for what is over by then.
    pub quiet_until: Option<Timestamp>,
    /// From an alarm's first event to its create.
    pub create_delay: Duration,
    /// From a change to the update.
    pub update_delay: Duration,
    /// From the clear to the close.
    pub close_delay: Duration,
}

impl Policy {
    /// Which backend and kind an alarm's ticket gets, and why. A wish in the event wins over the
    /// rules, except over a "no ticket".
    pub fn route(&self, event: &AlarmEvent, now: Timestamp) -> Routing {
        self.route_by(&self.rules, event, now)
    }

    fn route_by(&self, rules: &[Rule], event: &AlarmEvent, now: Timestamp) -> Routing {
        let found = rules.iter().enumerate().find(|(_, rule)| rule.matches(event, now));
        let rule = found.map(|(_, rule)| rule);
        let (mut backend, mut kind, mut reason) = match rule {
            Some(Rule { name, no_ticket: Some(why), until: Some(end), .. }) => {
                let behind = found.map_or(&[][..], |(n, _)| &rules[n + 1..]);
                let then = self.route_by(behind, event, now);
                let reason = format!("rule {name}: {why}, until {end}; then {}", then.reason);
                let quiet_until = Some(then.quiet_until.map_or(*end, |other| other.max(*end)));
                return Routing { quiet_until, reason, ..then };
            }
            Some(Rule { name, no_ticket: Some(why), .. }) => {
                return self.with_delays(None, Kind::default(), format!("rule {name}: {why}"));
            }
            Some(rule) => (
                rule.backend.clone().or_else(|| self.default_backend.clone()),
                rule.kind,
                format!("rule {}", rule.name),
            ),
            None => (self.default_backend.clone(), Kind::default(), "default backend".to_owned()),
        };
        let wishes = &event.details.wishes;
        if let Some(wish) = &wishes.backend {
            backend = Some(wish.clone());
            reason = "the event asks for this backend".to_owned();
        }
        if let Some(wish) = wishes.kind {
            kind = wish;
        }
        if backend.is_none() {
            reason = "no rule matches and there is no default backend".to_owned();
        }
        self.with_delays(backend, kind, reason)
    }

    fn with_delays(&self, backend: Option<BackendId>, kind: Kind, reason: String) -> Routing {
        Routing {
            backend,
            kind,
            reason,
            quiet_until: None,
            create_delay: self.create_delay,
            update_delay: self.update_delay,
            close_delay: self.close_delay,
        }
    }

    /// The business fields of an alarm's ticket: the whole level.
    pub fn fields(&self, alarm: &Alarm) -> Fields {
        let details = &alarm.details;
        let mut fields = Fields::new();
        let mut set = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        let severity = details.severity.map_or("indeterminate", Severity::as_str);
        let what = details
            .specific_problem
            .as_deref()
            .or(details.probable_cause.as_deref())
            .or(details.alarm_type.as_deref())
            .or(details.text.as_deref())
            .unwrap_or("alarm");
        let whose = details.object_name.as_deref().unwrap_or(&details.object);
        set("summary", json!(shorten(&format!("{severity}: {what} on {whose}"), SUMMARY_MAX)));
        set("description", json!(details.text.as_deref().unwrap_or(what)));
        set("severity", json!(severity));
        set("alarm_state", json!(if alarm.active { "active" } else { "cleared" }));
        set("alarm_source", json!(alarm.at.alarm.source));
        set("alarm_id", json!(alarm.at.alarm.id));
        set("object", json!(details.object));
        set("raised_at", json!(details.raised_at.to_string()));
        set("changed_at", json!(alarm.changed_at.to_string()));
        set("revision", json!(alarm.wanted_version));
        for (name, value) in [
            ("object_name", &details.object_name),
            ("alarm_type", &details.alarm_type),
            ("probable_cause", &details.probable_cause),
            ("specific_problem", &details.specific_problem),
            ("value", &details.value),
        ] {
            if let Some(value) = value {
                set(name, json!(value));
            }
        }
        for (name, value) in &details.wishes.fields {
            set(name, value.clone());
        }
        fields
    }
}

/// Longest summary in characters: ticketing systems cut or refuse longer ones (Redmine: 255).
const SUMMARY_MAX: usize = 200;

fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(std::iter::once('…')).collect()
}

impl Rule {
    fn matches(&self, event: &AlarmEvent, now: Timestamp) -> bool {
        let text = |pattern: &Option<String>, value: &str| {
            pattern.as_ref().is_none_or(|pattern| glob(pattern, value))
        };
        self.until.is_none_or(|end| now < end)
            && text(&self.source, &event.alarm.source)
            && text(&self.object, &event.details.object)
            && (self.severity.is_empty()
                || event.details.severity.is_some_and(|is| self.severity.contains(&is)))
    }
}

/// Matches a whole text against a pattern in which `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{alarm_event, at};

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, matches) in [
            ("probe", "probe", true),
            ("probe", "probes", false),
            ("probe*", "probes", true),
            ("*", "", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("*-tx", "north-tx", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} on {text}");
        }
    }

    fn rule(name: &str) -> Rule {
        Rule {
            name: name.into(),
            source: None,
            object: None,
            severity: vec![],
            no_ticket: None,
            until: None,
            backend: None,
            kind: Kind::Incident,
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = Policy {
            default_backend: Some(BackendId::new("crm")),
            rules: vec![
                Rule { no_ticket: Some("lab".into()), object: Some("lab/*".into()), ..rule("lab") },
                Rule {
                    severity: vec![Severity::Critical],
                    backend: Some(BackendId::new("noc")),
                    kind: Kind::Problem,
                    ..rule("grave")
                },
            ],
            ..Policy::default()
        };
        let mut event = alarm_event("probe", "1");
        event.details.severity = Some(Severity::Critical);
        let routing = policy.route(&event, at(0));
        assert_eq!(routing.backend, Some(BackendId::new("noc")));
        assert_eq!(routing.kind, Kind::Problem);

        event.details.object = "lab/7".into();
        let routing = policy.route(&event, at(0));
        assert_eq!((routing.backend, routing.reason.as_str()), (None, "rule lab: lab"));

        event.details.object = "x".into();
        event.details.severity = Some(Severity::Minor);
        assert_eq!(policy.route(&event, at(0)).backend, Some(BackendId::new("crm")));
    }

    #[test]
    fn a_wish_of_the_event_wins_and_is_named() {
        let policy = Policy { default_backend: Some(BackendId::new("crm")), ..Policy::default() };
        let mut event = alarm_event("probe", "1");
        event.details.wishes.backend = Some(BackendId::new("noc"));
        assert_eq!(policy.route(&event, at(0)).backend, Some(BackendId::new("noc")));
        assert!(policy.route(&event, at(0)).reason.contains("asks"));
    }

    #[test]
    fn a_rule_with_an_end_holds_back_until_then_and_matches_no_more() {
        let work =
            Rule { no_ticket: Some("planned work".into()), until: Some(at(100)), ..rule("work") };
        let policy = Policy {
            default_backend: Some(BackendId::new("crm")),
            rules: vec![work],
            ..Policy::default()
        };
        let event = alarm_event("probe", "1");
        let during = policy.route(&event, at(99));
        assert_eq!(
            (during.backend, during.quiet_until),
            (Some(BackendId::new("crm")), Some(at(100)))
        );
        assert!(
            during.reason.starts_with("rule work: planned work, until 1970"),
            "{}",
            during.reason
        );
        let after = policy.route(&event, at(100));
        assert_eq!((after.quiet_until, after.reason.as_str()), (None, "default backend"));
    }
}
