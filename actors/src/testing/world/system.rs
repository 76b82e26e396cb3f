//! A simulated ticketing system: slow and lying, with a ledger that tells the truth.
//!
//! What it may do late, it does within 2 x time-out of the first byte; what it has made, its search
//! shows within `index_lag`. That is what a lane's settling relies on, and all that it relies on.

use super::plan::{Fault, NEVER_OPEN};
use super::stage::Chance;
use crate::logic::lane::{Capability, LaneSettings};
use crate::model::{BackendId, Fields, Found, RequestId, TicketError, TicketKey, TicketStatus};
use crate::ports::{Answer, Call, Reading, SearchBy, TicketTarget, Work};
use std::time::Duration;

/// A ticket as it truly is.
#[derive(Debug)]
pub(super) struct Made {
    pub id: String,
    pub key: TicketKey,
    pub correlation: String,
    pub fields: Fields,
    pub open: bool,
    pub made_at: u64,
    shown_at: u64,
    /// What was done to it, in order.
    pub done: Vec<RequestId>,
}

pub(super) struct System {
    pub id: BackendId,
    pub settings: LaneSettings,
    pub tickets: Vec<Made>,
    /// Calls that may still be done.
    pub pending: Vec<TicketKey>,
    pub away_until: u64,
    pub locked_out: bool,
    pub calls: u64,
    /// Requests that it said no to, or said that it did not do.
    pub refused: Vec<RequestId>,
    pub not_done: Vec<RequestId>,
    /// Creates that were done later than promised: there may be two.
    pub too_late: Vec<TicketKey>,
    references: u64,
}

/// What becomes of a call, in milliseconds from its first byte.
pub(super) struct Fate {
    /// When it is done, if ever.
    pub done_after: Option<u64>,
    /// When something is heard.
    pub heard_after: u64,
    /// What is heard; none: what was truly done or read.
    pub heard: Option<Answer>,
    /// What is said of it later.
    pub later: Option<Later>,
}

/// A later answer.
pub(super) struct Later {
    /// From the first byte.
    pub after: u64,
    pub reference: Option<String>,
    /// None: it was done; else why it was refused.
    pub refused: Option<TicketError>,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn error(reason: &str) -> TicketError {
    TicketError::because(reason)
}

impl System {
    pub fn new(id: BackendId, settings: LaneSettings) -> Self {
        Self {
            id,
            settings,
            tickets: Vec::new(),
            pending: Vec::new(),
            away_until: 0,
            locked_out: false,
            calls: 0,
            refused: Vec::new(),
            not_done: Vec::new(),
            too_late: Vec::new(),
            references: 0,
        }
    }

    /// Decides what becomes of a call. Only what `faults` names goes wrong.
    pub fn fate(&mut self, call: &Call, now: u64, faults: &[Fault], chance: &mut Chance) -> Fate {
        self.calls += 1;
        let time_out = millis(self.settings.timeout);
        let slow = if chance.one_in(5) { time_out * 3 / 4 } else { 60 };
        let heard = |heard_after, heard| Fate {
            done_after: None,
            heard_after,
            heard: Some(heard),
            later: None,
        };
        if self.away_until > now {
            return heard(1, Answer::NotSent("connection refused".into()));
        }
        if self.locked_out {
            return heard(20, Answer::Unauthorised(error("401")));
        }
        let request = call.request;
        let is_read = written(&call.work).is_none();
        let done_after = chance.ms(5, slow.max(6));
        let has = |fault: Fault| faults.contains(&fault);
        if self.settings.answers_later && !is_read && !chance.one_in(4) {
            return self.take(call, faults, chance);
        }
        // One that is overloaded for as long as it lives: every other write is not done.
        let overloaded = has(Fault::Retryable) && self.settings.breaker_after == NEVER_OPEN;
        if overloaded && !is_read && chance.one_in(2) {
            self.not_done.extend(request);
            let error = error("come again");
            return heard(30, Answer::Retryable { error, retry_after: None });
        }
        let good = Fate {
            done_after: Some(done_after),
            heard_after: done_after + 5,
            heard: None,
            later: None,
        };
        if faults.is_empty() || !chance.one_in(3) {
            return good;
        }
        let Some(fault) = chance.rng.choice(faults).copied().filter(|it| has(*it)) else {
            return good;
        };
        let retry_after = chance.one_in(2).then(|| Duration::from_secs(chance.rng.u64(1..15)));
        let lost = Answer::InDoubt(error("the answer was lost"));
        let when_lost = if chance.one_in(2) { time_out } else { chance.ms(1, time_out) };
        match fault {
            Fault::LostAnswer => Fate {
                done_after: Some(chance.ms(1, when_lost)),
                heard_after: when_lost,
                heard: Some(lost),
                later: None,
            },
            Fault::TooLate
                if matches!(call.work, Work::Create { .. })
                    && self.settings.capability == Capability::Searchable =>
            {
                self.too_late.extend(written(&call.work).map(|ticket| ticket.key));
                let settle = millis(self.settings.settle());
                Fate {
                    // Within the time in which its ticket is watched.
                    done_after: Some(settle + chance.ms(1, 120_000)),
                    heard_after: when_lost,
                    heard: Some(lost),
                    later: None,
                }
            }
            Fault::LateApply if !is_read => Fate {
                done_after: Some(chance.ms(time_out / 2, 2 * time_out - 1)),
                heard_after: when_lost,
                heard: Some(lost),
                later: None,
            },
            Fault::LostCall => heard(when_lost, lost),
            Fault::Gibberish => Fate {
                done_after: (!is_read && chance.one_in(2)).then(|| chance.ms(1, 50)),
                heard_after: 60,
                heard: Some(Answer::InDoubt(error("200 with HTML"))),
                later: None,
            },
            Fault::Busy => heard(30, Answer::Busy { error: error("429"), retry_after }),
            Fault::Retryable => {
                self.not_done.extend(request.filter(|_| !is_read));
                heard(30, Answer::Retryable { error: error("locked by a colleague"), retry_after })
            }
            Fault::Refuse if !is_read => {
                self.refused.extend(request);
                heard(30, Answer::Refused(error("a field is missing")))
            }
            Fault::LyingSearch => heard(30, self.lie(call, chance)),
            _ => good,
        }
    }

    /// The write is taken: it is done, or refused, within `confirm_within`. Its acknowledgement may
    /// be lost, and its later answer may overtake it.
    fn take(&mut self, call: &Call, faults: &[Fault], chance: &mut Chance) -> Fate {
        let has = |fault: Fault| faults.contains(&fault);
        self.references += 1;
        let reference = chance.one_in(2).then(|| format!("{}-ref-{}", self.id, self.references));
        let time_out = millis(self.settings.timeout);
        let soon = if chance.one_in(2) { 200 } else { millis(self.settings.confirm_within) - 1 };
        let done_after = chance.ms(5, soon);
        let refused = (has(Fault::Refuse) && chance.one_in(5)).then(|| error("refused later"));
        if refused.is_some() {
            self.refused.extend(call.request);
        }
        let late = if chance.one_in(5) { 300_000 } else { 500 };
        let said = !(has(Fault::BusLoss) && chance.one_in(5));
        let heard = match has(Fault::LostAnswer) && chance.one_in(6) {
            true => Answer::InDoubt(error("the acknowledgement was lost")),
            false => Answer::Acknowledged { backend_ref: reference.clone() },
        };
        Fate {
            done_after: refused.is_none().then_some(done_after),
            heard_after: chance.ms(5, time_out.min(400)),
            heard: Some(heard),
            later: said.then(|| Later {
                after: done_after + chance.ms(0, late),
                reference,
                refused,
            }),
        }
    }

    /// An answer to a look that says nothing of the ticket that was asked for.
    fn lie(&self, call: &Call, chance: &mut Chance) -> Answer {
        match &call.work {
            Work::Search { .. } => match chance.rng.u8(..3) {
                0 => Answer::Read(Reading { more: true, ..Reading::default() }),
                1 => Answer::Refused(error("no such filter")),
                _ => Answer::Read(Reading {
                    tickets: vec![Found {
                        backend_id: "STRANGER".into(),
                        correlation_key: Some("tgstranger".into()),
                        ..Found::default()
                    }],
                    ..Reading::default()
                }),
            },
            Work::Get { .. } | Work::Probe => Answer::InDoubt(error("500")),
            _ => Answer::InDoubt(error("500, nothing done")),
        }
    }

    /// Does a call, and says what is true of it.
    pub fn act(&mut self, call: &Call, now: u64, chance: &mut Chance) -> Answer {
        match &call.work {
            Work::Create { ticket, fields } => self.make(ticket, fields, call.request, now, chance),
            Work::Update { ticket, fields } => self.write(ticket, fields, None, call.request),
            Work::Close { ticket, fields } => self.write(ticket, fields, Some(false), call.request),
            Work::Reopen { ticket, fields } => self.write(ticket, fields, Some(true), call.request),
            Work::Get { backend_id, .. } => {
                let found = self.tickets.iter().filter(|made| made.id == *backend_id);
                let tickets = found.map(|made| self.show(made)).collect();
                Answer::Read(Reading { tickets, ..Reading::default() })
            }
            Work::Search { by: SearchBy::CorrelationKey(key), limit, .. } => {
                let shown = |made: &&Made| made.correlation == key.0 && made.shown_at <= now;
                let mut tickets: Vec<_> =
                    self.tickets.iter().filter(shown).map(|made| self.show(made)).collect();
                let more = tickets.len() > *limit as usize;
                tickets.truncate(*limit as usize);
                Answer::Read(Reading { tickets, more, ..Reading::default() })
            }
            Work::Search { .. } => Answer::Refused(error("only by our key")),
            Work::Changes { .. } => Answer::Refused(error("it does not tell what changed")),
            Work::Probe => Answer::Read(Reading::default()),
        }
    }

    fn make(
        &mut self,
        target: &TicketTarget,
        fields: &Fields,
        request: Option<RequestId>,
        now: u64,
        chance: &mut Chance,
    ) -> Answer {
        let known = self.tickets.iter().find(|made| made.key == target.key);
        match (self.settings.capability, known) {
            (Capability::IdempotencyKey, Some(made))
                if now - made.made_at < millis(self.settings.key_ttl) =>
            {
                return Answer::Done(self.show(made));
            }
            (Capability::ClientId, Some(_)) => return Answer::Refused(error("it exists")),
            _ => {}
        }
        let id = match self.settings.capability {
            Capability::ClientId => target.key.to_string(),
            _ => format!("{}-{}", self.id, self.tickets.len() + 1),
        };
        let made = Made {
            id,
            key: target.key,
            correlation: target.correlation_key.0.clone(),
            fields: fields.clone(),
            open: true,
            made_at: now,
            shown_at: now + chance.ms(0, millis(self.settings.index_lag)),
            done: request.into_iter().collect(),
        };
        let answer = Answer::Done(self.show(&made));
        self.tickets.push(made);
        answer
    }

    fn write(
        &mut self,
        target: &TicketTarget,
        fields: &Fields,
        open: Option<bool>,
        request: Option<RequestId>,
    ) -> Answer {
        let theirs = target.backend_id.as_ref();
        let Some(n) = self.tickets.iter().position(|made| Some(&made.id) == theirs) else {
            return Answer::Refused(error("no such ticket"));
        };
        let made = &mut self.tickets[n];
        for (name, value) in fields {
            made.fields.insert(name.clone(), value.clone());
        }
        made.open = open.unwrap_or(made.open);
        made.done.extend(request);
        Answer::Done(self.show(&self.tickets[n]))
    }

    fn show(&self, made: &Made) -> Found {
        Found {
            backend_id: made.id.clone(),
            correlation_key: Some(made.correlation.clone()),
            status: Some(match made.open {
                true => TicketStatus::Acknowledged,
                false => TicketStatus::Closed,
            }),
            fields: made.fields.clone(),
            ..Found::default()
        }
    }
}

/// The ticket that a write is about.
pub(super) fn written(work: &Work) -> Option<&TicketTarget> {
    match work {
        Work::Create { ticket, .. }
        | Work::Update { ticket, .. }
        | Work::Close { ticket, .. }
        | Work::Reopen { ticket, .. } => Some(ticket),
        Work::Get { .. } | Work::Search { .. } | Work::Changes { .. } | Work::Probe => None,
    }
}
