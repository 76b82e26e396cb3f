//! The tickets of a lane that a person holds: no call is made for them.
//!
//! What always holds: what a person says while the lane is being taken over counts more than what the
//! take-over read, which may be older.

use crate::model::TicketKey;
use std::collections::{HashMap, HashSet};

#[derive(Debug, Default)]
pub(super) struct Held {
    tickets: HashSet<TicketKey>,
    /// Said while the lane was not ours.
    meanwhile: HashMap<TicketKey, bool>,
}

impl Held {
    /// The lane is ours; these are held.
    pub fn begin(&mut self, tickets: Vec<TicketKey>) {
        self.tickets = tickets.into_iter().collect();
        for (ticket, held) in std::mem::take(&mut self.meanwhile) {
            self.set(ticket, held, true);
        }
    }

    /// A person holds a ticket, or holds it no more.
    pub fn set(&mut self, ticket: TicketKey, held: bool, ours: bool) {
        if !ours {
            self.meanwhile.insert(ticket, held);
        } else if held {
            self.tickets.insert(ticket);
        } else {
            self.tickets.remove(&ticket);
        }
    }

    pub fn has(&self, ticket: TicketKey) -> bool {
        self.tickets.contains(&ticket)
    }

    pub fn len(&self) -> usize {
        self.tickets.len()
    }
}
