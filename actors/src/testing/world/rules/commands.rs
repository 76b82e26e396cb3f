//! Commands: G5, and what their senders are told (G4).

use crate::changes::{CommandTaken, Guard, TakeCommand};
use crate::logic::answers;
use crate::model::{Code, MadeBy, State};
use crate::testing::world::World;

impl World {
    pub(crate) fn check_command(&mut self, it: &TakeCommand, taken: &CommandTaken) {
        self.meet(if taken.repeat { "commands repeated" } else { "commands accepted" });
        let request = &taken.request;
        if let Some((hash, first)) = self.watch.orders.get(&it.id).copied() {
            if request.id != first {
                let what = format!("command {} made {} and then {}", it.id, first, request.id);
                return self.fail("G5", what);
            }
            if it.body_hash != hash {
                let what = format!("command {} was taken again, with another body", it.id);
                return self.fail("G5", what);
            }
        }
        if !taken.repeat {
            if let Guard::Held(guid, proof) = &it.guard {
                self.check_external_lock(*guid, proof);
            }
            self.check_room(request);
        }
        self.check_told(taken);
    }

    /// Who waits behind one that backs off, or whose fate nobody knows, is told so.
    fn check_told(&mut self, taken: &CommandTaken) {
        let request = &taken.request;
        let front = self.rows.first_open(request.ticket).map(|front| (front.id, front.state));
        let Some((front, State::Wait | State::InDoubt | State::Undecided)) = front else { return };
        if front == request.id || request.state != State::Accepted {
            return;
        }
        self.meet("commands blocked");
        let front = front.to_string();
        let answer = answers::of_request(request, &taken.ticket, taken.front);
        let told = answer.said.as_ref().err();
        if !told.is_some_and(|it| it.code == Code::BlockedBy && it.field == Some(front.clone())) {
            let what =
                format!("{} waits behind {front}, and is told {:?}", request.id, answer.said);
            self.fail("G4", what);
        }
    }

    /// At the end: what was accepted as a command is one request, and what was done is done.
    pub(crate) fn check_orders(&mut self) {
        let orders = std::mem::take(&mut self.watch.orders);
        for (id, (_, request)) in orders {
            let of =
                |it: &MadeBy| matches!(it, MadeBy::Command { id: made_by, .. } if *made_by == id);
            let made = self.rows.all_requests().filter(|it| of(&it.made_by)).count();
            let Some(row) = self.rows.request_row(request).filter(|_| made == 1).cloned() else {
                return self.fail("G5", format!("command {id} made {made} requests"));
            };
            let system = &self.systems[&row.backend];
            let ledger = system.tickets.iter().find(|it| it.done.contains(&row.id));
            // An alarm that a person linked to its ticket may have closed it before.
            let declared =
                system.too_late.contains(&row.ticket) || self.truth.touched.contains(&row.ticket);
            let fits = match row.state {
                State::Done | State::Adopted => ledger.is_some() || declared,
                State::Rejected | State::Failed | State::Cancelled => ledger.is_none() || declared,
                _ => false,
            };
            if !fits {
                let (state, is) = (row.state.as_str(), ledger.map(|it| &it.id));
                let what = format!("command {id}: {} is {state}, at its system: {is:?}", row.id);
                return self.fail("G1", what);
            }
        }
    }
}
