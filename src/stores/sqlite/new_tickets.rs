//! Row access to new tickets inside the writer's transaction: what goes to [`super::unwritten`] and not to a
//! table.
//!
//! Always: what is taken in here could have been added to its table, by every rule that a unique index
//! keeps there (T1, T4, G8); what does not fit one ticket with one alarm and one request is left to the
//! tables, after all that is here was written to them.

use super::lately::Lately;
use super::rows;
use super::tx::SqliteTx;
use rusqlite::params;
use ticketgate_actors::model::{
    Alarm, OccurrenceRef, Request, Ticket, TicketEvent, TicketKey, TicketStatus,
};
use ticketgate_actors::ports::TxError;

/// Or something that names it, and came to its table before it.
pub(super) const TICKET_IS_THERE: &str = "SELECT 1 FROM tickets WHERE key = ?1
    UNION ALL SELECT 1 FROM tickets WHERE correlation_key = ?2
    UNION ALL SELECT 1 FROM alarms WHERE ticket = ?1
    UNION ALL SELECT 1 FROM requests WHERE ticket = ?1 LIMIT 1";
pub(super) const BACKEND_ID_IS_THERE: &str =
    "SELECT 1 FROM tickets WHERE backend = ?1 AND backend_id = ?2";
pub(super) const REQUEST_IS_THERE: &str = "SELECT 1 FROM requests WHERE id = ?1";
pub(super) const EVENT_IS_THERE: &str = "SELECT 1 FROM events WHERE event_id = ?1";

/// The names of unique indexes, as [`super::schema::unique_index`] gives them.
const CORRELATION_KEYS: &str = "tickets_correlation_key (G8)";
const BACKEND_IDS: &str = "tickets_backend_id (T4)";
const EVENT_IDS: &str = "events_id";

impl SqliteTx<'_> {
    /// An alarm that is newer than its row.
    pub(super) fn unwritten_alarm(&self, at: &OccurrenceRef) -> Option<Alarm> {
        let alarm = self.lately.unwritten.of_alarm(&at.alarm)?.alarm.as_ref()?;
        (alarm.row.at == *at).then(|| Alarm::clone(&alarm.row))
    }

    /// True: it is done. False: the table is to be written.
    pub(super) fn put_unwritten_alarm(&mut self, alarm: &Alarm) -> Result<bool, TxError> {
        let Lately { unwritten, alarms, .. } = &mut *self.lately;
        if let Some(young) = unwritten.of_alarm(&alarm.at.alarm) {
            let (key, here) = (young.ticket.row.key, young.alarm.as_ref());
            let same = here.is_some_and(|it| it.row.at == alarm.at);
            if same && alarm.ticket == Some(key) {
                if here.is_none_or(|it| *it.row != *alarm) {
                    unwritten.put_alarm(key, alarm.clone(), None);
                }
                return Ok(true);
            }
            // Another ticket or another occurrence.
            if same || alarm.ticket.is_some() {
                self.settle()?;
            }
            return Ok(false);
        }
        let Some(key) = alarm.ticket else { return Ok(false) };
        let Some(young) = unwritten.ticket(key) else { return Ok(false) };
        match alarms.get(&alarm.at) {
            // The row that is there must not name another ticket: its readers go by that index.
            Some(before) if before.ticket.is_none() && young.alarm.is_none() => {
                let before = before.clone();
                unwritten.put_alarm(key, alarm.clone(), Some(before));
                Ok(true)
            }
            _ => self.settle().map(|()| false),
        }
    }

    /// As of an alarm.
    pub(super) fn put_unwritten_ticket(&mut self, ticket: &Ticket) -> Result<bool, TxError> {
        if let Some(young) = self.lately.unwritten.ticket(ticket.key) {
            let before = &*young.ticket.row;
            if before == ticket {
                return Ok(true);
            }
            if before.backend_id != ticket.backend_id {
                self.backend_id_is_free(ticket)?;
            }
            self.lately.unwritten.put_ticket(ticket.clone());
            return Ok(true);
        }
        let is_new = ticket.sequence == 0
            && ticket.status == TicketStatus::Pending
            && ticket.backend_id.is_none()
            && self.lately.tickets.get(&ticket.key).is_none();
        if !is_new {
            return Ok(false);
        }
        self.against_unwritten(ticket)?;
        let key = params![rows::id(&ticket.key.0), ticket.correlation_key.0];
        if self.one_beside(TICKET_IS_THERE, key, |_| Ok(()))?.is_some() {
            return Ok(false);
        }
        let n = self.next_ticket()?;
        self.lately.unwritten.add(n, ticket.clone());
        Ok(true)
    }

    /// Rule T4.
    fn backend_id_is_free(&mut self, ticket: &Ticket) -> Result<(), TxError> {
        self.against_unwritten(ticket)?;
        let params = params![ticket.backend.as_str(), ticket.backend_id];
        match self.one_beside(BACKEND_ID_IS_THERE, params, |_| Ok(()))? {
            Some(()) => Err(TxError::Conflict(BACKEND_IDS.to_owned())),
            None => Ok(()),
        }
    }

    /// Rules T4 and G8, where the other ticket is not in its table.
    pub(super) fn against_unwritten(&self, ticket: &Ticket) -> Result<(), TxError> {
        let unwritten = &self.lately.unwritten;
        let other = |key: Option<TicketKey>| key.is_some_and(|key| key != ticket.key);
        if other(unwritten.by_correlation_key(&ticket.correlation_key)) {
            return Err(TxError::Conflict(CORRELATION_KEYS.to_owned()));
        }
        let theirs = ticket.backend_id.as_deref();
        if other(theirs.and_then(|id| unwritten.by_backend_id(&ticket.backend, id))) {
            return Err(TxError::Conflict(BACKEND_IDS.to_owned()));
        }
        Ok(())
    }

    /// Its number, where it is done.
    pub(super) fn add_unwritten_request(
        &mut self,
        request: &Request,
    ) -> Result<Option<u64>, TxError> {
        let Some(young) = self.lately.unwritten.ticket(request.ticket) else {
            if self.lately.unwritten.of_request(request.id).is_some() {
                self.settle()?;
            }
            return Ok(None);
        };
        // Its second one. Rule T1 is the table's to keep.
        let alone = young.request.is_none();
        let id = params![rows::id(&request.id.0)];
        if !alone
            || self.lately.unwritten.of_request(request.id).is_some()
            || self.one_beside(REQUEST_IS_THERE, id, |_| Ok(()))?.is_some()
        {
            return self.settle().map(|()| None);
        }
        let n = self.next_request()?;
        self.lately.unwritten.put_request(Request { n, ..request.clone() });
        Ok(Some(n))
    }

    /// As of an alarm.
    pub(super) fn put_unwritten_request(&mut self, request: &Request) -> bool {
        let young = self.lately.unwritten.of_request(request.id);
        let Some(part) = young.and_then(|it| it.request.as_ref()) else { return false };
        let n = part.row.n;
        self.lately.unwritten.put_request(Request { n, ..request.clone() });
        true
    }

    /// The event as it is stored, where it is done.
    pub(super) fn add_unwritten_event(
        &mut self,
        event: &TicketEvent,
        n: u64,
    ) -> Result<Option<TicketEvent>, TxError> {
        let key = event.ticket.key;
        if self.lately.unwritten.ticket(key).is_none() {
            if self.lately.unwritten.has_event(event.event_id) {
                self.settle()?;
            }
            return Ok(None);
        }
        let id = params![rows::id(&event.event_id.0)];
        if self.lately.unwritten.has_event(event.event_id)
            || self.one_beside(EVENT_IS_THERE, id, |_| Ok(()))?.is_some()
        {
            return Err(TxError::Conflict(EVENT_IDS.to_owned()));
        }
        let event = TicketEvent { n, ..event.clone() };
        self.lately.unwritten.add_event(key, event.clone());
        Ok(Some(event))
    }

    /// The next number of a ticket's row.
    pub(super) fn next_ticket(&mut self) -> Result<u64, TxError> {
        let numbers = self.numbers()?;
        numbers.ticket += 1;
        Ok(numbers.ticket)
    }

    /// The next number of a request.
    pub(super) fn next_request(&mut self) -> Result<u64, TxError> {
        let numbers = self.numbers()?;
        numbers.request += 1;
        Ok(numbers.request)
    }

    /// The next number of an event.
    pub(super) fn next_event(&mut self) -> Result<u64, TxError> {
        let numbers = self.numbers()?;
        numbers.event += 1;
        Ok(numbers.event)
    }

    /// The next number of a history row.
    pub(super) fn next_history(&mut self) -> Result<u64, TxError> {
        let numbers = self.numbers()?;
        numbers.history += 1;
        Ok(numbers.history)
    }
}
