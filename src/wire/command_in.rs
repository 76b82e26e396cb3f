//! Commands (CONTRACT 1.5): fields to a checked [`Command`].
//!
//! What always holds: a command that comes out of here has an id, names what it is about, and has
//! its numbers within their limits. Whether its backend, ticket or lock exists is left to the desk.
//! Fields that a command has no use for are not read.

use super::alarm_in::KINDS;
use super::codec::{self, Encoding};
use super::reader::Reader;
use std::time::Duration;
use ticketgate_actors::logic::correlation;
use ticketgate_actors::model::{
    AlarmRef, BackendId, Code, Command, CommandError, CommandId, Fence, Fields, Kind, LockName,
    Order, Reply, Route, TicketName,
};
use ticketgate_actors::ports::{BadCommand, Delivery, Malformed};
use uuid::Uuid;

/// Characters of a name.
const MAX_NAME: usize = 256;
/// How long a lock lasts unless its command says so, and at most.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
const LOCK_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// How long an acquire may wait.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(600);
/// Tickets that a search gives unless its command says so, and at most.
const LIMIT: u64 = 20;
const LIMIT_MAX: u64 = 100;

pub(super) const FIELDS: &[&str] = &[
    "command",
    "id",
    "backend",
    "kind",
    "fields",
    "alarm",
    "key",
    "backend_id",
    "where",
    "limit",
    "cursor",
    "lock",
    "guid",
    "timeout_ms",
    "wait_ms",
    "holder",
];
/// Not part of what a command says: the same command may come again under another lock.
const NOT_HASHED: [&str; 2] = ["id", "lock"];

#[derive(Clone, Copy)]
enum Name {
    Create,
    Update,
    Close,
    Query,
    Search,
    Acquire,
    Renew,
    Release,
}

const NAMES: &[(&str, Name)] = &[
    ("create", Name::Create),
    ("update", Name::Update),
    ("close", Name::Close),
    ("query", Name::Query),
    ("search", Name::Search),
    ("lock.acquire", Name::Acquire),
    ("lock.renew", Name::Renew),
    ("lock.release", Name::Release),
];

/// Reads a command from the bus. Its answers go to its `reply_to`, in its encoding.
pub(super) fn from_bus(delivery: &Delivery) -> Result<Command, Box<BadCommand>> {
    let encoding = Encoding::of(delivery.content_type.as_deref(), &delivery.body);
    let queue = delivery.reply_to.clone().filter(|queue| !queue.is_empty());
    let reply = Reply {
        to: queue.map(|key| Route { exchange: String::new(), key }),
        correlation_id: delivery.correlation_id.clone(),
        content_type: encoding.content_type().to_owned(),
    };
    read(&delivery.body, encoding, Some(reply))
}

/// Reads a command from HTTP, whose answer is the response. Parts of the path may be laid over it.
pub fn command_from_json(body: &[u8]) -> Result<Command, Box<BadCommand>> {
    read(body, Encoding::Json, None)
}

fn read(body: &[u8], encoding: Encoding, reply: Option<Reply>) -> Result<Command, Box<BadCommand>> {
    let bad = |id: Option<CommandId>, malformed: Malformed| {
        let Malformed { field, reason: message } = malformed;
        let error = CommandError { code: Code::Invalid, message, field };
        Box::new(BadCommand { id, reply: reply.clone().unwrap_or_default(), error })
    };
    let fields = codec::fields(body, encoding, FIELDS).map_err(|error| bad(None, error))?;
    let body_hash = hash(&fields);
    let mut from = Reader::new(fields);
    let id = from.uuid("id").and_then(|id| from.require("id", id));
    let id = CommandId(id.map_err(|error| bad(None, error))?);
    let checked = checked(from).map_err(|error| bad(Some(id), error))?;
    let (order, lock) = checked;
    Ok(Command { id, body_hash, order, lock, reply })
}

/// Of the canonical body: maps are sorted by name here, so that two encodings of one command are
/// the same.
fn hash(fields: &Fields) -> [u8; 16] {
    let said: Fields = fields
        .iter()
        .filter(|(name, _)| !NOT_HASHED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    correlation::digest_16(&codec::bytes(&said, Encoding::Json))
}

fn checked(mut from: Reader) -> Result<(Order, Option<LockName>), Malformed> {
    let name = from.word("command", NAMES)?;
    let name = from.require("command", name)?;
    let lock = lock(&mut from)?;
    let order = match name {
        Name::Create => Order::Create {
            backend: BackendId::new(&from.name("backend", MAX_NAME)?),
            kind: kind(&mut from)?,
            fields: from.map("fields")?,
            alarm: alarm(&mut from)?,
        },
        Name::Update => {
            let ticket = ticket(&mut from)?;
            let fields = from.map("fields")?;
            if fields.is_empty() {
                return Err(from.fault("fields", "has nothing to write"));
            }
            Order::Update { ticket, fields }
        }
        Name::Close => Order::Close { ticket: ticket(&mut from)?, fields: from.map("fields")? },
        Name::Query => Order::Query(ticket(&mut from)?),
        Name::Search => search(&mut from)?,
        Name::Acquire => Order::Acquire {
            guid: guid(&mut from)?,
            timeout: lock_timeout(&mut from)?,
            wait: from.millis("wait_ms", Duration::ZERO, LOCK_WAIT_MAX)?.unwrap_or_default(),
            holder: from.text("holder", MAX_NAME)?.unwrap_or_else(|| "script".to_owned()),
        },
        Name::Renew => Order::Renew { guid: guid(&mut from)?, timeout: lock_timeout(&mut from)? },
        Name::Release => Order::Release { guid: guid(&mut from)? },
    };
    Ok((order, lock))
}

fn kind(from: &mut Reader) -> Result<Kind, Malformed> {
    Ok(from.word("kind", KINDS)?.unwrap_or_default())
}

fn guid(from: &mut Reader) -> Result<Uuid, Malformed> {
    let guid = from.uuid("guid")?;
    from.require("guid", guid)
}

fn lock_timeout(from: &mut Reader) -> Result<Duration, Malformed> {
    let timeout = from.millis("timeout_ms", Duration::from_millis(1), LOCK_TIMEOUT_MAX)?;
    Ok(timeout.unwrap_or(LOCK_TIMEOUT))
}

fn lock(from: &mut Reader) -> Result<Option<LockName>, Malformed> {
    if !from.has("lock") {
        return Ok(None);
    }
    let mut part = from.part("lock", "lock.")?;
    let guid = guid(&mut part)?;
    let fence = part.number("fence", 0, u64::MAX)?;
    let fence = Fence(part.require("fence", fence)?);
    Ok(Some(LockName { guid, fence }))
}

fn alarm(from: &mut Reader) -> Result<Option<AlarmRef>, Malformed> {
    if !from.has("alarm") {
        return Ok(None);
    }
    let mut part = from.part("alarm", "alarm.")?;
    let (source, id) = (part.name("source", MAX_NAME)?, part.name("id", MAX_NAME)?);
    Ok(Some(AlarmRef { source, id }))
}

/// A ticket by our key, or by its backend and the id there.
fn ticket(from: &mut Reader) -> Result<TicketName, Malformed> {
    if let Some(key) = from.uuid("key")? {
        return Ok(TicketName::Key(ticketgate_actors::model::TicketKey(key)));
    }
    if !from.has("backend_id") {
        return Err(from.fault("key", "is missing, and there is no backend_id instead"));
    }
    let backend = BackendId::new(&from.name("backend", MAX_NAME)?);
    let backend_id = from.name("backend_id", MAX_NAME)?;
    Ok(TicketName::Theirs(backend, backend_id, kind(from)?))
}

fn search(from: &mut Reader) -> Result<Order, Malformed> {
    let backend = BackendId::new(&from.name("backend", MAX_NAME)?);
    let kind = kind(from)?;
    let by = from.map("where")?;
    if by.is_empty() {
        return Err(from.fault("where", "is missing, or names no field"));
    }
    if from.has("cursor") {
        return Err(from.fault("cursor", "is not of this search: it has one page"));
    }
    let limit = from.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT);
    Ok(Order::Search { backend, kind, by, limit: u32::try_from(limit).unwrap_or(u32::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ID: &str = "0193f9a0-0000-7000-8000-000000000001";

    fn read_json(message: &Value) -> Result<Command, Box<BadCommand>> {
        command_from_json(message.to_string().as_bytes())
    }

    #[test]
    fn every_command_is_read() {
        let guid = "0193f9a0-0000-7000-8000-0000000000aa";
        for (message, expected) in [
            (
                json!({"command": "create", "backend": "crm", "kind": "change",
                       "fields": {"summary": "x"}, "alarm": {"source": "s", "id": "a"}}),
                "create",
            ),
            (json!({"command": "update", "key": ID, "fields": {"a": 1}}), "update"),
            (json!({"command": "close", "backend": "crm", "backend_id": "INC1"}), "close"),
            (json!({"command": "query", "backend": "crm", "backend_id": "INC1"}), "query"),
            (
                json!({"command": "search", "backend": "crm", "where": {"a": 1}, "limit": 100}),
                "search",
            ),
            (json!({"command": "lock.acquire", "guid": guid, "wait_ms": 5}), "lock.acquire"),
            (json!({"command": "lock.renew", "guid": guid, "timeout_ms": 5}), "lock.renew"),
            (json!({"command": "lock.release", "guid": guid}), "lock.release"),
        ] {
            let mut message = message;
            message["id"] = json!(ID);
            let command = read_json(&message).unwrap();
            assert_eq!(command.order.as_str(), expected);
            assert_eq!(command.id.to_string(), ID);
            assert_eq!(command.lock, None);
        }
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        for (message, field) in [
            (json!({"command": "create", "backend": "crm"}), "id"),
            (json!({"id": "no uuid", "command": "create", "backend": "crm"}), "id"),
            (json!({"id": ID}), "command"),
            (json!({"id": ID, "command": "make"}), "command"),
            (json!({"id": ID, "command": "create"}), "backend"),
            (json!({"id": ID, "command": "create", "backend": "c", "kind": "x"}), "kind"),
            (
                json!({"id": ID, "command": "create", "backend": "c", "alarm": {"id": "a"}}),
                "alarm.source",
            ),
            (json!({"id": ID, "command": "update", "fields": {"a": 1}}), "key"),
            (json!({"id": ID, "command": "update", "key": ID}), "fields"),
            (json!({"id": ID, "command": "close", "backend_id": "1"}), "backend"),
            (json!({"id": ID, "command": "search", "backend": "c"}), "where"),
            (
                json!({"id": ID, "command": "search", "backend": "c", "where": {"a": 1},
                       "limit": 101}),
                "limit",
            ),
            (json!({"id": ID, "command": "lock.acquire"}), "guid"),
            (
                json!({"id": ID, "command": "lock.acquire", "guid": ID, "timeout_ms": 600_001}),
                "timeout_ms",
            ),
            (json!({"id": ID, "command": "lock.renew", "guid": ID, "timeout_ms": 0}), "timeout_ms"),
            (json!({"id": ID, "command": "query", "key": ID, "lock": {"guid": ID}}), "lock.fence"),
            (json!({"id": ID, "command": "query", "key": ID, "lock": "x"}), "lock"),
        ] {
            let bad = read_json(&message).unwrap_err();
            assert_eq!(bad.error.field.as_deref(), Some(field), "{message} {bad:?}");
            assert_eq!(bad.error.code, Code::Invalid);
            assert_eq!(bad.id.is_some(), field != "id", "{message}");
        }
    }

    #[test]
    fn the_same_command_has_the_same_hash_in_both_encodings_and_under_any_lock() {
        let message = json!({"id": ID, "command": "create", "backend": "crm",
                             "fields": {"b": [1, {"z": 1, "a": 2}], "a": "x"}});
        let mut locked = message.clone();
        locked["lock"] = json!({"guid": ID, "fence": 3});
        let mut other = message.clone();
        other["fields"]["a"] = json!("y");
        let packed = codec::bytes(&message, Encoding::MessagePack);
        let delivery = Delivery {
            inlet: "q".into(),
            body: packed.into(),
            content_type: None,
            message_id: None,
            cloudevents_id: None,
            cloudevents_source: None,
            reply_to: Some("answers".into()),
            correlation_id: Some("c1".into()),
            dead_lettered: None,
        };
        let command = from_bus(&delivery).unwrap();
        let reply = command.reply.unwrap();
        assert_eq!(reply.to.unwrap(), Route { exchange: String::new(), key: "answers".into() });
        assert_eq!(reply.content_type, "application/msgpack");
        let hash = |message: &Value| read_json(message).unwrap().body_hash;
        assert_eq!(command.body_hash, hash(&message));
        assert_eq!(command.body_hash, hash(&locked));
        assert_ne!(command.body_hash, hash(&other));
    }
}
