//! Snapshots of a source: what it does not name is taken as cleared (CONTRACT 1.3).
//!
//! Always: absence counts only after an end that names the same pass as the beginning, and only if
//! everything between could be read. A clear that is made so is older than whatever its source says
//! next. Clearing goes page by page, so that no commit grows with the number of alarms.

use super::{Applied, Halt, Refusal};
use crate::logic::occurrence::{Absorbed, absorb};
use crate::logic::policy::Routing;
use crate::model::{
    Alarm, AlarmEvent, AlarmState, BackendId, Details, Identity, Mark, Pass, Snapshot, Timestamp,
};
use crate::ports::Tx;
use std::time::Duration;

/// A snapshot begins or ends.
pub(super) fn mark(
    tx: &mut dyn Tx,
    identity: &Identity,
    mark: &Mark,
    now: Timestamp,
) -> Result<Applied, Halt> {
    if !tx.remember(identity, now)? {
        return Ok(Applied::Marked { repeat: true, ended: false });
    }
    let before = tx.snapshot(&mark.source)?;
    if !mark.ends {
        let number = before.map_or(0, |before| before.number) + 1;
        tx.put_snapshot(&Snapshot {
            source: mark.source.clone(),
            number,
            pass: mark.pass.clone(),
            begun_at: now,
            at: mark.at,
            ended_at: None,
            state: Pass::Open,
            unread: 0,
            cleared: 0,
        })?;
        return Ok(Applied::Marked { repeat: false, ended: false });
    }
    let is_open = |it: &Snapshot| it.state == Pass::Open && it.pass == mark.pass;
    let Some(mut snapshot) = before.filter(is_open) else {
        return Err(Refusal::NoSnapshot.into());
    };
    let whole = snapshot.unread == 0;
    snapshot.ended_at = Some(now);
    snapshot.state = if whole { Pass::Clearing { after: 0 } } else { Pass::Torn };
    tx.put_snapshot(&snapshot)?;
    Ok(Applied::Marked { repeat: false, ended: whole })
}

/// An event of that source came: its alarm is there, for the source's newest snapshot. What is news
/// counts also after the end, until all that was not named is cleared: the source will not say it again.
pub(super) fn name(
    tx: &mut dyn Tx,
    alarm: &Alarm,
    newest: Option<&Snapshot>,
    news: bool,
) -> Result<(), Halt> {
    let clearing = |it: &Snapshot| matches!(it.state, Pass::Clearing { .. });
    let counts =
        |it: &&Snapshot| it.state == Pass::Open || news && clearing(it) && !mutant!(NewsIsCleared);
    if let Some(snapshot) = newest.filter(counts) {
        tx.mark_seen(&alarm.at, snapshot.number)?;
    }
    Ok(())
}

/// Something could not be read; of a source that is not known it may have been anybody's.
pub(super) fn unread(tx: &mut dyn Tx, source: Option<&str>) -> Result<Applied, Halt> {
    let open = match source {
        Some(source) => tx.snapshot(source)?.into_iter().collect(),
        None => tx.snapshots()?,
    };
    for mut snapshot in open.into_iter().filter(|it| it.state == Pass::Open) {
        snapshot.unread += 1;
        tx.put_snapshot(&snapshot)?;
    }
    Ok(Applied::Done)
}

/// Takes a page of what was not named as cleared.
pub(super) fn clear(
    tx: &mut dyn Tx,
    source: &str,
    limit: u32,
    now: Timestamp,
) -> Result<Applied, Halt> {
    let nothing = Ok(Applied::Cleared(Vec::new()));
    let Some(mut snapshot) = tx.snapshot(source)? else { return nothing };
    let Pass::Clearing { after } = snapshot.state else { return nothing };
    // No alarm was named by a snapshot of that number.
    let number = if mutant!(NamedIsCleared) { u64::MAX } else { snapshot.number };
    let rows = tx.unnamed(source, number, after, limit)?;
    let more = rows.len() >= limit as usize;
    let mut due: Vec<BackendId> = Vec::new();
    for (n, alarm) in rows {
        snapshot.state = Pass::Clearing { after: n };
        let Some(alarm) = alarm.filter(|_| !mutant!(NothingIsCleared)) else { continue };
        snapshot.cleared += 1;
        let alarm = cleared(alarm, &snapshot, now);
        tx.put_alarm(&alarm)?;
        due.extend(alarm.backend.filter(|_| alarm.due_at.is_some()));
    }
    if !more {
        snapshot.state = Pass::Done;
    }
    tx.put_snapshot(&snapshot)?;
    due.sort();
    due.dedup();
    Ok(Applied::Cleared(due))
}

fn cleared(alarm: Alarm, snapshot: &Snapshot, now: Timestamp) -> Alarm {
    let next = alarm.changed_at.plus(Duration::from_millis(1));
    let event = AlarmEvent {
        alarm: alarm.at.alarm.clone(),
        state: AlarmState::Cleared,
        // Not our clock: its source's may be behind, and would then raise in vain.
        changed_at: Some(snapshot.at.map_or(next, |at| at.max(next))),
        details: Details::clone(&alarm.details),
        body_hash: 0,
    };
    let reason = format!("snapshot {} of {} did not name it", snapshot.pass, snapshot.source);
    let routing = Routing { backend: alarm.backend.clone(), reason, ..Routing::default() };
    let (Absorbed::Changed(mut alarm) | Absorbed::Opened(mut alarm) | Absorbed::TooOld(mut alarm)) =
        absorb(Some(alarm), &event, &routing, now);
    alarm.taken_as_cleared = true;
    alarm.story.add_because(now, "taken as cleared", routing.reason);
    alarm
}
