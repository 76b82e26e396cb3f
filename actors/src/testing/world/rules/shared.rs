//! Tickets that several alarms share, by a rule of policy or by a person's hand: U1 a group has one open
//! ticket at a time; U2 none is closed while one of its alarms is active; U3 it is open while one is,
//! and closed once all are cleared and their delays are over; U4 what a person decided stands; U5 it
//! tells how each of its alarms is.

use crate::logic::policy::{OnClear, RaisedAgain};
use crate::model::{Alarm, MadeBy, Op, Request, State, Ticket, TicketKey};
use crate::testing::world::World;
use crate::testing::world::hand::Wish;

impl World {
    fn is_being_closed(&self, key: TicketKey) -> bool {
        let mut of = self.rows.all_requests().filter(|it| it.ticket == key && !it.state.ended());
        of.any(|it| it.op == Op::Close)
    }

    fn members(&self, key: TicketKey) -> Vec<Alarm> {
        self.rows.all_alarms().filter(|it| it.ticket == Some(key)).cloned().collect()
    }

    /// U1: a create was accepted for an alarm of a group.
    pub(crate) fn check_group(&mut self, of: &Alarm, request: &Request) {
        let (Some(group), Op::Create) = (&of.group, request.op) else { return };
        let of_group = |it: &Alarm| {
            it.group.as_ref() == Some(group) && it.rule == of.rule && it.backend == of.backend
        };
        // One that an alarm of another group has opened again, since a person had linked it there, is that group's.
        let is_the_groups = |key: TicketKey| {
            let members = self.members(key);
            members.iter().any(of_group)
                && members.iter().all(|it| it.group.is_none() || of_group(it))
        };
        let other = self.rows.all_tickets().find(|ticket| {
            ticket.key != request.ticket
                && ticket.backend == request.backend
                && !ticket.status.ended()
                && is_the_groups(ticket.key)
                && !self.is_being_closed(ticket.key)
        });
        if let Some(other) = other.map(|it| it.key) {
            let new = request.ticket;
            self.fail("U1", format!("group {group} has {other}, and {new} is made"));
        }
    }

    /// U2: a close is about to be sent.
    pub(crate) fn check_close(&mut self, request: &Request) {
        if request.op != Op::Close || !matches!(request.made_by, MadeBy::Level { .. }) {
            return;
        }
        let active = self.members(request.ticket).into_iter().find(|it| it.active);
        if let Some(active) = active {
            let (key, alarm) = (request.ticket, active.at.alarm);
            self.fail("U2", format!("{key} is closed while {alarm} is active"));
        }
    }

    /// U4: what a person decided stands. True: there is nothing else to be said of that alarm.
    pub(crate) fn check_wish(&mut self, row: &Alarm) -> bool {
        let Some(wish) = self.truth.by_hand.get(&row.at).copied() else { return false };
        let alarm = &row.at.alarm;
        let stands = match wish {
            Wish::NoTicket => row.ticket.is_none(),
            Wish::Link(key, _) => row.ticket == Some(key),
            Wish::Unlink(left, _) => row.ticket != Some(left),
        };
        if !stands {
            self.fail("U4", format!("{alarm} has {:?} after {wish:?}", row.ticket));
        }
        true
    }

    /// Shares this ticket with others, or did.
    pub(crate) fn is_shared(&self, row: &Alarm, key: TicketKey) -> bool {
        self.truth.touched.contains(&key)
            || row.group.is_some()
            || self.members(key).iter().any(|it| it.at.alarm != row.at.alarm)
    }

    /// U3 and U5, at the end, of a ticket that exists at its backend.
    pub(crate) fn check_shared(&mut self, ticket: &Ticket, last: &Request) {
        let members = self.members(ticket.key);
        let ways = &self.policy.ways;
        let Some(made) =
            self.systems[&ticket.backend].tickets.iter().find(|it| it.key == ticket.key)
        else {
            return;
        };
        let (key, open) = (ticket.key, made.open);
        let active = members.iter().filter(|it| it.active).count();
        // A script has closed it over them, which is not our doing: policy leaves it so (`person_closed`).
        let moved = |it: &&Request| {
            it.ticket == key && it.state == State::Done && matches!(it.op, Op::Close | Op::Reopen)
        };
        let by_command =
            self.rows.all_requests().filter(moved).last().is_some_and(|it| {
                it.op == Op::Close && matches!(it.made_by, MadeBy::Command { .. })
            });
        if active > 0 && !open && !by_command {
            let what = format!("{key} is closed, and {active} of its alarms are active");
            return self.fail("U3", what);
        }
        // A clear that was said before a person linked its alarm counts as said.
        let silent = |it: &Alarm| {
            matches!(self.truth.by_hand.get(&it.at), Some(Wish::Link(_, false) | Wish::Unlink(..)))
        };
        let taken_over = ways.raised_again == RaisedAgain::Reopen || !ways.flapping.is_zero();
        let closes = ways.on_clear == OnClear::Close && !members.iter().all(silent) && !taken_over;
        if active == 0 && open && closes {
            let what =
                format!("{key} is open, and all of its {} alarms are cleared", members.len());
            return self.fail("U3", what);
        }
        if last.state != State::Done && last.state != State::Adopted || members.len() < 2 {
            return;
        }
        let Some(list) = made.fields.get("alarms").and_then(|it| it.as_str()) else { return };
        let all_of_group = members.iter().all(|it| it.group.is_some());
        let told = |it: &Alarm| {
            let line = format!("{} on {}", it.at.alarm, it.details.object);
            let lines: Vec<_> = list.lines().filter(|text| text.ends_with(&line)).collect();
            lines.is_empty() || lines.iter().any(|text| text.starts_with("cleared") != it.active)
        };
        // Once all are cleared, it is policy's word whether the last is told.
        let wrong = members.iter().find(|it| all_of_group && active > 0 && !told(it));
        if let Some(wrong) = wrong.map(|it| (it.at.alarm.clone(), it.active)) {
            let (alarm, active) = wrong;
            let what = format!("{key} tells otherwise of {alarm}, active {active}:\n{list}");
            self.fail("U5", what);
        }
    }
}
