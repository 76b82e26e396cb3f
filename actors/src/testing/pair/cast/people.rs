//! People who edit on every side, and what they did last, for the checks.

use super::super::sides::FIELDS;
use super::{Cast, Edit, home};
use crate::changes::{Admission, Applied, Change, Guard, TakeCommand, Write};
use crate::logic::correlation::correlation_key;
use crate::model::{
    CommandId, Fields, Kind, Op, Origin, Reply, RequestId, STATUS, TicketKey, TicketName,
    TicketStatus, Timestamp,
};
use crate::ports::SyncTx;
use std::time::Duration;

/// The longest late commit.
const LATE_MAX_MS: u64 = 500_000;
const WORDS: [&str; 5] = ["red", "green", "blue", "black", "white"];
const STATES: [TicketStatus; 3] =
    [TicketStatus::Acknowledged, TicketStatus::InProgress, TicketStatus::Closed];

impl Cast {
    pub(super) fn some_fields(&mut self, with_status: bool) -> Fields {
        let mut fields = Fields::new();
        for _ in 0..self.dice.u32(1..3) {
            let name = FIELDS[self.dice.usize(..FIELDS.len())];
            fields.insert(name.into(), WORDS[self.dice.usize(..WORDS.len())].into());
        }
        if with_status && self.dice.u8(..4) == 0 {
            let status = STATES[self.dice.usize(..STATES.len())];
            fields.insert(STATUS.into(), status.as_str().into());
        }
        fields
    }

    pub(super) fn note(&mut self, id: &str, by: &'static str, fields: &Fields, had: &Fields) {
        self.met.edits += 1;
        // Who writes what is there already has changed nothing.
        for (name, value) in fields.iter().filter(|(name, value)| had.get(*name) != Some(value)) {
            let edit = Edit { by, value: value.clone() };
            self.edits.entry((id.to_owned(), name.clone())).or_default().push(edit);
        }
    }

    pub(super) fn edit_there(&mut self) {
        let known: Vec<String> = self.system.rows.keys().cloned().collect();
        let new = known.is_empty() || known.len() < 6 && self.dice.u8(..4) == 0;
        let id = if new {
            self.next_id += 1;
            format!("T{}", self.next_id)
        } else {
            known[self.dice.usize(..known.len())].clone()
        };
        if self.system.rows.get(&id).is_some_and(|row| row.deleted) {
            return;
        }
        let mut fields = self.some_fields(true);
        if new {
            fields.insert(STATUS.into(), TicketStatus::Acknowledged.as_str().into());
        }
        let late = match self.dice.u8(..3) {
            0 => Duration::from_millis(self.dice.u64(..LATE_MAX_MS)),
            _ => Duration::ZERO,
        };
        let now = self.now();
        self.tell(|| format!("there: {id} {fields:?}, seen {late:?} later"));
        let had = self.system.rows.get(&id).map(|row| row.fields.clone()).unwrap_or_default();
        self.system.edit(&id, &fields, now, late);
        if self.dice.u8(..40) == 0 {
            self.tell(|| format!("there: {id} is of the future"));
            self.system.dream(&id, now);
        }
        self.note(&id, "there", &fields, &had);
    }

    /// A command of ours: an update of a ticket, or a create.
    pub(super) fn edit_here(&mut self) {
        let tickets = self.rows.tickets_of_after(&home(), 0, 100).unwrap_or_default();
        let create = tickets.is_empty() || self.dice.u8(..6) == 0 && tickets.len() < 8;
        let id = CommandId(self.uuid());
        let fields = self.some_fields(false);
        let write = if create {
            Write::Create { backend: home(), kind: Kind::Incident, alarm: None }
        } else {
            let (_, ticket) = &tickets[self.dice.usize(..tickets.len())];
            Write::Change(Op::Update, TicketName::Key(ticket.key))
        };
        let ticket = TicketKey(self.uuid());
        let origin = Origin::Command { id: id.to_string() };
        let take = TakeCommand {
            id,
            body_hash: [0; 16],
            write,
            fields: fields.clone(),
            guard: Guard::None,
            reply: Reply::default(),
            request: RequestId(self.uuid()),
            ticket,
            correlation_key: correlation_key("pair", &home(), Kind::Incident, &origin),
            admission: Admission::default(),
        };
        let taken = self.apply(Change::Command(Box::new(take)), false);
        if let Some(Ok(Applied::Command(taken))) = taken {
            let name = taken.ticket.backend_id.clone();
            self.tell(|| format!("here: {} {name:?} {fields:?}", taken.ticket.key));
            // A create's edits are of the ticket that the system will name.
            let key = taken.ticket.correlation_key.0.clone();
            let made = self.system.rows.iter().find(|(_, row)| row.key == key);
            let id = name.or_else(|| made.map(|(id, _)| id.clone())).unwrap_or(key);
            // A command is written when its turn comes, whatever is there by then.
            self.note(&id, "here", &fields, &Fields::new());
        }
    }

    pub(super) fn edit_at_the_connector(&mut self) {
        let known: Vec<String> = self.element.table.keys().cloned().collect();
        if known.is_empty() {
            return;
        }
        let id = known[self.dice.usize(..known.len())].clone();
        let fields = self.some_fields(true);
        let at = self.element.clock(self.now());
        self.tell(|| format!("connector: {id} {fields:?}"));
        let had = self.element.table.get(&id).map(|copy| copy.fields.clone()).unwrap_or_default();
        self.note(&id, "connector", &fields, &had);
        if let Some(copy) = self.element.table.get_mut(&id) {
            let changed = fields.iter().filter(|(name, value)| had.get(*name) != Some(value));
            copy.own.extend(changed.map(|(name, _)| (name.clone(), at)));
            copy.fields.extend(fields);
            copy.changed_at = at;
        }
    }

    pub(super) fn set_at_the_connector(&mut self, id: &str, fields: Fields, at: Timestamp) {
        self.note(id, "connector", &fields, &Fields::new());
        if let Some(copy) = self.element.table.get_mut(id) {
            copy.own.extend(fields.keys().map(|name| (name.clone(), at)));
            copy.fields.extend(fields);
            copy.changed_at = at;
        }
    }

    pub(super) fn rename_edits(&mut self, from: &str, to: &str) {
        let of: Vec<_> = self.edits.keys().filter(|(id, _)| id == from).cloned().collect();
        for key in of {
            if let Some(mut edits) = self.edits.remove(&key) {
                let place = self.edits.entry((to.to_owned(), key.1)).or_default();
                edits.append(place);
                *place = edits;
            }
        }
    }
}
