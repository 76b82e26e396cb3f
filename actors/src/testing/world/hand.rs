//! People who decide about alarms by hand: link, unlink, no ticket. Mirrors `Intake::by_hand`.

use super::World;
use crate::changes::{Applied, ByHand, Change, Named, Wanted};
use crate::model::{AlarmRef, CorrelationKey, OccurrenceRef, Origin, TicketKey, TicketName};
use std::collections::BTreeMap;

/// What a person wanted last of an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// This ticket; it was active then.
    Link(TicketKey, bool),
    /// Another ticket than this; it was active then.
    Unlink(TicketKey, bool),
    /// None.
    NoTicket,
}

/// The last wishes that were granted.
pub(super) type Wishes = BTreeMap<OccurrenceRef, Wish>;

impl World {
    pub(super) fn person_decides(&mut self) {
        let after = self.chance.ms(500, 15_000);
        self.outside(after, |w| {
            if w.calm {
                return;
            }
            w.person_decides();
            if w.up && w.now >= w.frozen_until {
                w.decide_by_hand();
            }
        });
    }

    fn decide_by_hand(&mut self) {
        let alarms: Vec<AlarmRef> = self.rows.all_alarms().map(|it| it.at.alarm.clone()).collect();
        let Some(alarm) = self.chance.rng.choice(&alarms).cloned() else { return };
        let Some(row) = self.rows.occurrences(&alarm).next_back().cloned() else { return };
        let of_backend = |it: &&crate::model::Ticket| Some(&it.backend) == row.backend.as_ref();
        let open = |it: &&crate::model::Ticket| !it.status.ended();
        let tickets: Vec<TicketKey> =
            self.rows.all_tickets().filter(of_backend).filter(open).map(|it| it.key).collect();
        let wanted = match (self.chance.rng.u8(..5), self.chance.rng.choice(&tickets)) {
            (0, _) => Wanted::NoTicket,
            (1 | 2, _) => Wanted::Unlink,
            (_, Some(key)) => Wanted::Link(TicketName::Key(*key)),
            (_, None) => return,
        };
        let fresh = TicketKey(self.chance.uuid());
        let row = Named {
            ticket: fresh,
            correlation_key: CorrelationKey(format!("tg-{fresh}")),
            origin: Origin::Alarm { at: row.at.clone(), number: u32::MAX },
        };
        let it = ByHand {
            alarm,
            wanted,
            row,
            seen: None,
            unverified: None,
            who: "ann".into(),
            reason: "I know better".into(),
        };
        self.note(|| format!("a person wants of {}: {:?}", it.alarm, it.wanted));
        self.apply(Change::ByHand(Box::new(it)), |w, answer| {
            for one in answer.into_iter().flatten() {
                if let Applied::ByHand(alarm) = one
                    && let Some(backend) = alarm.backend.filter(|_| alarm.due_at.is_some())
                {
                    w.wake_flows(&backend);
                }
            }
        });
    }

    /// It is durable now.
    pub(super) fn decided_by_hand(
        &mut self,
        it: &ByHand,
        row: &crate::model::Alarm,
        left: Option<TicketKey>,
    ) {
        let wish = match (&it.wanted, left) {
            (Wanted::Link(_), _) => row.ticket.map(|key| Wish::Link(key, row.active)),
            (Wanted::Unlink, left) => left.map(|key| Wish::Unlink(key, row.active)),
            (Wanted::NoTicket, _) => Some(Wish::NoTicket),
        };
        self.meet(match it.wanted {
            Wanted::Link(_) => "links by hand",
            Wanted::Unlink => "unlinks by hand",
            Wanted::NoTicket => "no-tickets by hand",
        });
        self.truth.touched.extend(left.into_iter().chain(row.ticket));
        self.truth.by_hand.extend(wish.map(|wish| (row.at.clone(), wish)));
    }
}
