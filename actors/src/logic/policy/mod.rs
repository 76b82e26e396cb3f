//! From an alarm to its ticket: which backend, which kind, which fields, when, and what a clear or
//! a new raise does. Plain data and functions; the order of rules is the order of the config.

mod level;
mod rule;
mod seen;
mod ways;

pub use rule::Rule;
pub use seen::{FIELD_NAMES, NAMES};
pub use ways::{ClearedFirst, FieldValue, OnClear, PersonClosed, RaisedAgain, Storm, Ways};

use super::topology::Topology;
use crate::changes::Level;
use crate::model::{Alarm, AlarmEvent, BackendId, Fields, Kind, Op, Timestamp};
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Longest value of a group; what is longer is cut, and may then group what it should not.
pub const GROUP_MAX: usize = 200;

/// The policy as configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// For alarms that no rule sends elsewhere; none: they get no ticket.
    pub default_backend: Option<BackendId>,
    /// How tickets are treated that no rule speaks of.
    pub ways: Ways,
    /// In order; the first that matches decides.
    pub rules: Vec<Rule>,
    /// Over it, creates wait.
    pub storm: Option<Storm>,
    /// Where managed objects lie.
    pub topology: Arc<Topology>,
    /// Fields of which the other side of a sync is master: written when a ticket is made, and then never
    /// by an alarm.
    pub mastered: Arc<HashMap<BackendId, HashSet<String>>>,
}

/// What policy says of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Which backend; none: no ticket.
    pub backend: Option<BackendId>,
    /// Which kind.
    pub kind: Kind,
    /// The rule that decided; none: no rule matched.
    pub rule: Option<String>,
    /// Its alarms share a ticket with those of the same rule and group.
    pub group: Option<String>,
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
    /// Changes of these fields cause an update; none: of all but `properties`.
    pub update_on: Option<Arc<[String]>>,
}

impl Policy {
    /// Which backend and kind an alarm's ticket gets, and why. A wish in the event wins over the
    /// rules, except over a "no ticket".
    pub fn route(&self, event: &AlarmEvent, now: Timestamp) -> Routing {
        let seen = OnceCell::new();
        let see = || seen.get_or_init(|| seen::of_event(event, &self.topology)).clone();
        self.route_by(&self.rules, event, &see, now)
    }

    fn route_by(
        &self,
        rules: &[Rule],
        event: &AlarmEvent,
        see: &dyn Fn() -> minijinja::Value,
        now: Timestamp,
    ) -> Routing {
        let place = rules.iter().position(|rule| rule.matches(event, see, now));
        let rule = place.map(|n| &rules[n]);
        let (mut backend, mut kind, mut reason) = match rule {
            Some(Rule { name, no_ticket: Some(why), until: Some(end), .. }) => {
                let behind = place.map_or(&[][..], |n| &rules[n + 1..]);
                let then = self.route_by(behind, event, see, now);
                let reason = format!("rule {name}: {why}, until {end}; then {}", then.reason);
                let quiet_until = Some(then.quiet_until.map_or(*end, |other| other.max(*end)));
                return Routing { quiet_until, reason, ..then };
            }
            Some(Rule { name, no_ticket: Some(why), .. }) => {
                let reason = format!("rule {name}: {why}");
                return Routing { rule: Some(name.clone()), reason, ..Routing::default() };
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
        let ways = rule.map_or(&self.ways, |rule| &rule.ways);
        let group = rule.and_then(|rule| rule.group_by.as_ref()).and_then(|by| by.text(&see()));
        Routing {
            backend,
            kind,
            rule: rule.map(|rule| rule.name.clone()),
            group: group.map(|value| value.chars().take(GROUP_MAX).collect()),
            reason,
            quiet_until: None,
            create_delay: ways.create_delay,
            update_delay: ways.update_delay,
            close_delay: ways.close_delay,
            update_on: ways.update_on.clone(),
        }
    }

    /// How the ticket of this alarm is treated: as its rule says, if that is still there.
    pub fn ways(&self, alarm: &Alarm) -> &Ways {
        let rule =
            alarm.rule.as_ref().and_then(|name| self.rules.iter().find(|it| it.name == *name));
        rule.map_or(&self.ways, |rule| &rule.ways)
    }

    /// What a request that has not been sent yet is to say, now that its alarm has moved on; none: it
    /// is not wanted any more.
    pub fn level(&self, op: Op, alarm: &Alarm, others: &[Alarm]) -> Option<Level> {
        let still_wanted = match op {
            Op::Create => true,
            Op::Update => {
                let told = self.ways(alarm).on_clear.updates();
                alarm.active || told || others.iter().any(|other| other.active)
            }
            Op::Reopen => alarm.active,
            Op::Close => !alarm.active,
        };
        let fields = || self.fields_for(op, alarm, others);
        still_wanted.then(|| Level { version: alarm.wanted_version, fields: fields() })
    }

    /// The business fields of an alarm's ticket: the whole level.
    pub fn fields(&self, alarm: &Alarm) -> Fields {
        self.fields_of(alarm, &[])
    }

    /// What this operation may write of them.
    pub fn fields_for(&self, op: Op, alarm: &Alarm, others: &[Alarm]) -> Fields {
        let mut fields = self.fields_of(alarm, others);
        let theirs = alarm.backend.as_ref().and_then(|backend| self.mastered.get(backend));
        if let Some(theirs) = theirs.filter(|_| op != Op::Create) {
            fields.retain(|name, _| !theirs.contains(name));
        }
        fields
    }

    /// The business fields of a ticket that this alarm shares with others.
    pub fn fields_of(&self, alarm: &Alarm, others: &[Alarm]) -> Fields {
        let mut all: Vec<&Alarm> = others.iter().chain([alarm]).collect();
        all.sort_by(|a, b| (a.first_seen, &a.at).cmp(&(b.first_seen, &b.at)));
        level::fields(&all, self.ways(alarm), &self.topology)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::expression::{Expression, Template};
    use crate::logic::occurrence::{Absorbed, absorb};
    use crate::logic::topology::Hop;
    use crate::model::Severity;
    use crate::testing::{alarm_event, at};

    fn rule(name: &str) -> Rule {
        Rule { name: name.into(), ..Rule::default() }
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

    fn table() -> Arc<Topology> {
        let hop = Hop { node: "edge-3".into(), owner: "field".into(), ..Hop::default() };
        Arc::new(Topology::new([("tx/1".to_owned(), hop)]))
    }

    fn alarm(policy: &Policy, id: &str, severity: Severity, millis: i64) -> Alarm {
        let mut event = alarm_event("probe", id);
        event.details.severity = Some(severity);
        let routing = policy.route(&event, at(millis));
        match absorb(None, &event, &routing, at(millis)) {
            Absorbed::Opened(alarm) => alarm,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rule_may_ask_where_the_object_lies_and_group_by_it() {
        let by_owner = Rule {
            when: Some(Expression::new("topology.first.owner == 'field'", &NAMES).unwrap()),
            group_by: Some(Expression::new("topology.last.node", &NAMES).unwrap()),
            backend: Some(BackendId::new("noc")),
            ..rule("field")
        };
        let policy = Policy { rules: vec![by_owner], topology: table(), ..Policy::default() };
        let mut event = alarm_event("probe", "1");
        let routing = policy.route(&event, at(0));
        assert_eq!(routing.backend, Some(BackendId::new("noc")));
        assert_eq!(
            (routing.rule.as_deref(), routing.group.as_deref()),
            (Some("field"), Some("edge-3"))
        );
        event.details.object = "tx/2".into();
        assert_eq!(policy.route(&event, at(0)).backend, None, "it is not in the table");
    }

    #[test]
    fn a_rule_has_its_own_ways_and_fields() {
        let title = Template::new("{{ topology.first.node }}: {{ text }}", &FIELD_NAMES).unwrap();
        let empty = Template::new("{{ properties.nothing }}", &FIELD_NAMES).unwrap();
        let fields = [
            ("summary".to_owned(), FieldValue::Written(title)),
            ("description".to_owned(), FieldValue::Written(empty)),
            ("queue".to_owned(), FieldValue::Fixed(7.into())),
        ];
        let ways = Ways { fields: Arc::new(fields), on_clear: OnClear::Note, ..Ways::default() };
        let policy = Policy {
            rules: vec![Rule { ways, ..rule("all") }],
            topology: table(),
            ..Policy::default()
        };
        let mut one = alarm(&policy, "1", Severity::Major, 0);
        let fields = policy.fields(&one);
        assert_eq!(fields["summary"], "edge-3: loss of signal");
        assert_eq!((fields.get("description"), &fields["queue"]), (None, &7.into()));
        one.active = false;
        assert!(policy.fields(&one)["note"].as_str().unwrap().contains("was cleared at"));
        one.rule = Some("gone".into());
        assert_eq!(policy.fields(&one).get("note"), None, "the rule is no more");
    }

    #[test]
    fn of_several_alarms_the_first_active_one_speaks_and_the_gravest_tells_how_bad_it_is() {
        let policy = Policy::default();
        let mut first = alarm(&policy, "1", Severity::Critical, 0);
        let second = alarm(&policy, "2", Severity::Minor, 1);
        let third = alarm(&policy, "3", Severity::Major, 2);
        first.active = false;
        let fields = policy.fields_of(&third, &[first, second]);
        assert_eq!(fields["severity"], "major");
        assert_eq!(fields["alarm_id"], "2");
        assert_eq!(fields["alarm_count"], 2);
        assert!(fields["summary"].as_str().unwrap().starts_with("3 alarms: minor: "));
        let list = "cleared: probe/1 on tx/1\nminor: probe/2 on tx/1\nmajor: probe/3 on tx/1";
        assert_eq!(fields["alarms"], list);
    }
}
