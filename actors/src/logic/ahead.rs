//! How far flows decide ahead of a lane.
//!
//! A request that waits in its lane is a row more that was written too early: its alarm may have moved on by
//! the time it is sent. So flows stop when enough requests wait for a lane, and the alarms wait as
//! levels. For each kind of due alarm apart, because a lane takes creates before updates however many of
//! those wait.

use super::lane::{CLASSES, HEADS_MAX};
use crate::model::Alarm;

/// Requests that wait in all lanes together: what the store keeps at hand of them.
const ALL: usize = 512;
/// What one lane has at least, so that it never waits for a flow.
const LEAST: usize = 8;
/// What one lane has at the most: less than its window, so that it has not to read them.
const MOST: usize = 64;
const _: () = assert!(MOST < HEADS_MAX);

/// A kind of due alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has no ticket: a create, or a reopen.
    New,
    /// It has one.
    Known,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::New, Self::Known];

    /// Of this alarm.
    pub fn of(alarm: &Alarm) -> Self {
        if alarm.ticket.is_none() { Self::New } else { Self::Known }
    }
}

/// Which flows of a lane have decided far enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    full: [bool; 2],
}

impl Ahead {
    /// Looks at the requests of each class that wait in one of so many lanes: what has changed.
    pub fn look(
        &mut self,
        waiting: [usize; CLASSES],
        lanes: usize,
    ) -> impl Iterator<Item = (Kind, bool)> + use<> {
        let most = (ALL / lanes.max(1)).clamp(LEAST, MOST);
        let [creates, closes, updates] = waiting;
        let before = self.full;
        for (full, waiting) in self.full.iter_mut().zip([creates, closes + updates]) {
            // Not at each one that goes: a page of alarms is read for several.
            *full = waiting >= if *full { most / 2 + 1 } else { most };
        }
        let changed = before.into_iter().zip(self.full).zip(Kind::ALL);
        changed.filter(|((before, now), _)| before != now).map(|((_, now), kind)| (kind, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_full_and_has_room_again_by_itself() {
        let mut ahead = Ahead::default();
        let mut look = |creates, others| ahead.look([creates, others, 0], 1).collect::<Vec<_>>();
        assert_eq!(look(MOST - 1, 0), []);
        assert_eq!(look(MOST, MOST - 1), [(Kind::New, true)]);
        assert_eq!(look(MOST - 1, MOST), [(Kind::Known, true)]);
        assert_eq!(look(MOST / 2 + 1, MOST), []);
        assert_eq!(look(MOST / 2, MOST), [(Kind::New, false)]);
        assert_eq!(look(0, 0), [(Kind::Known, false)]);
    }

    #[test]
    fn many_lanes_have_less_each_and_none_has_nothing() {
        for (lanes, most) in [(0, MOST), (8, MOST), (16, 32), (64, LEAST), (1_000, LEAST)] {
            let mut ahead = Ahead::default();
            assert_eq!(ahead.look([most - 1, 0, 0], lanes).count(), 0, "{lanes}");
            assert_eq!(ahead.look([most, 0, 0], lanes).count(), 1, "{lanes}");
        }
    }
}
