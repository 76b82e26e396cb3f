//! What a ticket, as its backend shows it, says of a write to it.

use crate::model::{Fields, Found, Op, Request, STATUS, Ticket, TicketStatus};
use serde_json::Value;

/// Was a write done?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The ticket is as the write wanted it.
    Done,
    /// It is not: in these fields.
    Otherwise(Vec<String>),
    /// It shows nothing by which it could be told.
    Nothing,
}

/// Does the ticket show what the request wanted? Only fields that the backend gives back can say; and of an
/// update only those that it changes: what was there before says nothing about it.
pub fn shows(request: &Request, ticket: &Ticket, found: &Found) -> Shows {
    let ends = match request.op {
        Op::Close => Some(true),
        Op::Reopen => Some(false),
        Op::Create | Op::Update => None,
    };
    let mut otherwise = Vec::new();
    let mut told = false;
    if let Some(ended) = ends {
        let Some(status) = found.status else { return Shows::Nothing };
        told = true;
        if status.ended() != ended {
            otherwise.push(STATUS.to_owned());
        }
    }
    let changes = |name: &str, wanted: &Value| had(ticket, name) != Some(wanted.clone());
    let any_changes = request.fields.iter().any(|(name, wanted)| changes(name, wanted));
    for (name, wanted) in &request.fields {
        let as_wanted = match (name.as_str(), found.status) {
            (STATUS, _) if ends.is_some() => continue,
            (STATUS, Some(is)) => is_status(wanted, is),
            _ => found.fields.get(name).map(|is| is_as_wanted(wanted, is)),
        };
        match as_wanted {
            Some(false) => otherwise.push(name.clone()),
            Some(true) => told |= !any_changes || changes(name, wanted),
            None => {}
        }
    }
    match (otherwise.is_empty(), told) {
        (false, _) => Shows::Otherwise(otherwise),
        (true, true) => Shows::Done,
        (true, false) => Shows::Nothing,
    }
}

/// What we know it had before.
fn had(ticket: &Ticket, name: &str) -> Option<Value> {
    let of = |fields: &Fields| fields.get(name).cloned();
    match name {
        STATUS => of(&ticket.fields).or_else(|| Some(ticket.status.as_str().into())),
        _ => of(&ticket.fields),
    }
}

/// None: it is no word of TMF621's, so nobody can compare it. What was resolved may have been closed since.
fn is_status(wanted: &Value, is: TicketStatus) -> Option<bool> {
    let wanted = TicketStatus::parse(wanted.as_str()?)?;
    Some(wanted == is || wanted.ended() && is.ended())
}

/// A field that adds up is shown as a list: it has what was sent in one of its entries.
fn is_as_wanted(wanted: &Value, is: &Value) -> bool {
    match (wanted, is) {
        (Value::String(text), Value::Array(entries)) => {
            entries.iter().filter_map(Value::as_str).any(|entry| entry.contains(text.as_str()))
        }
        _ => wanted == is,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::lane::tests::{request, ticket};
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::of(value)
    }

    /// A ticket that had the site `north` and was acknowledged.
    fn told(op: Op, wanted: Value, is: Value, status: Option<TicketStatus>) -> Shows {
        let had = Ticket {
            fields: fields(json!({"site": "north"})),
            status: TicketStatus::Acknowledged,
            ..ticket(1)
        };
        let asked = Request { fields: fields(wanted), ..request(1, op) };
        shows(&asked, &had, &Found { fields: fields(is), status, ..Found::default() })
    }

    fn otherwise(name: &str) -> Shows {
        Shows::Otherwise(vec![name.to_owned()])
    }

    /// That a field is as it was asked for, and as it was before, says nothing of the write.
    #[test]
    fn an_update_is_done_where_the_backend_shows_what_it_changes() {
        let both = || json!({"site": "north", "summary": "s"});
        let update = |wanted, is| told(Op::Update, wanted, is, None);
        assert_eq!(update(both(), both()), Shows::Done);
        assert_eq!(update(both(), json!({"summary": "s"})), Shows::Done);
        assert_eq!(update(both(), json!({"site": "north"})), Shows::Nothing);
        assert_eq!(update(both(), json!({"site": "south", "summary": "s"})), otherwise("site"));
        assert_eq!(update(both(), json!({"site": "north", "summary": null})), otherwise("summary"));
        assert_eq!(update(json!({"site": "north"}), json!({"site": "north"})), Shows::Done);
        assert_eq!(update(json!({"site": "north"}), json!({})), Shows::Nothing);
    }

    /// Backends show a status beside the fields.
    #[test]
    fn a_status_that_was_to_be_set_is_held_against_the_one_that_is_shown() {
        let wanted = || json!({"site": "north", "status": "resolved"});
        let update = |status| told(Op::Update, wanted(), json!({"site": "north"}), status);
        assert_eq!(update(Some(TicketStatus::Acknowledged)), otherwise(STATUS));
        assert_eq!(update(Some(TicketStatus::Resolved)), Shows::Done);
        assert_eq!(update(Some(TicketStatus::Closed)), Shows::Done, "closed since");
        assert_eq!(update(None), Shows::Nothing);
        let foreign =
            told(Op::Update, json!({"status": "Zzz"}), json!({}), Some(TicketStatus::Held));
        assert_eq!(foreign, Shows::Nothing, "not one of our words");
    }

    #[test]
    fn a_close_and_a_reopen_are_told_by_the_status() {
        for (op, done, not) in [
            (Op::Close, TicketStatus::Closed, TicketStatus::Held),
            (Op::Reopen, TicketStatus::InProgress, TicketStatus::Closed),
        ] {
            assert_eq!(told(op, json!({}), json!({}), Some(done)), Shows::Done);
            assert_eq!(told(op, json!({}), json!({}), Some(not)), otherwise(STATUS));
            assert_eq!(told(op, json!({}), json!({}), None), Shows::Nothing);
        }
    }

    #[test]
    fn what_adds_up_is_there_if_one_entry_has_it() {
        let note = |is| told(Op::Update, json!({"note": "cleared"}), json!({ "note": is }), None);
        assert_eq!(note(json!(["raised", "0b1c: cleared"])), Shows::Done);
        assert_eq!(note(json!(["raised"])), otherwise("note"));
        assert_eq!(note(json!([])), otherwise("note"));
    }
}
