//! Sync messages in, their answers and a connector's credit out (CONTRACT 1.7).
//!
//! What always holds of one that was read: it names a backend; each of its tickets has an id, ours or
//! theirs, and a time, or is told as what is wrong with it, so that one bad ticket never fails the others.

use super::codec::{self, Encoding};
use super::event_out::ticket_value;
use super::reader::Reader;
use serde_json::{Value, json};
use ticketgate_actors::model::{
    BackendId, Fields, Kind, STATUS, SyncAnswer, TicketKey, Timestamp, Told,
};
use ticketgate_actors::ports::{Delivery, Malformed, SyncSaid};

const FIELDS: &[&str] =
    &["id", "backend", "element", "polled_at", "credit", "cursor", "pass", "complete", "tickets"];
/// Characters of an id, an element, a pass.
const NAME_MAX: usize = 256;
/// A connector that can take more is sent no more at once.
const CREDIT_MAX: u64 = 1_000_000;
/// What a field's name may not contain (the source: DataMiner's ticketing gateway).
const NOT_IN_NAMES: &[char] = &['.', '#', '*', ',', '"', '\''];
const KINDS: &[(&str, Kind)] =
    &[("incident", Kind::Incident), ("change", Kind::Change), ("problem", Kind::Problem)];

/// May a field be called so?
///
/// # Errors
/// What its name may not be.
pub fn field_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.starts_with('_') || name.contains(NOT_IN_NAMES) {
        return Err(format!(
            "{name:?} is no name of a field: it may not be empty, begin with _ or contain any of \
             . # * , \" '"
        ));
    }
    Ok(())
}

pub(super) fn from_bus(delivery: &Delivery) -> Result<SyncSaid, Malformed> {
    let encoding = Encoding::of(delivery.content_type.as_deref(), &delivery.body);
    read(codec::fields(&delivery.body, encoding, FIELDS)?, None)
}

/// Over HTTP: the path names the backend.
///
/// # Errors
/// What is wrong with it, and the field.
pub fn sync_from_json(body: &[u8], backend: &BackendId) -> Result<SyncSaid, Malformed> {
    read(codec::fields(body, Encoding::Json, FIELDS)?, Some(backend))
}

fn read(fields: Fields, backend: Option<&BackendId>) -> Result<SyncSaid, Malformed> {
    let tickets = fields.get("tickets").cloned();
    let mut fields = Reader::new(fields);
    let id = fields.name("id", NAME_MAX)?;
    let backend = match backend {
        Some(backend) => backend.clone(),
        None => BackendId::new(&fields.name("backend", NAME_MAX)?),
    };
    let polled_at = fields.time("polled_at")?;
    let credit = fields.number("credit", 0, CREDIT_MAX)?;
    let complete = fields.boolean("complete")?.unwrap_or(false);
    let tickets = match tickets {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(tickets)) => tickets,
        Some(_) => return Err(fields.fault("tickets", "must be an array")),
    };
    Ok(SyncSaid {
        id,
        backend,
        element: fields.text("element", NAME_MAX)?.filter(|it| !it.is_empty()),
        polled_at,
        credit: credit.and_then(|credit| u32::try_from(credit).ok()),
        cursor: cursor(&mut fields)?,
        pass: fields.text("pass", NAME_MAX)?.filter(|it| !it.is_empty()),
        complete,
        tickets: tickets.into_iter().enumerate().map(|(n, one)| told(n, one, polled_at)).collect(),
    })
}

/// As it was given in an answer: a number in a string.
fn cursor(fields: &mut Reader) -> Result<Option<u64>, Malformed> {
    let Some(text) = fields.text("cursor", NAME_MAX)?.filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(cursor) => Ok(Some(cursor)),
        Err(_) => Err(fields.fault("cursor", "is none that an answer gave")),
    }
}

/// One ticket of a message.
fn told(n: usize, one: Value, polled_at: Option<Timestamp>) -> Result<Told, (String, String)> {
    let id = |value: &Value, name: &str| value["ticket"][name].as_str().map(str::to_owned);
    let named = id(&one, "backend_id").or_else(|| id(&one, "key"));
    let named = named.unwrap_or_else(|| format!("tickets[{n}]"));
    let Value::Object(one) = one else {
        return Err((named, format!("tickets[{n}] must be a map")));
    };
    one_told(Reader::new(one.into()), polled_at).map_err(|wrong| (named, wrong.reason))
}

fn one_told(mut one: Reader, polled_at: Option<Timestamp>) -> Result<Told, Malformed> {
    let said_at = one.time("changed_at")?.or(polled_at);
    let said_at = one.require("changed_at", said_at)?;
    let deleted = one.boolean("deleted")?.unwrap_or(false);
    let mut ticket = one.part("ticket", "ticket.")?;
    let backend_id = ticket.text("backend_id", NAME_MAX)?.filter(|it| !it.is_empty());
    let key = ticket.uuid("key")?.map(TicketKey);
    if backend_id.is_none() && key.is_none() {
        return Err(ticket.fault("backend_id", "is missing, and there is no ticket.key"));
    }
    let kind = ticket.word("kind", KINDS)?.unwrap_or_default();
    let status = ticket.text("status", NAME_MAX)?.filter(|it| !it.is_empty());
    let backend_status = ticket.text("backend_status", NAME_MAX)?;
    let url = ticket.text("url", 4_096)?;
    let mut fields = ticket.map("fields")?;
    for name in fields.keys() {
        if let Err(what) = field_name(name) {
            return Err(ticket.fault("fields", what));
        }
    }
    fields.retain(|_, value| !value.is_null());
    if let Some(status) = status {
        fields.insert(STATUS.into(), status.into());
    }
    Ok(Told {
        backend_id,
        key,
        // They cannot know ours but by `key`.
        correlation_key: Some(String::new()),
        kind,
        fields,
        backend_status,
        url,
        said_at,
        changed_at: said_at,
        deleted,
    })
}

/// An answer's body.
pub fn sync_answer(answer: &SyncAnswer) -> Value {
    json!({
        "id": answer.id,
        "backend": answer.backend.as_str(),
        "credit": answer.credit,
        "waiting": answer.waiting,
        "events": answer.events.iter().map(ticket_value).collect::<Vec<_>>(),
        "more": answer.more,
        "cursor": answer.cursor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tickets: Value) -> Value {
        json!({"id": "m1", "backend": "dm", "polled_at": "2026-11-21T10:00:00Z", "tickets": tickets})
    }

    fn said(message: &Value) -> Result<SyncSaid, Malformed> {
        sync_from_json(message.to_string().as_bytes(), &BackendId::new("dm"))
    }

    #[test]
    fn a_message_is_read_whole() {
        let said = said(&json!({
            "id": "m1", "backend": "dm", "element": "1/7", "polled_at": "2026-11-21T10:00:00+01:00",
            "credit": 5, "cursor": "17", "pass": "p", "complete": true,
            "tickets": [{"changed_at": "2026-11-21T08:59:00Z", "deleted": false, "ticket": {
                "backend_id": "T-1", "kind": "problem", "status": "Open", "fields": {"a": 1, "b": null},
            }}],
        }))
        .unwrap();
        assert_eq!((said.credit, said.cursor, said.complete), (Some(5), Some(17), true));
        let told = said.tickets[0].as_ref().unwrap();
        assert_eq!(told.kind, Kind::Problem);
        // Nulls are not kept; the status stands among the fields.
        assert_eq!(Value::from(told.fields.clone()), json!({"a": 1, "status": "Open"}));
        assert_eq!(told.said_at.to_string(), "2026-11-21T08:59:00.000Z");
    }

    #[test]
    fn a_bad_ticket_is_told_by_its_id_and_the_others_are_read() {
        let at = "2026-11-21T09:00:00Z";
        let good = json!({"changed_at": at, "ticket": {"backend_id": "T-2"}});
        for (bad, id, what) in [
            (json!(7), "tickets[0]", "must be a map"),
            (json!({"changed_at": at, "ticket": {}}), "tickets[0]", "ticket.backend_id is missing"),
            (json!({"changed_at": "soon", "ticket": {"backend_id": "T-1"}}), "T-1", "changed_at"),
            (
                json!({"changed_at": at, "ticket": {"backend_id": "T-1", "fields": {"a.b": 1}}}),
                "T-1",
                "is no name of a field",
            ),
            (
                json!({"changed_at": at, "ticket": {"backend_id": "T-1", "kind": "wish"}}),
                "T-1",
                "is not one of: incident, change, problem",
            ),
        ] {
            let said = said(&message(json!([bad, good]))).unwrap();
            let (named, reason) = said.tickets[0].as_ref().unwrap_err();
            assert_eq!(named, id);
            assert!(reason.contains(what), "{reason}");
            assert!(said.tickets[1].is_ok());
        }
    }

    #[test]
    fn what_is_wrong_with_a_message_names_its_field() {
        for (field, value) in [
            ("id", Value::Null),
            ("credit", json!(-1)),
            ("cursor", json!("here")),
            ("complete", json!("yes")),
            ("tickets", json!({})),
            ("polled_at", json!("now")),
        ] {
            let mut message = message(json!([]));
            message[field] = value;
            assert_eq!(said(&message).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
