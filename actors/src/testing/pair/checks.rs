//! What must hold once everybody has come to rest.

use super::Broken;
use super::cast::{Cast, Edit};
use crate::logic::sync::view;
use crate::model::{Fields, STATUS, Ticket};
use std::collections::BTreeMap;

/// Fields that are kept in step.
const COVERED: [&str; 5] = ["a", "b", "c", "d", STATUS];

/// Our value is written so often to a system that is set back to another one.
const SET_BACK_MAX: usize = 3;

fn broken(rule: &'static str, what: String) -> Result<(), Broken> {
    Err(Broken { rule, what })
}

fn covered(fields: &Fields) -> Fields {
    let of = fields.iter().filter(|(name, _)| COVERED.contains(&name.as_str()));
    of.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn all(cast: &Cast) -> Result<(), Broken> {
    let mut rows = cast.rows.all_tickets().map(|ticket| (*ticket).clone()).collect::<Vec<_>>();
    rows.sort_by_key(|ticket| ticket.key);
    one_ticket_each(cast, &rows)?;
    for id in &cast.bad {
        if cast.rows.held_of("feed", id).is_none() {
            return broken("S6", format!("{id} could not be read, and nobody is told"));
        }
    }
    for ticket in &rows {
        agree(cast, ticket)?;
        masters(cast, ticket)?;
        told(cast, ticket)?;
        remembered(cast, ticket)?;
    }
    Ok(())
}

/// Every ticket of the system has one row here, and none has two.
fn one_ticket_each(cast: &Cast, rows: &[Ticket]) -> Result<(), Broken> {
    for id in cast.system.rows.keys() {
        let of = rows.iter().filter(|ticket| ticket.backend_id.as_ref() == Some(id)).count();
        if of != 1 {
            return broken("S2", format!("{id} is {of} times here"));
        }
    }
    Ok(())
}

/// All three sides have the same.
fn agree(cast: &Cast, ticket: &Ticket) -> Result<(), Broken> {
    let Some(id) = &ticket.backend_id else {
        return broken("S2", format!("{} has no id there", ticket.key));
    };
    let ours = covered(&view(ticket));
    let there = cast.system.rows.get(id).map(|row| covered(&row.fields)).unwrap_or_default();
    // What the system writes in its own way is not written for ever, and stays different.
    let stubborn = |name: &str| cast.system.shouts == Some(name);
    // Nor is what somebody there sets back to the same value each time.
    let none = Vec::new();
    let twins = cast.rows.clone_twins(ticket.key);
    let given_up = |name: &str| {
        let of = twins.iter().filter_map(|twin| twin.stubborn.get(name));
        of.into_iter().any(|it| it.writes as usize >= SET_BACK_MAX)
    };
    let set_back = |name: &str| {
        let edits = cast.edits.get(&(id.clone(), name.to_owned())).unwrap_or(&none);
        let same = |edit: &&Edit| edit.by == "there" && Some(&edit.value) == there.get(name);
        given_up(name) && edits.iter().filter(same).count() >= SET_BACK_MAX
    };
    for name in COVERED {
        if ours.get(name) != there.get(name) && !stubborn(name) && !set_back(name) {
            let what =
                format!("{id}.{name}: here {:?}, there {:?}", ours.get(name), there.get(name));
            return broken("S2", what);
        }
    }
    let copy = cast.element.table.get(id).map(|copy| covered(&copy.fields)).unwrap_or_default();
    if ours != copy {
        return broken("S8", format!("{id}: here {ours:?}, at the connector {copy:?}"));
    }
    Ok(())
}

/// Each field has its master's last value; and with a base one that a single side changed has that side's.
fn masters(cast: &Cast, ticket: &Ticket) -> Result<(), Broken> {
    let Some(id) = &ticket.backend_id else { return Ok(()) };
    let ours = view(ticket);
    for name in COVERED {
        let none = Vec::new();
        let edits = cast.edits.get(&(id.clone(), name.to_owned())).unwrap_or(&none);
        let last = |by: &str| edits.iter().rev().find(|edit: &&Edit| edit.by == by);
        // `a` is made by whoever makes the ticket, and then ours.
        let master = match name {
            "a" => last("here"),
            "b" => last("there").filter(|_| last("here").is_none()),
            _ if cast.feed.rules.three_way && cast.system.shouts != Some(name) => {
                let one = edits.first().map(|edit| edit.by);
                edits.last().filter(|_| edits.iter().all(|edit| Some(edit.by) == one))
            }
            _ => None,
        };
        let Some(edit) = master else { continue };
        let shouted = edit.value.as_str().map(str::to_uppercase);
        let same = ours.get(name) == Some(&edit.value)
            || cast.system.shouts == Some(name)
                && ours.get(name).and_then(|it| it.as_str()) == shouted.as_deref();
        if !same {
            let what = format!("{id}.{name} is {:?}; last were {edits:?}", ours.get(name));
            return broken("S4", what);
        }
    }
    Ok(())
}

/// Events of a ticket run without a hole, and the last one shows it as it is.
fn told(cast: &Cast, ticket: &Ticket) -> Result<(), Broken> {
    let of = cast.rows.all_events().map(|row| &row.0).filter(|it| it.ticket.key == ticket.key);
    let mut events: Vec<_> = of.collect();
    events.sort_by_key(|event| event.sequence);
    for (n, event) in (1..).zip(&events) {
        if event.sequence != n {
            return broken("S3", format!("{}: event {n} is missing", ticket.key));
        }
    }
    let Some(last) = events.last() else { return Ok(()) };
    let shown = (covered(&last.ticket.fields), last.ticket.status);
    if shown != (covered(&ticket.fields), ticket.status) {
        let what = format!("{:?}: last told {shown:?}, is {:?}", ticket.backend_id, view(ticket));
        return broken("S3", what);
    }
    Ok(())
}

/// The history of a ticket that a sync took over leads to what it is.
fn remembered(cast: &Cast, ticket: &Ticket) -> Result<(), Broken> {
    let twins = cast.rows.clone_twins(ticket.key);
    if twins.is_empty() || !matches!(ticket.origin, crate::model::Origin::Sync { .. }) {
        return Ok(());
    }
    let mut fields: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for change in cast.rows.all_ticket_changes().filter(|it| it.ticket == ticket.key) {
        match change.how {
            crate::model::Turned::Deleted => drop(fields.remove(&change.field)),
            _ => drop(fields.insert(change.field.clone(), change.value.clone())),
        }
    }
    let ours: BTreeMap<_, _> = covered(&view(ticket)).into_iter().collect();
    fields.retain(|name, _| COVERED.contains(&name.as_str()));
    if fields != ours {
        return broken(
            "S3",
            format!("{:?}: its history gives {fields:?}, it is {ours:?}", ticket.backend_id),
        );
    }
    Ok(())
}
