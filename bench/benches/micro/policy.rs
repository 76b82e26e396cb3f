//! Policy: ten rules of every kind, of which the last is the one.

use crate::committed::at_most;
use crate::heap::settled;
use gungraun::{library_benchmark, library_benchmark_group};
use std::hint::black_box;
use ticketgate_actors::logic::expression::Expression;
use ticketgate_actors::logic::policy::{NAMES, Policy, Routing, Rule};
use ticketgate_actors::model::{
    AlarmEvent, AlarmRef, AlarmState, BackendId, Details, Fields, Kind, Severity, Timestamp, Wishes,
};

const NOW: Timestamp = Timestamp::from_millis(1_795_255_200_000);

fn expression(text: &str) -> Option<Expression> {
    Some(Expression::new(text, &NAMES).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn ten_rules() -> Vec<Rule> {
    let of_source = |source: &str| Rule { source: Some(source.to_owned()), ..Rule::default() };
    let of_object = |object: &str| Rule { object: Some(object.to_owned()), ..Rule::default() };
    let when = |text: &str| Rule { when: expression(text), ..Rule::default() };
    let mut rules = vec![
        Rule { no_ticket: Some("planned work".to_owned()), ..of_object("lab/*") },
        of_source("power-*"),
        of_source("*-cooling"),
        of_object("rx/*"),
        of_object("tx/*/port-9"),
        Rule { severity: vec![Severity::Critical], ..Rule::default() },
        Rule { severity: vec![Severity::Warning], ..of_source("ben*") },
        when("properties.site == 'A-1' and severity == 'major'"),
        when("text is defined and 'power' in text"),
        Rule {
            kind: Kind::Problem,
            backend: Some(BackendId::new("noc")),
            group_by: expression("properties.site"),
            ..when("probable_cause == 'lossOfSignal'")
        },
    ];
    for (n, rule) in rules.iter_mut().enumerate() {
        rule.name = format!("rule-{n}");
    }
    rules
}

fn to_decide() -> (Policy, AlarmEvent) {
    let policy = Policy {
        default_backend: Some(BackendId::new("crm")),
        rules: ten_rules(),
        ..Policy::default()
    };
    let event = AlarmEvent {
        alarm: AlarmRef { source: "bench".into(), id: "12345".into() },
        state: AlarmState::Raised,
        changed_at: Some(NOW),
        details: Details {
            severity: Some(Severity::Major),
            raised_at: NOW,
            object: "tx/12345/port-7".into(),
            object_name: Some("Transmitter 12345, port 7".into()),
            alarm_type: Some("communicationsAlarm".into()),
            probable_cause: Some("lossOfSignal".into()),
            specific_problem: None,
            text: Some("No signal at the input for more than ten seconds".into()),
            value: None,
            properties: Fields::from_iter([("site".to_owned(), "B-1".into())]),
            wishes: Wishes::default(),
        },
        body_hash: 1,
    };
    // A rule before the last would be quick.
    let routing = policy.route(&event, NOW);
    assert_eq!((routing.rule.as_deref(), routing.group.as_deref()), (Some("rule-9"), Some("B-1")));
    settled((policy, event))
}

#[library_benchmark]
#[bench::by_the_last_of_ten_rules(args = (), setup = to_decide, config = at_most("policy_ten_rules"))]
fn decide((policy, event): (Policy, AlarmEvent)) -> (Routing, Policy, AlarmEvent) {
    let routing = policy.route(black_box(&event), NOW);
    (routing, policy, event)
}

library_benchmark_group!(name = rules, benchmarks = [decide]);
