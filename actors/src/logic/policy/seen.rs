//! What expressions see of an alarm.

use crate::logic::topology::{Hop, Topology};
use crate::model::{Alarm, AlarmEvent, AlarmRef, AlarmState, Details, Fields, Severity, Timestamp};
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

/// Names in the conditions and group keys of rules.
pub const NAMES: [&str; 15] = [
    "source",
    "id",
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
    "topology",
];

/// Names in the templates of fields: those of a rule, and the alarms that share the ticket.
pub const FIELD_NAMES: [&str; 17] = {
    let mut names = ["alarms"; 17];
    let mut n = 0;
    while n < NAMES.len() {
        names[n] = NAMES[n];
        n += 1;
    }
    names[15] = "alarms";
    names[16] = "count";
    names
};

#[derive(Serialize)]
struct Seen<'a> {
    source: &'a str,
    id: &'a str,
    state: &'a str,
    severity: Option<&'a str>,
    raised_at: String,
    changed_at: Option<String>,
    object: &'a str,
    object_name: Option<&'a str>,
    alarm_type: Option<&'a str>,
    probable_cause: Option<&'a str>,
    specific_problem: Option<&'a str>,
    text: Option<&'a str>,
    value: Option<&'a str>,
    properties: &'a Fields,
    topology: Path<'a>,
}

/// Where its object lies.
#[derive(Serialize)]
struct Path<'a> {
    found: bool,
    first: Option<&'a Hop>,
    last: Option<&'a Hop>,
    hops: &'a [Hop],
}

fn seen<'a>(
    alarm: &'a AlarmRef,
    state: AlarmState,
    details: &'a Details,
    changed_at: Option<Timestamp>,
    topology: &'a Topology,
) -> Seen<'a> {
    let hops = topology.of(&details.object);
    Seen {
        source: &alarm.source,
        id: &alarm.id,
        state: state.as_str(),
        severity: details.severity.map(Severity::as_str),
        raised_at: details.raised_at.to_string(),
        changed_at: changed_at.map(|at| at.to_string()),
        object: &details.object,
        object_name: details.object_name.as_deref(),
        alarm_type: details.alarm_type.as_deref(),
        probable_cause: details.probable_cause.as_deref(),
        specific_problem: details.specific_problem.as_deref(),
        text: details.text.as_deref(),
        value: details.value.as_deref(),
        properties: &details.properties,
        topology: Path { found: !hops.is_empty(), first: hops.first(), last: hops.last(), hops },
    }
}

/// An event, for conditions.
pub fn of_event(event: &AlarmEvent, topology: &Topology) -> Value {
    let seen = seen(&event.alarm, event.state, &event.details, event.changed_at, topology);
    Value::from(Serde(seen))
}

/// A ticket's alarms, for its fields: the first speaks for all.
pub fn of_alarms(first: &Alarm, all: &[&Alarm], topology: &Topology) -> Value {
    let of = |alarm: &'_ Alarm| {
        let state = if alarm.active { alarm.state } else { AlarmState::Cleared };
        let (at, details) = (&alarm.at.alarm, &alarm.details);
        Value::from(Serde(seen(at, state, details, Some(alarm.changed_at), topology)))
    };
    let active = all.iter().filter(|alarm| alarm.active).count();
    let alarms: Vec<Value> = all.iter().map(|alarm| of(alarm)).collect();
    minijinja::context! { alarms => alarms, count => active, ..of(first) }
}
