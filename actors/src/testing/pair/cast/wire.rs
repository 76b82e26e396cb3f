//! The wire between the connector and us, and what is watched on it: what was sent and comes back makes no
//! change (rule S5), and nothing is absent but of a set that was declared complete (S8).

use super::super::Broken;
use super::Cast;
use crate::changes::{Answered, Applied, Change, Message, Sweep};
use crate::logic::sync::view;
use crate::model::{EventName, Fields, MadeBy, Out, SyncAnswer, Ticket, TicketKey};
use std::collections::{BTreeMap, BTreeSet};

/// The sync that it speaks to.
const LINE: &str = "line";

/// A message, and the tickets in it that are just as they were sent to it last.
#[derive(Clone)]
pub(super) struct Sent {
    pub message: Message,
    pub echo: BTreeSet<String>,
}

/// The wire between the two.
#[derive(Default)]
pub(super) struct Wire {
    /// Messages under way that will come again, or late.
    pub astray: Vec<Sent>,
    /// One of them has not come at all.
    pub under_way: Option<String>,
    /// An answer that it has not taken yet.
    pub inbox: Option<(Message, SyncAnswer)>,
    /// What each pass has named so far.
    pub named: BTreeMap<String, BTreeSet<String>>,
    /// What those named that were declared complete, until their absences are told.
    whole: Vec<BTreeSet<String>>,
}

impl Cast {
    /// Delivers a message until it is answered: what the process took and forgot comes again. What in it is
    /// just as it was sent makes no change and no write (rule S5).
    pub(super) fn deliver(
        &mut self,
        sent: &Sent,
        faults: bool,
    ) -> Result<Option<Answered>, Broken> {
        let before = self.line_of(&sent.echo);
        let answered = loop {
            self.met.messages += 1;
            match self.apply(Change::SyncMessage(Box::new(sent.message.clone())), faults) {
                None => {}
                Some(Ok(Applied::SyncAnswered(answered))) => break *answered,
                Some(other) => {
                    self.tell(|| format!("{other:?}"));
                    return Ok(None);
                }
            }
        };
        let after = self.line_of(&sent.echo);
        if before != after {
            let what = format!("what was sent came back and made {after:?} of {before:?}");
            return Err(Broken { rule: "S5", what });
        }
        if !answered.repeat {
            self.was_named(&sent.message);
        }
        Ok(Some(answered))
    }

    /// These tickets as they are, and how often this sync has had each written.
    fn line_of(&self, ids: &BTreeSet<String>) -> Vec<(String, Fields, usize)> {
        let named =
            |ticket: &&Ticket| ticket.backend_id.as_ref().is_some_and(|id| ids.contains(id));
        let by_line = |by: &MadeBy| matches!(by, MadeBy::Sync { name } if name == LINE);
        let mut all: Vec<_> = self
            .rows
            .all_tickets()
            .filter(named)
            .map(|ticket| {
                let of = self.rows.all_requests().filter(|it| it.ticket == ticket.key);
                let written = of.filter(|it| by_line(&it.made_by)).count();
                (ticket.backend_id.clone().unwrap_or_default(), view(ticket), written)
            })
            .collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    fn was_named(&mut self, message: &Message) {
        let ids = message.records.iter().filter_map(|it| Some(it.told.as_ref().ok()?.id()));
        let ids: BTreeSet<_> = ids.collect();
        let Some(pass) = &message.pass else { return };
        let named = self.wire.named.entry(pass.clone()).or_default();
        named.extend(ids);
        if message.complete {
            self.wire.whole.push(named.clone());
        }
    }

    /// What nobody told of. A ticket that it was sent is sent again as absent only after a complete set that
    /// did not name it (rule S8).
    pub(super) fn sweep(&mut self) -> Result<(), Broken> {
        let before = self.lined_up();
        for plan in [self.feed.clone(), self.line.clone()] {
            let ids = (0..32).map(|_| self.fresh()).collect();
            self.apply(Change::SyncSweep(Box::new(Sweep { plan, ids })), false);
        }
        let whole = std::mem::take(&mut self.wire.whole);
        for (key, (id, out)) in self.lined_up() {
            let Some((_, was)) = before.get(&key) else { continue };
            let absent = out.is_some_and(|out| out.event == EventName::Verified) && out != *was;
            if absent && whole.iter().all(|named| named.contains(&id)) {
                let what = format!("{id} is sent as absent, of {whole:?}");
                return Err(Broken { rule: "S8", what });
            }
        }
        Ok(())
    }

    /// What this sync remembers of each ticket: its id there, and what waits for its connector.
    fn lined_up(&self) -> BTreeMap<TicketKey, (String, Option<Out>)> {
        let of = |ticket: &Ticket| {
            let twins = self.rows.clone_twins(ticket.key);
            let twin = twins.into_iter().find(|twin| twin.sync == LINE)?;
            Some((ticket.key, (ticket.backend_id.clone().unwrap_or_default(), twin.out)))
        };
        self.rows.all_tickets().filter_map(of).collect()
    }
}
