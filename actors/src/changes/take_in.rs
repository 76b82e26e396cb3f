//! An alarm event comes in: identity, then the alarm's new level (rules I1, I2; CONTRACT 1.3).

use super::{Halt, snapshot};
use crate::logic::ahead::Kind;
use crate::logic::occurrence::{Absorbed, absorb, counts_from};
use crate::logic::policy::Routing;
use crate::model::{Alarm, AlarmEvent, AlarmState, BackendId, Identity, Pass, Timestamp};
use crate::ports::Tx;
use std::time::Duration;

/// A checked event and what policy says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeIn {
    /// Names the delivery: a known one changes nothing.
    pub identity: Identity,
    /// The event.
    pub event: AlarmEvent,
    /// Where its ticket goes.
    pub routing: Routing,
    /// It was parked then, and is replayed: it counts from that time on, and what came since is newer.
    pub parked_at: Option<Timestamp>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenIn {
    /// The same delivery was here before; nothing changed.
    pub repeat: bool,
    /// It is older than what is known of its alarm, which stays as it was.
    pub older: bool,
    /// What it makes flows do.
    pub due: Option<Work>,
}

impl TakenIn {
    /// Takes out what flows have to do now; what is due later is found by the clock.
    pub fn due_by(&mut self, now: Timestamp) -> Option<Work> {
        self.due.take_if(|work| work.at <= now)
    }
}

/// Work for a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// Whose flows.
    pub backend: BackendId,
    /// From when on.
    pub at: Timestamp,
    /// Of which alarms.
    pub kind: Kind,
    /// The alarm as it is stored, where it is due now and a read would give nothing else with it. Only a
    /// shortcut: the row says the same.
    pub whole: Option<Box<Alarm>>,
}

impl Work {
    fn of(alarm: Alarm, is_first: bool, now: Timestamp) -> Option<Self> {
        let backend = alarm.backend.clone()?;
        let (at, kind) = (alarm.due_at?, Kind::of(&alarm));
        // Before the first occurrence there is no ticket. The alarms of a group are read: one that was given the
        // group's ticket is due again, and nobody is woken for it.
        let is_whole = is_first && at <= now && alarm.group.is_none();
        Some(Self { backend, at, kind, whole: is_whole.then(|| Box::new(alarm)) })
    }
}

pub(super) fn perform(tx: &mut dyn Tx, it: &TakeIn, now: Timestamp) -> Result<TakenIn, Halt> {
    let repeat = !tx.remember(&it.identity, now)? && !mutant!(RepeatsCount);
    // What was parked before a snapshot began is none of what that names.
    let snapshot = tx.snapshot(&it.event.alarm.source)?;
    let snapshot = snapshot.filter(|it_is| it.parked_at.is_none_or(|at| at >= it_is.begun_at));
    let open = snapshot.as_ref().is_some_and(|it| it.state == Pass::Open);
    if repeat && !open {
        return Ok(TakenIn { repeat: true, older: false, due: None });
    }
    let newest = tx.newest_alarm(&it.event.alarm)?;
    // That it had ended was our own conclusion, from a snapshot that did not name it. One that does is
    // right, and may name it by the very event that raised it.
    let again = newest.as_ref().filter(|alarm| {
        open && alarm.taken_as_cleared && !alarm.active && it.event.state != AlarmState::Cleared
    });
    if repeat && again.is_none() {
        if let Some(alarm) = newest {
            snapshot::name(tx, &alarm, snapshot.as_ref(), false)?;
        }
        return Ok(TakenIn { repeat: true, older: false, due: None });
    }
    let changed_at = match (again, it.parked_at) {
        (Some(alarm), _) => Some(alarm.changed_at.plus(Duration::from_millis(1))),
        (None, Some(at)) => counts_from(newest.as_ref(), &it.event, at),
        (None, None) => None,
    };
    let dated = changed_at.map(|_| AlarmEvent { changed_at, ..it.event.clone() });
    let event = dated.as_ref().unwrap_or(&it.event);
    let is_first = newest.is_none();
    let (mut alarm, news) = match absorb(newest, event, &it.routing, now) {
        Absorbed::TooOld(alarm) => (alarm, false),
        Absorbed::Changed(alarm) | Absorbed::Opened(alarm) => (alarm, true),
    };
    if let Some(at) = it.parked_at {
        alarm.story.add(now, format!("that was a message replayed which was parked at {at}"));
    }
    tx.put_alarm(&alarm)?;
    snapshot::name(tx, &alarm, snapshot.as_ref(), news)?;
    Ok(TakenIn { repeat: false, older: !news, due: Work::of(alarm, is_first, now) })
}
