//! For the trace: in a few words.

use crate::changes::{Applied, Change, ChangeSet};
use crate::ports::{Call, StoreError, Work};

/// A change set in a few words.
pub(crate) fn told(set: &ChangeSet, answer: &Result<Vec<Applied>, StoreError>) -> String {
    let changes: Vec<String> = set
        .0
        .iter()
        .map(|change| match change {
            Change::TakeIn(it) => {
                format!("take in {} {:?} {:?}", it.event.alarm, it.event.state, it.event.changed_at)
            }
            Change::Decide(it) => format!(
                "decide {} v{} {:?}: {}",
                it.at.alarm,
                it.version,
                decision(&it.decision),
                it.reason
            ),
            Change::Intend(it) => format!("intend {} e{}", it.request, it.epoch),
            Change::Conclude(it) => {
                format!("conclude {} attempt {} e{} {:?}", it.request, it.attempt, it.epoch, it.end)
            }
            Change::Settle(it) => format!("settle {} {:?}", it.request, it.says),
            other => format!("{other:?}"),
        })
        .collect();
    match answer {
        Ok(applied) => {
            let odd = |it: &&Applied| matches!(it, Applied::Skipped | Applied::Stale(..));
            let odd: Vec<_> =
                applied.iter().filter(odd).map(|it| matches!(it, Applied::Skipped)).collect();
            format!(
                "{} ok{}",
                changes.join("; "),
                if odd.is_empty() { String::new() } else { format!(" skipped {odd:?}") }
            )
        }
        Err(error) => format!("{}: {error}", changes.join("; ")),
    }
}

pub(crate) fn decision(decision: &crate::changes::Decision) -> String {
    use crate::changes::Decision;
    match decision {
        Decision::Create { ticket, .. } => format!("create {ticket}"),
        Decision::CreateAgain { ticket, .. } => format!("create again {ticket}"),
        Decision::Adopt { found, .. } => format!("adopt {}", found.backend_id),
        Decision::Write { op, ticket, .. } => format!("{} {ticket}", op.as_str()),
        Decision::TakeOver { ticket, .. } => format!("take over {ticket}"),
        Decision::Nothing => "nothing".to_owned(),
        Decision::Later(at) | Decision::Wait(at) => format!("later at {at}"),
    }
}

/// A call in a few words.
pub(crate) fn told_call(call: &Call) -> String {
    let id = call.request.map_or_else(String::new, |id| format!(" of {id}"));
    match &call.work {
        Work::Create { ticket, .. } => format!("create {}{id}", ticket.key),
        Work::Update { ticket, .. } => format!("update {}{id}", ticket.key),
        Work::Close { ticket, .. } => format!("close {}{id}", ticket.key),
        Work::Reopen { ticket, .. } => format!("reopen {}{id}", ticket.key),
        Work::Get { backend_id, .. } => format!("get {backend_id}{id}"),
        Work::Search { .. } => format!("search{id}"),
        Work::Changes { .. } => format!("changes{id}"),
        Work::Probe => format!("probe{id}"),
    }
}
