//! A backend's later answer (CONTRACT 1.5): `{"id", "backend", "request_id" or "correlation_key" or
//! "backend_ref", "outcome", "backend_id", "error"}`, in both encodings.
//!
//! What always holds of one that was read: it names exactly one thing, and a backend that is
//! configured.

use super::codec::{self, Encoding};
use super::reader::Reader;
use ticketgate_actors::changes::{Asked, Outcome};
use ticketgate_actors::logic::correlation;
use ticketgate_actors::model::{BackendId, CorrelationKey, Fields, Found, RequestId, TicketError};
use ticketgate_actors::ports::{Delivery, Later, Malformed};

pub(super) const FIELDS: &[&str] = &[
    "id",
    "backend",
    "request_id",
    "correlation_key",
    "backend_ref",
    "outcome",
    "backend_id",
    "error",
];
/// Characters of an id, a reference or a key.
const NAME_MAX: usize = 256;
/// Characters of an error.
const ERROR_MAX: usize = 4_096;

#[derive(Clone, Copy)]
enum Word {
    Done,
    Rejected,
}

const OUTCOMES: &[(&str, Word)] = &[("done", Word::Done), ("rejected", Word::Rejected)];

/// From a bus: the body names its backend.
pub(super) fn from_bus(delivery: &Delivery, known: &[BackendId]) -> Result<Later, Malformed> {
    let encoding = Encoding::of(delivery.content_type.as_deref(), &delivery.body);
    let fields = codec::fields(&delivery.body, encoding, FIELDS)?;
    read(fields, None, &delivery.body, known)
}

/// Over HTTP: the path names the backend.
///
/// # Errors
/// What is wrong with it, and the field.
pub fn later_from_json(body: &[u8], backend: &BackendId) -> Result<Later, Malformed> {
    let fields = codec::fields(body, Encoding::Json, FIELDS)?;
    read(fields, Some(backend), body, std::slice::from_ref(backend))
}

/// From fields that a description has picked out of a foreign body.
///
/// # Errors
/// What is wrong with them, and the field.
pub fn later_from_fields(
    fields: Fields,
    backend: &BackendId,
    body: &[u8],
) -> Result<Later, Malformed> {
    read(fields, Some(backend), body, std::slice::from_ref(backend))
}

fn read(
    fields: Fields,
    backend: Option<&BackendId>,
    body: &[u8],
    known: &[BackendId],
) -> Result<Later, Malformed> {
    let mut fields = Reader::new(fields);
    let id = fields.text("id", NAME_MAX)?;
    let backend = match backend {
        Some(backend) => backend.clone(),
        None => BackendId::new(&fields.name("backend", NAME_MAX)?),
    };
    if !known.contains(&backend) {
        let known = known.iter().map(BackendId::as_str);
        return Err(fields.unknown("backend", backend.as_str(), known));
    }
    let asked = asked(&mut fields)?;
    let outcome = fields.word("outcome", OUTCOMES)?;
    let outcome = match fields.require("outcome", outcome)? {
        Word::Done => {
            let backend_id = fields.text("backend_id", NAME_MAX)?.unwrap_or_default();
            Outcome::Done(Found { backend_id, ..Found::default() })
        }
        Word::Rejected => Outcome::Rejected(error(&mut fields)?),
    };
    let source = format!("answer:{backend}");
    let identity = match id.filter(|id| !id.is_empty()) {
        Some(id) => correlation::identity_by_id(&source, &id),
        None => correlation::identity_by_body(body),
    };
    Ok(Later { identity, backend, asked, outcome })
}

fn asked(fields: &mut Reader) -> Result<Asked, Malformed> {
    let named = ["request_id", "correlation_key", "backend_ref"];
    let given: Vec<_> = named.into_iter().filter(|name| fields.has(name)).collect();
    match given[..] {
        ["request_id"] => {
            let id = fields.uuid("request_id")?;
            Ok(Asked::Request(RequestId(fields.require("request_id", id)?)))
        }
        ["correlation_key"] => {
            Ok(Asked::Correlation(CorrelationKey(fields.name("correlation_key", NAME_MAX)?)))
        }
        ["backend_ref"] => Ok(Asked::Reference(fields.name("backend_ref", NAME_MAX)?)),
        // What says most.
        ["request_id", .., "backend_ref"] => {
            let id = fields.uuid("request_id")?;
            let id = RequestId(fields.require("request_id", id)?);
            Ok(Asked::Both(id, fields.name("backend_ref", NAME_MAX)?))
        }
        ["request_id", ..] => {
            let id = fields.uuid("request_id")?;
            Ok(Asked::Request(RequestId(fields.require("request_id", id)?)))
        }
        ["correlation_key", "backend_ref"] => {
            Ok(Asked::Reference(fields.name("backend_ref", NAME_MAX)?))
        }
        _ => Err(fields.fault(
            "request_id",
            "is missing, and so are correlation_key and backend_ref: one must name the request",
        )),
    }
}

/// A text, or a map as in ticket events.
fn error(fields: &mut Reader) -> Result<TicketError, Malformed> {
    const SILENT: &str = "refused without a reason";
    if let Ok(text) = fields.clone_text("error", ERROR_MAX) {
        return Ok(TicketError::because(text.unwrap_or_else(|| SILENT.to_owned())));
    }
    let mut error = fields.part("error", "error.")?;
    let status = error.number("http_status", 100, 599)?;
    Ok(TicketError {
        reason: error.text("reason", ERROR_MAX)?.unwrap_or_else(|| SILENT.to_owned()),
        http_status: status.and_then(|status| u16::try_from(status).ok()),
        code: error.text("code", NAME_MAX)?,
        description: error.text("description", ERROR_MAX)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn later(body: Value) -> Result<Later, Malformed> {
        later_from_json(body.to_string().as_bytes(), &BackendId::new("crm"))
    }

    #[test]
    fn an_answer_names_its_request_in_one_of_three_ways() {
        let id = Uuid::from_u128(7);
        let done = |name: &str, value: &str| {
            later(json!({name: value, "outcome": "done", "backend_id": "INC1"})).unwrap().asked
        };
        assert_eq!(done("request_id", &id.to_string()), Asked::Request(RequestId(id)));
        assert_eq!(done("backend_ref", "r1"), Asked::Reference("r1".to_owned()));
        let key = CorrelationKey("tgx".to_owned());
        assert_eq!(done("correlation_key", "tgx"), Asked::Correlation(key));
        let both = json!({"request_id": id, "backend_ref": "r1", "outcome": "done"});
        let both = later(both).unwrap().asked;
        assert_eq!(both, Asked::Both(RequestId(id), "r1".to_owned()));
    }

    #[test]
    fn a_refusal_has_a_text_or_a_map() {
        for (error, reason) in [
            (json!("no such group"), "no such group"),
            (json!({"reason": "no such group", "code": "E7"}), "no such group"),
            (Value::Null, "refused without a reason"),
        ] {
            let body = json!({"backend_ref": "r", "outcome": "rejected", "error": error});
            let Outcome::Rejected(error) = later(body).unwrap().outcome else { panic!() };
            assert_eq!(error.reason, reason);
        }
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        for (body, field) in [
            (json!({"outcome": "done"}), "request_id"),
            (json!({"request_id": "x", "outcome": "done"}), "request_id"),
            (json!({"backend_ref": "r"}), "outcome"),
            (json!({"backend_ref": "r", "outcome": "perhaps"}), "outcome"),
            (json!({"backend_ref": "r", "outcome": "rejected", "error": 7}), "error"),
        ] {
            assert_eq!(later(body.clone()).unwrap_err().field.as_deref(), Some(field), "{body}");
        }
    }

    #[test]
    fn the_same_answer_is_known_again_by_its_id_or_its_body() {
        let with = |id: Value, at: &str| {
            later(json!({"id": id, "backend_ref": "r", "outcome": "done", "error": at})).unwrap()
        };
        assert_eq!(with(json!("a"), "1").identity, with(json!("a"), "2").identity);
        assert_ne!(with(json!("a"), "1").identity, with(json!("b"), "1").identity);
        assert_ne!(with(Value::Null, "1").identity, with(Value::Null, "2").identity);
    }
}
