//! What must be so when all is done: in the ticketing systems' own ledger, at the subscribers, in
//! the parked list, and at the broker.

use crate::alarms::Stream;
use crate::programs::{Heard, Subscriber};
use crate::rabbit::Rabbit;
use crate::world::World;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use ticketgate::simulate::report::Report;

/// A connection that is being closed may overlap the next call for a moment; a second call at the
/// same time would last as long as a call.
pub const OVERLAP_ALLOWED_MS: u64 = 5;

/// By source and alarm id.
type AlarmName = (String, String);

/// One call at a time at each, updates in order, and no key twice.
pub fn ledger_is_clean(world: &World) -> Report {
    let report = world.ledger().report();
    for (name, backend) in &report.backends {
        let (most, overlap) = (backend.max_in_flight, backend.longest_overlap_ms);
        let sequential = most <= 1 || overlap < OVERLAP_ALLOWED_MS;
        assert!(sequential, "{name}: {most} calls at once, for {overlap} ms");
        assert_eq!(backend.order_faults, [], "{name}");
        assert_eq!(backend.duplicates, [""; 0], "{name}");
    }
    report
}

/// Every ticket by its alarm's name: the ticketing system and the ticket's id there.
pub fn tickets(world: &World, backends: &[&str]) -> BTreeMap<AlarmName, Vec<(String, String)>> {
    let mut found: BTreeMap<AlarmName, Vec<(String, String)>> = BTreeMap::new();
    for backend in backends {
        let report = world.ledger().report_with_tickets(backend).expect("the backend is known");
        for ticket in report.ticket_list.unwrap_or_default() {
            let text = |name: &str| ticket.alarm[name].as_str().unwrap_or_default().to_owned();
            let name = (text("alarm_source"), text("alarm_id"));
            found.entry(name).or_default().push(((*backend).to_owned(), ticket.id));
        }
    }
    found
}

/// Each alarm of the stream has one ticket, at the right system, and there are no others.
pub fn every_alarm_has_its_ticket(world: &World, stream: &Stream) {
    let report = ledger_is_clean(world);
    let backends: Vec<_> = report.backends.keys().map(String::as_str).collect();
    let found = tickets(world, &backends);
    for (name, backend) in &stream.tickets {
        match found.get(name).map(Vec::as_slice) {
            Some([(at, _)]) => assert_eq!(at, backend, "{name:?}"),
            other => panic!("{name:?} must have one ticket at {backend}: {other:?}"),
        }
    }
    assert_eq!(found.len(), stream.tickets.len(), "tickets that nobody asked for");
    assert_eq!(report.tickets, stream.tickets.len() as u64);
}

/// The malformed messages, and no others, are parked with field and reason. Gives the number of
/// rows: one that was parked just when the service was killed comes, and is parked, again.
pub async fn every_mistake_is_parked(world: &World, stream: &Stream) -> usize {
    is_parked(world, &stream.parked).await
}

/// The same, of any messages: for each id the field and a part of the reason.
pub async fn is_parked(
    world: &World,
    wanted: &BTreeMap<String, (Option<&'static str>, &'static str)>,
) -> usize {
    let rows = world.all("/api/v1/parked").await;
    let text = |row: &Value, name: &str| row[name].as_str().map(str::to_owned);
    let mut parked = BTreeMap::new();
    for row in &rows {
        let id = text(row, "message_id").expect("each came with an id");
        parked.insert(id, (text(row, "field"), text(row, "reason").unwrap_or_default()));
    }
    for (id, (field, reason)) in wanted {
        let (said_field, said) = parked.get(id).unwrap_or_else(|| panic!("{id} is not parked"));
        assert_eq!(said_field.as_deref(), *field, "{id}: {said}");
        assert!(said.contains(reason), "{id}: {said:?} does not say {reason:?}");
    }
    assert_eq!(parked.len(), wanted.len(), "parked without need: {parked:#?}");
    rows.len()
}

/// What a subscriber has heard, each message once.
#[derive(Default)]
pub struct Told {
    /// Ticket events by ticket, in the order in which they were first heard.
    pub events: BTreeMap<String, Vec<Heard>>,
    /// Write-backs by the alarm's name.
    pub write_backs: BTreeMap<AlarmName, Vec<Heard>>,
}

impl Told {
    /// Holds each message to the contract, and each repeat to what was heard first.
    pub fn of(heard: Vec<Heard>) -> Self {
        let mut told = Self::default();
        let mut digests: BTreeMap<String, String> = BTreeMap::new();
        for one in heard {
            let id = one.message_id.clone().expect("every message has an id");
            match digests.insert(id.clone(), one.digest.clone()) {
                Some(first) => assert_eq!(first, one.digest, "{id} came with two bodies"),
                None => {
                    keeps_the_contract(&one, &id);
                    told.put(one);
                }
            }
        }
        told
    }

    fn put(&mut self, one: Heard) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if one.body.get("event").is_some() {
            self.events.entry(text(&one.body["ticket"]["key"])).or_default().push(one);
        } else {
            let name = (text(&one.body["source"]), text(&one.body["id"]));
            self.write_backs.entry(name).or_default().push(one);
        }
    }

    /// Events that a write-back belongs to: all but those that are nobody's business yet.
    fn written_back(&self) -> usize {
        let told_back = |one: &&Heard| one.body["event"] != "in_doubt";
        self.events.values().flatten().filter(told_back).count()
    }

    /// Ticket events of that name.
    pub fn of_event(&self, event: &str) -> impl Iterator<Item = &Heard> {
        self.events.values().flatten().filter(move |one| one.body["event"] == event)
    }

    fn count(&self) -> usize {
        self.events.values().map(Vec::len).sum()
    }
}

fn keeps_the_contract(one: &Heard, id: &str) {
    assert_eq!(one.delivery_mode, Some(2), "{one:?}");
    assert_eq!(one.content_type.as_deref(), Some("application/msgpack"), "{one:?}");
    let header = |name: &str| {
        let value = one.headers.get(&format!("cloudEvents_{name}")).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no header {name}: {one:?}"))
    };
    assert_eq!((header("specversion"), header("id")), ("1.0", id), "{one:?}");
    assert!(header("source").starts_with("ticketgate/"), "{one:?}");
    let in_utc_milliseconds =
        |time: &str| time.len() == "2026-11-21T10:00:00.000Z".len() && time.ends_with('Z');
    assert!(in_utc_milliseconds(header("time")), "{one:?}");
    assert_eq!(one.body["at"], header("time"), "{one:?}");
    let text = |pointer: &str| one.body.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    if one.routing_key.starts_with("writeback.") {
        assert_eq!(one.routing_key, format!("writeback.{}", text("/source")), "{one:?}");
        let subject = format!("{}/{}", text("/source"), text("/id"));
        assert_eq!(header("subject"), subject, "{one:?}");
        assert_eq!(header("type"), "ticketgate.writeback", "{one:?}");
    } else {
        let (backend, kind) = (text("/ticket/backend"), text("/ticket/kind"));
        let key = format!("ticket.{backend}.{kind}.{}", text("/event"));
        assert_eq!(one.routing_key, key, "{one:?}");
        assert_eq!(text("/event_id"), id, "{one:?}");
        assert_eq!(header("subject"), text("/ticket/key"), "{one:?}");
        assert_eq!(header("type"), format!("ticketgate.ticket.{}", text("/event")), "{one:?}");
        assert_eq!(one.body["alarms"][0], one.body["alarm"], "{one:?}");
    }
}

/// Waits until the subscriber has heard all that there is, and holds it against the tickets.
pub async fn everything_is_heard(world: &World, subscriber: &Subscriber) -> Told {
    let rows = world.all("/api/v1/tickets").await;
    let events: u64 = rows.iter().filter_map(|row| row["sequence"].as_u64()).sum();
    let events = usize::try_from(events).expect("so many fit");
    let told = world
        .until(&format!("{events} events and their write-backs are heard"), async || {
            // Reading all of it is dear: only when there is enough.
            if subscriber.count() < events {
                return None;
            }
            let told = Told::of(subscriber.heard());
            let write_backs: usize = told.write_backs.values().map(Vec::len).sum();
            (told.count() == events && write_backs == told.written_back()).then_some(told)
        })
        .await;
    for row in &rows {
        let key = row["key"].as_str().expect("a key");
        let heard: Vec<_> =
            told.events[key].iter().map(|one| one.body["sequence"].as_u64()).collect();
        let whole: Vec<_> = (1..=row["sequence"].as_u64().unwrap_or_default()).map(Some).collect();
        assert_eq!(heard, whole, "the sequence of ticket {key}");
    }
    told
}

/// Each alarm's own system has heard of its ticket, as it is at the ticketing system.
pub fn every_ticket_is_written_back(world: &World, stream: &Stream, told: &Told) {
    let backends: BTreeSet<_> = stream.tickets.values().copied().collect();
    let tickets = tickets(world, &Vec::from_iter(backends));
    for name in stream.tickets.keys() {
        let heard = told.write_backs.get(name);
        let last = heard.and_then(|all| all.last()).unwrap_or_else(|| panic!("{name:?}: none"));
        let (backend, id) = &tickets[name][0];
        assert_eq!(last.body["backend"], **backend, "{last:?}");
        assert_eq!(last.body["backend_id"], **id, "{last:?}");
        assert!(last.body["url"].is_string(), "{last:?}");
    }
}

/// Nothing is ready or unacknowledged in any queue of this world.
pub async fn the_broker_is_empty(world: &World, node: &Rabbit) {
    let prefix = format!("{}.", world.broker().1);
    world
        .until("every queue at the broker is empty", async || {
            let queues = node.queues().await;
            let mut ours = queues.iter().filter(|(name, ..)| name.starts_with(&prefix)).peekable();
            assert!(ours.peek().is_some(), "no queue begins with {prefix}: {queues:?}");
            ours.all(|(_, ready, unacked)| ready + unacked == 0).then_some(())
        })
        .await;
}
