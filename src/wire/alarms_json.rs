//! Alarm events over HTTP: one event, or an array of them (CONTRACT 2, `/api/v1/alarms`).
//!
//! All or nothing: the first event that cannot be read refuses the whole body, with its place.
//! Each event is read from its own bytes, so that its identity is the same alone, in an array, and
//! on the broker.

use super::alarm_in::{self, FIELDS};
use super::codec::{self, Encoding};
use serde::de::IgnoredAny;
use ticketgate_actors::logic::correlation;
use ticketgate_actors::model::{BackendId, CANARY_SOURCE, Identity, Said};
use ticketgate_actors::ports::Malformed;

/// Events in one body: what one group commit takes without others having to wait.
pub const MAX_EVENTS: usize = 1000;

/// Reads a body. The error is the place of the event at fault, from 0, and what is wrong with it;
/// a body that is no list of events at all counts as place 0.
pub fn alarms_from_json(
    body: &[u8],
    known: &[BackendId],
) -> Result<Vec<(Identity, Said)>, (usize, Malformed)> {
    let body = body.trim_ascii();
    let events = if body.starts_with(b"[") { elements(body)? } else { vec![body] };
    let read = |(place, event): (usize, &&[u8])| one(event, known).map_err(|bad| (place, bad));
    events.iter().enumerate().map(read).collect()
}

fn one(body: &[u8], known: &[BackendId]) -> Result<(Identity, Said), Malformed> {
    let fields = codec::fields(body, Encoding::Json, FIELDS)?;
    let said = alarm_in::said(fields, body, known)?;
    if matches!(said, Said::Test(_)) {
        let reason = format!("source {CANARY_SOURCE:?} is the service's own: its canary's");
        return Err(Malformed { field: Some("source".to_owned()), reason });
    }
    Ok((correlation::identity_by_body(body), said))
}

/// The bytes of each element of an array.
fn elements(array: &[u8]) -> Result<Vec<&[u8]>, (usize, Malformed)> {
    let mut found = Vec::new();
    let bad = |place, reason: String| (place, Malformed { field: None, reason });
    let mut rest = array[1..].trim_ascii_start();
    if rest == b"]" {
        return Ok(found);
    }
    loop {
        if found.len() == MAX_EVENTS {
            return Err(bad(MAX_EVENTS, format!("more than {MAX_EVENTS} events in one body")));
        }
        if !rest.starts_with(b"{") {
            return Err(bad(found.len(), "an event must be a map".to_owned()));
        }
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        if let Some(Err(error)) = values.next() {
            return Err(bad(found.len(), format!("cannot be read as JSON: {error}")));
        }
        let (event, behind) = rest.split_at(values.byte_offset());
        found.push(event);
        match behind.trim_ascii_start().split_first() {
            Some((b',', next)) => rest = next.trim_ascii_start(),
            Some((b']', [])) => return Ok(found),
            _ => return Err(bad(found.len(), "the array does not end as one".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str) -> String {
        format!(
            r#"{{"id":"{id}","source":"probe","state":"raised","severity":"major",
                "raised_at":"2026-11-21T10:00:00Z","object":"tx/1","text":"a ] , }} b"}}"#
        )
    }

    fn id_of(said: Said) -> String {
        match said {
            Said::Alarm(event) => event.alarm.id,
            Said::Test(test) => panic!("{test:?}"),
            Said::Mark(mark) => {
                format!("{} {}", if mark.ends { "end" } else { "begin" }, mark.pass)
            }
        }
    }

    fn ids(body: &str) -> Result<Vec<String>, (usize, String)> {
        alarms_from_json(body.as_bytes(), &[])
            .map(|read| read.into_iter().map(|(_, said)| id_of(said)).collect())
            .map_err(|(place, bad)| (place, bad.reason))
    }

    #[test]
    fn one_event_or_an_array_is_read() {
        let (one, two) = (event("1"), event("2"));
        assert_eq!(ids(&format!(" {one}\n")).unwrap(), ["1"]);
        assert_eq!(ids(&format!("[{one}]")).unwrap(), ["1"]);
        assert_eq!(ids(&format!(" [ {one} ,\n{two} ] ")).unwrap(), ["1", "2"]);
        assert_eq!(ids("[]").unwrap(), Vec::<String>::new());
        let mark = |state| format!(r#"{{"source":"probe","state":"snapshot_{state}","id":"p1"}}"#);
        let pass = format!("[{},{one},{}]", mark("begin"), mark("end"));
        assert_eq!(ids(&pass).unwrap(), ["begin p1", "1", "end p1"]);
    }

    #[test]
    fn an_event_has_the_same_identity_alone_and_in_an_array() {
        let one = event("1");
        let alone = alarms_from_json(one.as_bytes(), &[]).unwrap();
        let listed = alarms_from_json(format!("[{},{one}]", event("2")).as_bytes(), &[]).unwrap();
        assert_eq!(alone[0], listed[1]);
        assert_eq!(alone[0].0, correlation::identity_by_body(one.as_bytes()));
    }

    #[test]
    fn the_first_fault_names_its_place() {
        let one = event("1");
        let many = vec![one.clone(); MAX_EVENTS + 1].join(",");
        for (body, place, reason) in [
            (format!("[{one},{}]", event("")), 1, "id is empty"),
            (format!("[{one},7]"), 1, "an event must be a map"),
            (format!("[{one}"), 1, "the array does not end"),
            (format!("[{one}] x"), 1, "the array does not end"),
            (format!("[{one},]"), 1, "an event must be a map"),
            (format!("[{one},{{]"), 1, "cannot be read as JSON"),
            (format!("[{many}]"), MAX_EVENTS, "more than 1000 events"),
            (String::new(), 0, "cannot be read as JSON"),
            (format!("{one}{one}"), 0, "cannot be read as JSON"),
        ] {
            let (at, why) = ids(&body).unwrap_err();
            assert_eq!(at, place, "{why}");
            assert!(why.contains(reason), "{why}");
        }
    }
}
