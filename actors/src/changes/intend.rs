//! A lane is about to call: the intent is durable before the first byte (rule G6).
//!
//! A level-made request freezes here. If its alarm has moved on since the fields were rendered,
//! nothing is written and the lane hears [`Applied::Stale`]: it renders again, or supersedes.
//!
//! An intent may share its set with the decision that makes its request. Nobody has looked at that request
//! between the two, so what a lane knows of one that was submitted is asked of the rows.

use super::{Applied, Halt, Refusal, lane, sync};
use crate::model::{
    Alarm, BackendId, Epoch, Fields, MadeBy, Op, Request, RequestId, State, Timestamp,
};
use crate::ports::Tx;

/// Fields rendered from one version of an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// The alarm's wanted version that they were rendered from.
    pub version: u64,
    /// The business fields.
    pub fields: Fields,
}

/// One call is about to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Intend {
    /// Whose lane.
    pub backend: BackendId,
    /// Under which lease.
    pub epoch: Epoch,
    /// For which request.
    pub request: RequestId,
    /// Calls that the lane knows of. One that was intended since is skipped: what the lane has is
    /// an old copy, and the request may be in doubt by now (G7).
    pub attempts: u32,
    /// Fresh fields, where the lane rendered the level again.
    pub level: Option<Level>,
    /// The decision that makes the request stands before it in its set.
    pub with_decision: bool,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Intend, now: Timestamp) -> Result<Applied, Halt> {
    lane::check_epoch(tx, &it.backend, it.epoch)?;
    // Not a refusal: an intent often shares its set with the outcome before it, which must stand.
    let Some(mut request) = tx.request(it.request)? else { return Ok(Applied::Skipped) };
    if !matches!(request.state, State::Accepted | State::Wait | State::InDoubt)
        || request.attempts != it.attempts && !mutant!(StaleHead)
    {
        return Ok(Applied::Skipped);
    }
    if it.with_decision && !may_go(tx, it, &request)? {
        return Ok(Applied::Skipped);
    }
    if !request.frozen {
        if let Some(level) = &it.level {
            refresh(&mut request, level);
        }
        if let MadeBy::Level { at, version } = &request.made_by {
            let alarm = tx.alarm(at)?.ok_or(Refusal::NotFound)?;
            if alarm.wanted_version != *version {
                let others = others_in_group(tx, &alarm)?;
                return Ok(Applied::Stale(Box::new(request), Box::new(alarm), others));
            }
        }
        if let MadeBy::Sync { .. } = &request.made_by {
            let ticket = tx.ticket(request.ticket)?.ok_or(Refusal::NotFound)?;
            sync::freeze(tx, &mut request, &ticket)?;
        }
        request.frozen = true;
    }
    request.state = State::Intent;
    request.attempts += 1;
    // A create that is sent again by its key alone: the doubt about the earlier call stays.
    if request.op != Op::Create || request.doubt.as_ref().is_some_and(|it| it.absent_looks > 0) {
        request.doubt = None;
    }
    request.story.add(now, format!("attempt {} is being sent", request.attempts));
    tx.put_request(&request)?;
    let ticket = tx.ticket(request.ticket)?.ok_or(Refusal::NotFound)?;
    Ok(Applied::Intended(Box::new(request), Box::new(ticket)))
}

/// May a request that was just decided go at once? A create of this lane, if nothing stands before it in the
/// line of its ticket (G4) and no person holds that.
fn may_go(tx: &mut dyn Tx, it: &Intend, request: &Request) -> Result<bool, Halt> {
    if mutant!(DecidedGoesAtOnce) {
        return Ok(true);
    }
    let of_lane = request.op == Op::Create && request.backend == it.backend;
    let first = tx.first_open_request(request.ticket)?.is_some_and(|first| first.id == request.id);
    Ok(of_lane && first && tx.held(request.ticket)?.is_none())
}

/// The other alarms whose level stands in the ticket too, where a rule lets it share one.
fn others_in_group(tx: &mut dyn Tx, alarm: &Alarm) -> Result<Vec<Alarm>, Halt> {
    let (Some(_), Some(ticket)) = (&alarm.group, alarm.ticket) else { return Ok(Vec::new()) };
    let mut alarms = tx.alarms_of(ticket)?;
    alarms.retain(|other| other.at != alarm.at);
    Ok(alarms)
}

fn refresh(request: &mut Request, level: &Level) {
    if let MadeBy::Level { version, .. } = &mut request.made_by {
        *version = level.version;
        request.fields = level.fields.clone();
    }
}
