//! A lane's calls: writes, looks, searches and sweeps, and what is learned from their answers.

use super::gate::Switched;
use super::judge::{self, Judged, Look, Seen};
use super::{Dice, DoubtHead, Effect, InFlight, Lane, Turn, note};
use crate::changes::{Change, End, Swept};
use crate::model::{Moment, Request, Ticket, TicketError};
use crate::ports::{Answer, Call, Heard, Pause, Via, Work};

impl Lane {
    pub(super) fn call(&self, request: Option<&Request>, work: Work, now: Moment) -> Call {
        Call {
            via: request.map_or(Via::Selected, |it| Via::Accepted(it.service.clone())),
            service: None,
            ticket: request.map(|request| request.ticket),
            attempt: request.map_or(0, |request| request.attempts),
            request: request.map(|request| request.id),
            alarm: request.and_then(Request::alarm).cloned(),
            work,
            send_by: now.mono.plus(self.settings.send_within),
            timeout: self.settings.timeout,
        }
    }

    pub(super) fn begin_call(
        &mut self,
        flight: InFlight,
        call: Call,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let turn = self.next_turn();
        let retry = matches!(&flight, InFlight::Write(request) if request.refusals > 0);
        self.gate.called(&self.settings, retry, now.mono);
        self.calling_since = now.mono;
        self.flight = Some((turn, flight));
        effects.push(Effect::Call(turn, Box::new(call)));
    }

    pub(super) fn begin_look(
        &mut self,
        at: usize,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let doubt = self.doubts.swap_remove(at);
        if doubt.absent {
            let change = self.intend(&doubt.request, None);
            return self.store(vec![change], now, effects);
        }
        match judge::look(&self.settings, &doubt.request, &doubt.ticket, now) {
            Look::Ask(work) => {
                let call = self.call(Some(&doubt.request), work, now);
                self.begin_call(InFlight::Look(doubt), call, now, effects);
            }
            Look::SendAgain => {
                let change = self.intend(&doubt.request, None);
                self.store(vec![change], now, effects);
            }
            Look::Undecided(error) => {
                let change = self.conclude(&doubt.request, End::Undecided(error), dice);
                self.store(vec![change], now, effects);
            }
        }
    }

    pub(super) fn answered(
        &mut self,
        turn: Turn,
        heard: Heard,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let Some((_, flight)) = self.flight.take_if(|(of, _)| *of == turn) else { return };
        self.progress += 1;
        self.primed.call_took(now.mono.since(self.calling_since));
        if std::mem::take(&mut self.lost) {
            // What it has done is in doubt at the store.
            if let InFlight::Read(id, _) = flight {
                effects.push(Effect::AnswerRead(id, heard));
            }
            return effects.push(Effect::Lost);
        }
        // As it was when the call was made: a probe that fails counts against nobody.
        let probe = self.gate.is_open();
        self.learn(&heard, now, dice, effects);
        match flight {
            InFlight::Read(id, _) => effects.push(Effect::AnswerRead(id, heard)),
            InFlight::Sweep(of) => self.swept(&of.1, heard.answer, now, dice, effects),
            InFlight::Write(request) => {
                self.wrote(&request, heard.answer, probe, now, dice, effects);
            }
            InFlight::Look(doubt) => self.looked(doubt, heard.answer, probe, now, dice, effects),
        }
    }

    /// It is to be sent again, and not now.
    fn must_not_send(&self, request: &Request, now: Moment) -> bool {
        let open = self.gate.lets_through(&self.settings, now.mono);
        !open || self.pause.is_some() || self.held.has(request.ticket)
    }

    /// What the answer says of the backend's health.
    pub(super) fn learn(
        &mut self,
        heard: &Heard,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let (health, reason, retry_after) = judge::health(&heard.answer);
        let asked = (retry_after, heard.quiet);
        let chance = dice.chance();
        let switched = self.gate.heard(&self.settings, health, reason, asked, now.mono, chance);
        match switched {
            None => {}
            Some(Switched::Opened(why)) => effects.push(Effect::Ops("breaker_open", why)),
            Some(Switched::Closed) => {
                let why = "a probe was answered".to_owned();
                effects.push(Effect::Ops("breaker_closed", why));
            }
        }
    }

    pub(super) fn wrote(
        &mut self,
        request: &Request,
        answer: Answer,
        probe: bool,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let judged = judge::answer(&self.settings, request, answer, probe, now, dice.chance());
        let mut changes = Vec::with_capacity(2);
        let end = match judged {
            Judged::End(end) => end,
            Judged::Pause(end, error) => {
                changes.push(self.pause_for(&error, now, effects));
                end
            }
        };
        note(request, &end, effects);
        // This doubt counts already, though it stands among the others only after its commit.
        let full =
            matches!(end, End::InDoubt { .. }) && self.in_doubt() + 1 >= self.settings.max_in_doubt;
        changes.insert(0, self.conclude(request, end, dice));
        if !full {
            changes.extend(self.next_intent(0, now));
        }
        self.store(changes, now, effects);
    }

    pub(super) fn looked(
        &mut self,
        mut doubt: DoubtHead,
        answer: Answer,
        probe: bool,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let seen = judge::seen(&self.settings, &doubt.request, &doubt.ticket, answer, now);
        let change = match seen {
            Seen::SendAgain if self.must_not_send(&doubt.request, now) => {
                doubt.absent = true;
                doubt.look_at = now.mono;
                self.doubts.push(doubt);
                return;
            }
            Seen::SendAgain => self.intend(&doubt.request, None),
            Seen::End(end) => {
                note(&doubt.request, &end, effects);
                self.conclude(&doubt.request, end, dice)
            }
            Seen::Pause(error) => {
                let change = self.pause_for(&error, now, effects);
                self.doubts.push(doubt);
                change
            }
            Seen::Away(why) => {
                doubt.not_answered(why, now);
                self.doubts.push(doubt);
                return;
            }
            Seen::Unanswered(error) => {
                doubt.not_answered(error.reason.clone(), now);
                let (cost, patience) = judge::impatience(probe);
                doubt.unanswered += cost;
                if doubt.unanswered < patience {
                    let looks = doubt.unanswered.div_ceil(cost);
                    let pause = self.settings.pause_after(looks, dice.chance());
                    doubt.look_at = now.mono.plus(pause);
                    self.doubts.push(doubt);
                    return;
                }
                let end = End::Undecided(TicketError {
                    reason: format!("the looks were not answered: {}", error.reason),
                    ..error
                });
                note(&doubt.request, &end, effects);
                self.conclude(&doubt.request, end, dice)
            }
        };
        self.store(vec![change], now, effects);
    }

    pub(super) fn swept(
        &mut self,
        ticket: &Ticket,
        answer: Answer,
        now: Moment,
        dice: &mut dyn Dice,
        effects: &mut Vec<Effect>,
    ) {
        let change = match answer {
            Answer::Read(reading) => Change::Swept(Box::new(Swept {
                backend: self.backend.clone(),
                epoch: self.epoch,
                ticket: ticket.key,
                found: judge::carriers(ticket, reading),
                event_id: dice.event_id(),
            })),
            Answer::Unauthorised(error) => self.pause_for(&error, now, effects),
            // It says nothing; the next sweep asks again.
            _ => return,
        };
        self.store(vec![change], now, effects);
    }

    pub(super) fn pause_for(
        &mut self,
        error: &TicketError,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> Change {
        let pause = Pause {
            since: now.wall,
            reason: format!("credentials were refused: {}", error.reason),
            by: "ticketgate".to_owned(),
        };
        // A person's pause stands, with its own reason.
        self.pause.get_or_insert_with(|| pause.clone());
        effects.push(Effect::Ops("paused", pause.reason.clone()));
        Change::PauseLane(self.backend.clone(), self.epoch, pause)
    }
}
