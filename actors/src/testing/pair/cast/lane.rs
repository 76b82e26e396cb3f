//! The lane: it makes the calls of requests, one after the other, and finds out what became of those whose
//! answer is lost. A system that answers later has taken them and says so afterwards.

use super::{Cast, home};
use crate::changes::{
    Applied, Asked, Change, Conclude, End, Intend, LaterAnswer, Outcome, TakeLane,
};
use crate::logic::lane::{Shows, shows};
use crate::model::{
    EventId, Fields, Found, Identity, Op, Request, RequestId, STATUS, State, TicketError,
    TicketStatus,
};
use crate::ports::Tx;
use std::time::Duration;

/// How a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// At once.
    AtOnce,
    /// It is taken, and answered later.
    Later,
    /// Done, and its answer is lost.
    Lost,
    /// Taken, and that is lost.
    TakenAndLost,
}

/// What some fields of a ticket had there before this request wrote them.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    request: RequestId,
    id: String,
    had: Fields,
}

/// A write that the system has taken.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    request: Request,
    /// The ticket's correlation key.
    key: String,
    /// It was done; its answer is yet to come.
    done: bool,
}

impl Cast {
    pub(super) fn take_lane(&mut self) {
        let take = TakeLane {
            backend: home(),
            settle: Duration::from_secs(1),
            event_id: EventId(self.uuid()),
        };
        if let Some(Ok(Applied::LaneTaken(epoch, _))) = self.apply(Change::TakeLane(take), false) {
            self.epoch = epoch;
        }
    }

    /// The lane makes the call of the first request that waits, and knows what became of it; or the
    /// process dies in between, and the next one finds out.
    pub(super) fn lane(&mut self, faults: bool) -> bool {
        if let Some(request) = self.in_state(State::InDoubt) {
            self.find_out(&request, faults);
            return true;
        }
        if !faults && self.answer_later(false) {
            return true;
        }
        let Some(request) = self.in_state(State::Accepted) else { return false };
        let front = self.rows.first_open_request(request.ticket).ok().flatten();
        let request = front.unwrap_or(request);
        if request.state == State::Accepted {
            self.send(&request, faults, None);
        }
        true
    }

    /// Nobody knows what became of it. A later answer may say that it was done; else the ticket is looked
    /// at, and what it does not show is sent again. It has settled: what was taken is done by now, or never.
    pub(super) fn find_out(&mut self, request: &Request, faults: bool) {
        let taken = self.taken.iter().position(|taken| taken.request.id == request.id);
        let by_answer = self.system.later && self.more.bool();
        if let Some(taken) = taken.map(|at| self.taken.remove(at)).filter(|taken| !taken.done) {
            // What was taken and never done, no answer says to be done.
            if by_answer || request.op == Op::Create || self.more.u8(..4) > 0 {
                self.carry_out(&taken.request, &taken.key);
            }
        }
        let found = self.found(request);
        if by_answer {
            return self.later_answer(request);
        }
        let shown = self.system.get(&found.backend_id).unwrap_or(found);
        self.tell(|| format!("a look for {}: {} {:?}", request.id, shown.backend_id, shown.fields));
        match request.op {
            Op::Create => self.conclude(request, End::Adopted(shown)),
            _ if self.is_done(request, &shown) => self.conclude(request, End::Done(shown)),
            _ => self.send(request, faults, None),
        }
    }

    fn is_done(&self, request: &Request, shown: &Found) -> bool {
        let mut all = self.rows.all_tickets();
        let ticket = all.find(|it| it.key == request.ticket);
        ticket.is_some_and(|ticket| shows(request, ticket, shown) == Shows::Done)
    }

    /// Makes the call. None: chance says how it is answered.
    pub(super) fn send(&mut self, request: &Request, faults: bool, answers: Option<Answers>) {
        let intend = Intend {
            backend: home(),
            epoch: self.epoch,
            request: request.id,
            attempts: request.attempts,
            level: None,
            with_decision: false,
        };
        let Some(Ok(Applied::Intended(request, ticket))) =
            self.apply(Change::Intend(Box::new(intend)), false)
        else {
            return;
        };
        self.now_ms += self.dice.i64(1..2_000);
        let key = ticket.correlation_key.0.clone();
        let answers = answers.unwrap_or_else(|| {
            let later = self.system.later && self.more.bool();
            let lost = faults && self.dice.u8(..6) == 0;
            match (later, lost) {
                (false, false) => Answers::AtOnce,
                (true, false) => Answers::Later,
                (false, true) => Answers::Lost,
                (true, true) => Answers::TakenAndLost,
            }
        });
        match answers {
            Answers::AtOnce | Answers::Lost => self.carry_out(&request, &key),
            Answers::Later | Answers::TakenAndLost => {
                self.tell(|| format!("lane: {} {} is taken", request.op.as_str(), request.id));
                self.taken.push(Taken { request: (*request).clone(), key, done: false });
            }
        }
        match answers {
            Answers::AtOnce => {
                let found = self.found(&request);
                self.conclude(&request, End::Done(found));
            }
            Answers::Later => self.conclude(&request, End::Acknowledged { backend_ref: None }),
            Answers::Lost | Answers::TakenAndLost => {
                self.met.crashes += 1;
                self.reader.dies();
                self.tell(|| "crash: the answer is lost".into());
                self.take_lane();
            }
        }
    }

    /// The system does what it was asked for.
    pub(super) fn carry_out(&mut self, request: &Request, key: &str) {
        let ticket = self.rows.ticket(request.ticket).ok().flatten();
        let id = match request.op {
            Op::Create => {
                self.next_id += 1;
                format!("T{}", self.next_id)
            }
            _ => ticket.and_then(|ticket| ticket.backend_id).unwrap_or_default(),
        };
        let mut fields: Fields = request.fields.clone();
        let status = match request.op {
            Op::Create | Op::Reopen => Some(TicketStatus::Acknowledged),
            Op::Close => Some(TicketStatus::Closed),
            Op::Update => None,
        };
        fields.extend(status.map(|status| (STATUS.to_owned(), status.as_str().into())));
        let now = self.now();
        self.tell(|| format!("lane: {} {id} {fields:?}", request.op.as_str()));
        if let Some(row) = self.system.rows.get(&id) {
            let had = fields.keys().filter_map(|name| row.fields.get_key_value(name));
            let had = had.map(|(name, value)| (name.clone(), value.clone())).collect();
            self.undo.push(Undo { request: request.id, id: id.clone(), had });
        }
        self.system.edit(&id, &fields, now, Duration::ZERO);
        self.system.written += 1;
        if request.op == Op::Create {
            if let Some(row) = self.system.rows.get_mut(&id) {
                row.key = key.to_owned();
            }
            self.rename_edits(key, &id);
        }
    }

    /// Somebody there undoes what was written, while nobody here knows yet that it was.
    pub(super) fn change_back(&mut self) {
        let Some(Undo { request, id, had }) = self.undo.pop() else { return };
        let open = |request: &Request| !request.state.ended();
        if had.is_empty() || !self.rows.request(request).ok().flatten().is_some_and(|it| open(&it))
        {
            return;
        }
        self.tell(|| format!("there: {id} {had:?}, as before"));
        let (now, is) = (self.now(), self.system.rows.get(&id).map(|row| row.fields.clone()));
        self.note(&id, "there", &had, &is.unwrap_or_default());
        self.system.edit(&id, &had, now, Duration::ZERO);
    }

    /// Something that was taken is done, or answered. Says whether there was anything.
    pub(super) fn answer_later(&mut self, faults: bool) -> bool {
        if self.taken.is_empty() {
            return false;
        }
        let at = self.more.usize(..self.taken.len());
        let mut taken = self.taken.remove(at);
        if faults && self.more.u8(..6) == 0 {
            // Its answer does not come in time.
            let error = TicketError::because("not confirmed");
            let end = End::InDoubt { look_at: self.now(), error };
            let request = taken.request.clone();
            self.taken.push(taken);
            self.conclude(&request, end);
        } else if !taken.done {
            self.carry_out(&taken.request, &taken.key);
            taken.done = true;
            self.taken.push(taken);
        } else {
            self.later_answer(&taken.request);
        }
        true
    }

    pub(super) fn later_answer(&mut self, request: &Request) {
        let found = self.found(request);
        self.met.later += 1;
        self.tell(|| format!("a later answer: {} is done as {}", request.id, found.backend_id));
        let answer = LaterAnswer {
            identity: Identity(self.uuid().into_bytes()),
            backend: home(),
            asked: Asked::Request(request.id),
            outcome: Outcome::Done(found),
            event_id: EventId(self.uuid()),
            watch_looks: 0,
        };
        if let Some(Err(error)) = self.apply(Change::LaterAnswer(Box::new(answer)), false) {
            self.tell(|| format!("the answer for {} is not taken: {error}", request.id));
        }
    }

    /// What the system answers.
    fn found(&mut self, request: &Request) -> Found {
        let ticket = self.rows.ticket(request.ticket).ok().flatten();
        let key = ticket.as_ref().map(|ticket| ticket.correlation_key.0.clone());
        let ours = |row: &super::super::sides::Row| Some(&row.key) == key.as_ref();
        let by_key = self.system.rows.iter().find(|(_, row)| ours(row)).map(|(id, _)| id.clone());
        let id = ticket.and_then(|ticket| ticket.backend_id).or(by_key).unwrap_or_default();
        let status = self.system.rows.get(&id).and_then(|row| row.fields.get(STATUS).cloned());
        let status = status.as_ref().and_then(|it| it.as_str()).and_then(TicketStatus::parse);
        Found { backend_id: id, status, ..Found::default() }
    }

    fn conclude(&mut self, request: &Request, end: End) {
        let conclude = Conclude {
            backend: home(),
            epoch: self.epoch,
            request: request.id,
            attempt: request.attempts,
            end,
            event_ids: [EventId(self.uuid()), EventId(self.uuid())],
            by_later_answer: false,
            watch_looks: 0,
        };
        if let Some(Err(error)) = self.apply(Change::Conclude(Box::new(conclude)), false) {
            self.tell(|| format!("{} is not concluded: {error}", request.id));
        }
    }

    pub(super) fn in_state(&mut self, state: State) -> Option<Request> {
        self.rows.requests_in(&home(), state).ok()?.into_iter().next()
    }
}
