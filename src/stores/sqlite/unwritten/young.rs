//! A new ticket and what belongs to it, and how both stand in the journal.

use super::super::rows;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use ticketgate_actors::model::{
    Alarm, HistoryList, HistoryRow, Request, Ticket, TicketEvent, TicketKey, Timestamp,
};

/// A row, and its body once a commit has written that.
#[derive(Debug)]
pub(in super::super) struct Part<T> {
    pub(in super::super) row: Arc<T>,
    body: Option<Arc<[u8]>>,
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { row: self.row.clone(), body: self.body.clone() }
    }
}

impl<T: Serialize> Part<T> {
    pub(super) fn new(row: T) -> Self {
        Self { row: Arc::new(row), body: None }
    }

    /// As it is stored.
    pub(in super::super) fn body(&self) -> Arc<[u8]> {
        self.body.clone().unwrap_or_else(|| rows::to_packed(&*self.row).into())
    }

    /// Adds it to a journal, if it is not in one yet.
    fn write(&mut self, head: &Head, journal: &mut Vec<u8>) {
        if self.body.is_none() {
            self.write_again(head, journal);
        }
    }

    fn write_again(&mut self, head: &Head, journal: &mut Vec<u8>) {
        let body = self.body();
        rows::pack(head, journal);
        journal.extend_from_slice(&body);
        self.body = Some(body);
    }
}

/// An event, and when the broker confirmed it.
#[derive(Clone, Debug)]
pub(in super::super) struct Told {
    pub(in super::super) event: Part<TicketEvent>,
    pub(in super::super) sent_at: Option<Timestamp>,
    sent_written: bool,
}

impl Told {
    /// Not confirmed yet.
    pub(super) fn new(event: TicketEvent) -> Self {
        Self { event: Part::new(event), sent_at: None, sent_written: false }
    }
}

/// A new ticket and what belongs to it.
#[derive(Clone, Debug)]
pub(in super::super) struct Young {
    /// The number of the ticket's row, which is in no body.
    pub(in super::super) n: u64,
    pub(in super::super) ticket: Part<Ticket>,
    pub(in super::super) request: Option<Part<Request>>,
    /// The alarm as it is now.
    pub(in super::super) alarm: Option<Part<Alarm>>,
    /// The alarm as its table has it; none: not known.
    pub(in super::super) alarm_before: Option<Arc<Alarm>>,
    pub(in super::super) events: Vec<Told>,
}

impl Young {
    /// It has come to rest: its request has ended, and subscribers were told.
    pub(super) fn at_rest(&self) -> bool {
        self.request.as_ref().is_some_and(|it| it.row.state.ended())
            && self.events.iter().all(|told| told.sent_at.is_some())
    }

    pub(super) fn write(&mut self, journal: &mut Vec<u8>, again: bool) {
        fn one<T: Serialize>(part: &mut Part<T>, head: &Head, journal: &mut Vec<u8>, again: bool) {
            match again {
                true => part.write_again(head, journal),
                false => part.write(head, journal),
            }
        }
        one(&mut self.ticket, &Head::Ticket(self.n), journal, again);
        if let Some(request) = &mut self.request {
            let n = request.row.n;
            one(request, &Head::Request(n), journal, again);
        }
        if let Some(alarm) = &mut self.alarm {
            one(alarm, &Head::Alarm, journal, again);
        }
        for told in &mut self.events {
            let n = told.event.row.n;
            one(&mut told.event, &Head::Event(n), journal, again);
            if let Some(at) = told.sent_at
                && (again || !told.sent_written)
            {
                rows::pack(&Head::Sent(n, at), journal);
                told.sent_written = true;
            }
        }
    }
}

/// What stands before a body in the journal, or alone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Head {
    /// With its row's number, as the others that have one.
    Ticket(u64),
    Request(u64),
    /// Of the ticket that it names.
    Alarm,
    Event(u64),
    /// Without a body.
    Sent(u64, Timestamp),
    /// Number, list and time; the body is its cells.
    History(u64, HistoryList, Timestamp),
    /// Without a body: these tickets, and history rows up to that number, are in their tables.
    Written(Vec<TicketKey>, u64),
}

/// Adds a history row to a journal.
pub(super) fn write_history(row: &HistoryRow, journal: &mut Vec<u8>) {
    rows::pack(&Head::History(row.n, row.list, row.at), journal);
    rows::pack(&row.cells, journal);
}

/// The next value of a journal.
pub(super) fn next<T: serde::de::DeserializeOwned>(journal: &mut &[u8]) -> Result<T, String> {
    T::deserialize(&mut rmp_serde::Deserializer::new(journal))
        .map_err(|error| format!("its journal cannot be read: {error}"))
}
