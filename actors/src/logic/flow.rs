//! One flow: what to do about one due alarm. Look, search where policy asks, decide.
//!
//! A flow holds no state that outlives it: what it read stands in its decision, and the journal
//! commits it only if that is still so (rule T2).

use super::correlation::correlation_key;
use super::policy::{ClearedFirst, OnClear, PersonClosed, Policy, RaisedAgain, Ways};
use crate::changes::Decision;
use crate::model::{
    Alarm, CorrelationKey, Found, Kind, OccurrenceRef, Op, Ticket, TicketKey, TicketStatus,
    Timestamp,
};
use crate::ports::{Answer, DueAlarm, SearchBy};
use std::time::Duration;

/// A flow whose search failed, or that waits for another request, looks again after this span.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An alarm that waits for another one's request is woken by that one's end; should that be missed,
/// it looks again after this span.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(60);

/// A decision and its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// What to do.
    pub decision: Decision,
    /// Why, for `explain`.
    pub reason: String,
    /// The ticket that this rests on, with its sequence.
    pub read: Option<(TicketKey, u64)>,
    /// The other alarms whose level goes along with it, and their versions.
    pub along: Vec<(OccurrenceRef, u64)>,
}

/// What a flow does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Search the backend, then [`Flow::searched`].
    Search(SearchBy, Kind),
    /// It has decided.
    Decide(Decided),
}

/// One run over one due alarm.
#[derive(Clone, Debug)]
pub struct Flow<'a> {
    /// What was read.
    pub due: &'a DueAlarm,
    /// What applies.
    pub policy: &'a Policy,
    /// The installation's name, part of correlation keys.
    pub instance: &'a str,
    /// A fresh key, should a ticket be made.
    pub fresh: TicketKey,
    /// Now.
    pub now: Timestamp,
}

impl Flow<'_> {
    /// The first step.
    pub fn start(&self) -> Next {
        let alarm = &self.due.alarm;
        let own = self.due.ticket.as_ref().filter(|ticket| alarm.ticket == Some(ticket.key));
        match own {
            Some(ticket) => Next::Decide(self.with_ticket(alarm, ticket)),
            None => self.without_ticket(alarm),
        }
    }

    /// The search was answered.
    pub fn searched(&self, answer: Answer) -> Decided {
        let alarm = &self.due.alarm;
        let correlation_key = self.correlation_key(alarm);
        let reading = match answer {
            Answer::Read(reading) => reading,
            other => {
                return self.decided(
                    Decision::Later(self.now.plus(LOOK_AGAIN)),
                    format!("the search before the create failed: {}", said(&other)),
                );
            }
        };
        let ours = |found: &Found| {
            found.correlation_key.as_ref().is_none_or(|key| *key == correlation_key.0)
        };
        match reading.tickets.into_iter().find(ours) {
            Some(found) => {
                let reason = format!("the backend has it already as {}", found.backend_id);
                self.decided(
                    Decision::Adopt {
                        ticket: self.fresh,
                        correlation_key,
                        found: Box::new(found),
                        ours: true,
                    },
                    reason,
                )
            }
            None => self.create(alarm, "searched, not found: a new ticket"),
        }
    }

    fn without_ticket(&self, alarm: &Alarm) -> Next {
        let ways = self.ways();
        if !alarm.active && ways.cleared_first == ClearedFirst::Skip {
            return Next::Decide(self.nothing("it was cleared before a ticket was made"));
        }
        let flaps = self.flaps(alarm);
        if (ways.raised_again == RaisedAgain::Reopen || flaps)
            && alarm.active
            && (!alarm.taken_off || mutant!(BackToItsGroup))
            && let Some(before) = self.due.ticket.as_ref().filter(|t| t.is_made())
        {
            return Next::Decide(self.reopen(alarm, before, flaps));
        }
        if ways.search_first {
            return Next::Search(SearchBy::CorrelationKey(self.correlation_key(alarm)), alarm.kind);
        }
        Next::Decide(self.create(alarm, "a new occurrence without a ticket"))
    }

    /// Was it raised again so soon that it goes on with the ticket that it had?
    fn flaps(&self, alarm: &Alarm) -> bool {
        let window = self.ways().flapping;
        alarm.after_clear_ms.is_some_and(|gap| Duration::from_millis(gap) < window)
    }

    fn reopen(&self, alarm: &Alarm, before: &Ticket, flaps: bool) -> Decided {
        let read = Some((before.key, before.sequence));
        let (op, reason) = match before.status.ended() {
            true => (Op::Reopen, "the ticket of the occurrence before is opened again"),
            false => (Op::Update, "the ticket of the occurrence before is still open"),
        };
        let reason = if flaps { format!("{reason} (flapping)") } else { reason.to_owned() };
        Decided {
            decision: Decision::TakeOver {
                op,
                ticket: before.key,
                fields: self.policy.fields_for(op, alarm, &[]),
                or_at: self.now.plus(LOOK_AGAIN),
                instead_of_close: flaps,
            },
            reason: format!("raised again: {reason}"),
            read,
            along: Vec::new(),
        }
    }

    fn with_ticket(&self, alarm: &Alarm, ticket: &Ticket) -> Decided {
        let decision = self.decide_with_ticket(alarm, ticket);
        Decided { read: Some((ticket.key, ticket.sequence)), ..decision }
    }

    fn decide_with_ticket(&self, alarm: &Alarm, ticket: &Ticket) -> Decided {
        let write = |op: Op, why: &str| {
            let fields = self.policy.fields_for(op, alarm, &self.due.others);
            let decided = self.decided(Decision::Write { op, ticket: ticket.key, fields }, why);
            Decided { along: self.others(), ..decided }
        };
        // An alarm that has come to its group's ticket too late begins the group anew.
        let never_told = alarm.active && alarm.group.is_some() && alarm.settled_version == 0;
        let closed = ticket.status.ended() && ticket.is_made();
        if never_told && (closed || ticket.status == TicketStatus::Cancelled) {
            return self.create(alarm, "its group's ticket was over before it was told of");
        }
        if !ticket.is_made() {
            return match (ticket.status, alarm.active) {
                (TicketStatus::Pending, _) => self.decided(
                    Decision::Wait(self.now.plus(WAIT_FOR_OTHERS)),
                    "its ticket is being made for another alarm",
                ),
                (TicketStatus::Cancelled, _) => {
                    self.nothing("a person dropped the request that would have made its ticket")
                }
                (_, false) => self.nothing("cleared, and there is no ticket to close"),
                (_, true) => self.decided(
                    Decision::CreateAgain {
                        ticket: ticket.key,
                        fields: self.policy.fields_of(alarm, &self.due.others),
                    },
                    "its first create was refused; the alarm has changed since: tried again",
                ),
            };
        }
        let ways = self.ways();
        match (alarm.active, ticket.status.ended()) {
            (true, true) => self.closed_by_a_person(alarm, ticket),
            (false, true) => self.nothing("its ticket is closed at the backend"),
            (true, false) => write(Op::Update, "the alarm has changed"),
            (false, false) if self.due.others.iter().any(|other| other.active) => {
                write(Op::Update, "cleared; its ticket has other alarms that are not")
            }
            (false, false) => match ways.on_clear {
                OnClear::Close if ticket.adopted && !ways.close_adopted => self.nothing(
                    "cleared, but its ticket was not made by us: found there, or linked by a person \
                     (close_adopted)",
                ),
                OnClear::Close => write(Op::Close, "the alarm is cleared"),
                OnClear::Resolve => write(Op::Update, "the alarm is cleared: resolved"),
                OnClear::Note => write(Op::Update, "the alarm is cleared: a note says so"),
                OnClear::Update => write(Op::Update, "the alarm is cleared: the ticket says so"),
                OnClear::Nothing => self.nothing("cleared: policy leaves the ticket open"),
            },
        }
    }

    /// The alarm goes on, and its ticket is closed, which was not our doing.
    fn closed_by_a_person(&self, alarm: &Alarm, ticket: &Ticket) -> Decided {
        match self.ways().person_closed {
            PersonClosed::Leave => self.nothing("its ticket is closed at the backend"),
            PersonClosed::Reopen => self.decided(
                Decision::Write {
                    op: Op::Reopen,
                    ticket: ticket.key,
                    fields: self.policy.fields_for(Op::Reopen, alarm, &self.due.others),
                },
                "its ticket was closed while it goes on: opened again (person_closed)",
            ),
            PersonClosed::New => self.create(
                alarm,
                "its ticket was closed while it goes on: a new ticket (person_closed)",
            ),
        }
    }

    fn ways(&self) -> &Ways {
        self.policy.ways(&self.due.alarm)
    }

    fn others(&self) -> Vec<(OccurrenceRef, u64)> {
        let version = |other: &Alarm| (other.at.clone(), other.wanted_version);
        self.due.others.iter().map(version).collect()
    }

    fn create(&self, alarm: &Alarm, reason: &str) -> Decided {
        self.decided(
            Decision::Create {
                ticket: self.fresh,
                correlation_key: self.correlation_key(alarm),
                fields: self.policy.fields(alarm),
            },
            reason,
        )
    }

    fn correlation_key(&self, alarm: &Alarm) -> CorrelationKey {
        let backend = alarm.backend.as_ref().expect("a flow runs only for a routed alarm");
        let origin = alarm.next_origin();
        correlation_key(self.instance, backend, alarm.kind, &origin)
    }

    fn nothing(&self, reason: &str) -> Decided {
        self.decided(Decision::Nothing, reason)
    }

    fn decided(&self, decision: Decision, reason: impl Into<String>) -> Decided {
        Decided { decision, reason: reason.into(), read: None, along: Vec::new() }
    }
}

fn said(answer: &Answer) -> String {
    match answer {
        Answer::NotSent(reason) => reason.clone(),
        Answer::Busy { error, .. }
        | Answer::Retryable { error, .. }
        | Answer::Refused(error)
        | Answer::Unauthorised(error)
        | Answer::InDoubt(error) => error.reason.clone(),
        Answer::Done(_) | Answer::Acknowledged { .. } | Answer::Read(_) => {
            "an answer of another kind".to_owned()
        }
    }
}
