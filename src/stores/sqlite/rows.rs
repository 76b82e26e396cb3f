//! From values to rows and back: the one file that knows how a row's body is written.
//!
//! A body is the model's type by serde: MessagePack where a row is written several times for each alarm
//! (it takes a third of the time), JSON elsewhere. Which of the two it is, its storage class says: a blob
//! or a text. So rows that an older version wrote are read as they are, and so is a text that a
//! person has put in place. The columns beside it are copies for indexes, written from the same value in
//! the same statement, so that they cannot disagree.

use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ticketgate_actors::model::{
    Audited, MadeBy, Parked, Request, State, Ticket, TicketEvent, Timestamp,
};
use uuid::Uuid;

/// A number for a column. SQLite's integers are signed; what is beyond them finds no row.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A row's number or a count.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(number_of)
}

/// A number from a column; a count is never negative.
pub(super) fn number_of(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// An id for a column.
pub(super) fn id(uuid: &Uuid) -> &[u8] {
    uuid.as_bytes()
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_nanos))
}

/// A value as a body.
pub(super) fn to_body(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .expect("the model's maps have text keys and its types write without failing")
}

/// A value as a packed body: fields by name, so that one which is added later is missed by nobody.
pub(super) fn to_packed(value: &impl Serialize) -> Vec<u8> {
    let mut body = Vec::with_capacity(PACKED_ROOM);
    pack(value, &mut body);
    body
}

/// Adds a value as a packed body.
pub(super) fn pack(value: &impl Serialize, to: &mut Vec<u8>) {
    value
        .serialize(&mut rmp_serde::Serializer::new(to).with_struct_map())
        .expect("a Vec takes every byte, and the model's types write without failing");
}

/// Most bodies have less.
const PACKED_ROOM: usize = 1024;

/// A copy to remember instead of reading the body: tests look whether the body says the same.
pub(super) fn copy<T>(value: &T, body: &[u8]) -> T
where
    T: Clone + PartialEq + std::fmt::Debug + DeserializeOwned,
{
    debug_assert_eq!(rmp_serde::from_slice::<T>(body).ok().as_ref(), Some(value));
    value.clone()
}

/// A copy of a request to remember. Its number is a column of its own.
pub(super) fn numbered_copy(request: &Request, n: u64, body: &[u8]) -> Request {
    debug_assert_eq!(
        rmp_serde::from_slice::<Request>(body).ok(),
        Some(Request { n: 0, ..request.clone() })
    );
    Request { n, ..request.clone() }
}

/// A copy of an event to hand on instead of reading the body. Its number is a column of its own.
pub(super) fn numbered_event(event: &TicketEvent, n: u64, body: &[u8]) -> TicketEvent {
    debug_assert_eq!(
        rmp_serde::from_slice::<TicketEvent>(body).ok(),
        Some(TicketEvent { n: 0, ..event.clone() })
    );
    TicketEvent { n, ..event.clone() }
}

/// The value of a body.
pub(super) fn body<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let unreadable = |as_what, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, as_what, error)
    };
    match row.get_ref(column)? {
        ValueRef::Blob(packed) => {
            rmp_serde::from_slice(packed).map_err(|error| unreadable(Type::Blob, error.into()))
        }
        text => serde_json::from_str(text.as_str()?)
            .map_err(|error| unreadable(Type::Text, error.into())),
    }
}

/// Of `SELECT body`.
pub(super) fn value<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    body(row, 0)
}

/// Of `SELECT n, body`.
pub(super) fn numbered<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<(u64, T)> {
    Ok((number(row, 0)?, body(row, 1)?))
}

/// Of `SELECT n, body`.
pub(super) fn request(row: &Row<'_>) -> rusqlite::Result<Request> {
    let (n, request) = numbered::<Request>(row)?;
    Ok(Request { n, ..request })
}

/// Of `SELECT n, body`.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<TicketEvent> {
    let (n, event) = numbered::<TicketEvent>(row)?;
    Ok(TicketEvent { n, ..event })
}

/// Of `SELECT n, body, raw`.
pub(super) fn parked(row: &Row<'_>) -> rusqlite::Result<Parked> {
    let (n, parked) = numbered::<Parked>(row)?;
    Ok(Parked { n, body: row.get(2)?, ..parked })
}

/// Of `SELECT n, at, who, what, why`.
pub(super) fn audited(row: &Row<'_>) -> rusqlite::Result<Audited> {
    Ok(Audited {
        n: number(row, 0)?,
        at: time(row, 1)?.unwrap_or_default(),
        who: row.get(2)?,
        what: row.get(3)?,
        why: row.get(4)?,
    })
}

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    let word = row.get_ref(column)?.as_str()?;
    State::parse(word).ok_or_else(|| {
        let error = format!("{word:?} is no state of a request");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// Does rule T1 count it, while it is un-ended?
pub(super) fn level_made(request: &Request) -> bool {
    matches!(request.made_by, MadeBy::Level { .. })
}

/// Their id of a ticket, where it is known.
pub(super) fn backend_id(ticket: &Ticket) -> Option<&str> {
    ticket.backend_id.as_deref()
}
