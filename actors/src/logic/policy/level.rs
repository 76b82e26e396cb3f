//! What a ticket should say: the level of its alarm, or of all alarms that share it.

use super::seen::of_alarms;
use super::ways::{FieldValue, OnClear, Ways};
use crate::logic::topology::Topology;
use crate::model::{Alarm, Fields, Severity};
use serde_json::{Value, json};

/// Longest summary in characters: ticketing systems cut or refuse longer ones (Redmine: 255).
const SUMMARY_MAX: usize = 200;
/// Alarms that a shared ticket names one by one.
const NAMED_MAX: usize = 50;

/// The business fields of a ticket: the whole level. `all` are its alarms, in order of their first
/// arrival; of several, the first active one speaks.
pub fn fields(all: &[&Alarm], ways: &Ways, topology: &Topology) -> Fields {
    let Some(first) = all.iter().find(|it| it.active).or(all.first()) else { return Fields::new() };
    let mut fields = standard(first);
    if all.len() > 1 {
        shared(&mut fields, first, all);
    }
    if !ways.fields.is_empty() {
        let seen = of_alarms(first, all, topology);
        for (name, value) in ways.fields.iter() {
            let value = match value {
                FieldValue::Fixed(value) => Some(value.clone()),
                FieldValue::Written(template) => template.text(&seen).map(Value::from),
            };
            match value {
                Some(value) => fields.insert(name.clone(), value),
                None => fields.remove(name),
            };
        }
    }
    for (name, value) in &first.details.wishes.fields {
        fields.insert(name.clone(), value.clone());
    }
    if !first.active {
        match ways.on_clear {
            OnClear::Note => {
                let note = format!("The alarm was cleared at {}.", first.changed_at);
                fields.insert("note".to_owned(), note.into());
            }
            OnClear::Resolve => {
                fields.insert("status".to_owned(), "resolved".into());
            }
            OnClear::Close | OnClear::Update | OnClear::Nothing => {}
        }
    }
    fields
}

fn standard(alarm: &Alarm) -> Fields {
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
    fields
}

/// What several alarms have in common: the gravest severity, and a list of them.
fn shared(fields: &mut Fields, first: &Alarm, all: &[&Alarm]) {
    let active = all.iter().filter(|alarm| alarm.active).count();
    let of = |alarm: &&Alarm| alarm.details.severity.filter(|_| alarm.active || active == 0);
    let gravest = all.iter().filter_map(of).min();
    if let Some(severity) = gravest {
        fields.insert("severity".to_owned(), severity.as_str().into());
    }
    let mut list: Vec<String> = all.iter().take(NAMED_MAX).map(|alarm| line(alarm)).collect();
    if all.len() > NAMED_MAX {
        list.push(format!("and {} more", all.len() - NAMED_MAX));
    }
    let list = list.join("\n");
    let own = first.details.text.as_deref().unwrap_or_default();
    let headline = fields.get("summary").and_then(Value::as_str).unwrap_or_default();
    let summary = shorten(&format!("{} alarms: {headline}", all.len()), SUMMARY_MAX);
    fields.insert("summary".to_owned(), summary.into());
    fields.insert("description".to_owned(), format!("{own}\n\n{list}").trim().into());
    fields.insert("alarms".to_owned(), list.into());
    fields.insert("alarm_count".to_owned(), active.into());
    let revision: u64 = all.iter().map(|alarm| alarm.wanted_version).sum();
    fields.insert("revision".to_owned(), revision.into());
}

fn line(alarm: &Alarm) -> String {
    let severity = alarm.details.severity.map_or("indeterminate", Severity::as_str);
    let state = if alarm.active { severity } else { "cleared" };
    format!("{state}: {} on {}", alarm.at.alarm, alarm.details.object)
}

fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(std::iter::once('…')).collect()
}
