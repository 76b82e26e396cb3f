//! What must hold of what is over, once everything has come to rest: each end has its history (C2), and
//! what goes from the main tables takes nothing with it that matters (T5).

use super::World;
use crate::changes::{Applied, Change, Context, Retire, Walk};
use crate::model::{Alarm, HistoryList, Op, State, TicketKey};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Rows of a page: few, so that every walk has several.
const PAGE: u32 = 3;

impl World {
    pub(super) fn check_past(&mut self) {
        for (list, of) in [(HistoryList::Status, None), (HistoryList::Tickets, Some(Op::Create))] {
            self.check_history(list, of);
        }
        if self.broken.is_none() {
            self.check_retired();
        }
    }

    /// C2: one row an ended write, none for what was never sent.
    fn check_history(&mut self, list: HistoryList, of: Option<Op>) {
        let mut told: BTreeMap<String, u32> = BTreeMap::new();
        for row in self.rows.history_of(list) {
            *told.entry(row.cells[0].clone()).or_default() += 1;
        }
        let ended = self.rows.all_requests().filter(|it| {
            it.state.ended() && it.state != State::Superseded && of.is_none_or(|op| op == it.op)
        });
        let ended: BTreeMap<String, u32> = ended.map(|it| (it.id.to_string(), 1)).collect();
        if told != ended {
            self.fail("C2", format!("{list} tells {told:?} of {ended:?}"));
        }
    }

    fn check_retired(&mut self) {
        let open: HashSet<TicketKey> = self
            .rows
            .all_tickets()
            .filter(|ticket| !ticket.status.ended() && ticket.backend_id.is_some())
            .map(|ticket| ticket.key)
            .collect();
        let matters = |alarm: &&Alarm| {
            alarm.active || alarm.unsettled() || alarm.ticket.is_some_and(|it| open.contains(&it))
        };
        let kept: Vec<Alarm> = self.rows.all_alarms().filter(matters).cloned().collect();
        if let Err(what) = self.retire() {
            return self.fail("T5", what);
        }
        let there = |alarm: &Alarm| self.rows.all_alarms().any(|it| it == alarm);
        let lost = kept.iter().find(|alarm| !there(alarm));
        let broken = if let Some(alarm) = lost {
            Some(format!("{} has gone, active: {}", alarm.at.alarm, alarm.active))
        } else if let Some(key) = open.iter().find(|key| self.rows.ticket_row(**key).is_none()) {
            Some(format!("the open ticket {key} has gone"))
        } else if let Some(alarm) = self
            .rows
            .all_alarms()
            .find(|alarm| alarm.ticket.is_some_and(|ticket| self.rows.ticket_row(ticket).is_none()))
        {
            Some(format!("the ticket of {} has gone", alarm.at.alarm))
        } else if let Some((event, _)) =
            self.rows.all_events().find(|it| self.rows.ticket_row(it.0.ticket.key).is_none())
        {
            Some(format!("event {} has no ticket", event.n))
        } else {
            let stays = self.rows.all_requests().next();
            stays.map(|request| format!("request {} has ended and stays", request.id))
        };
        if let Some(what) = broken {
            self.fail("T5", what);
        }
    }

    /// A year later, with everything that is over.
    fn retire(&mut self) -> Result<(), String> {
        let before = self.clocks().wall.plus(Duration::from_secs(365 * 86_400));
        for walk in Walk::ALL {
            let mut after = Some(0);
            while let Some(from) = after {
                let page = Retire { walk, after: from, before, limit: PAGE };
                let context = Context { now: self.clocks(), node: "node-1" };
                let applied = self.rows.apply_now(&Change::Retire(page).into(), context);
                after = match applied.map_err(|error| error.to_string())?[..] {
                    [Applied::Retired(page)] => page.next,
                    _ => None,
                };
            }
        }
        Ok(())
    }
}
