//! External locks as rows: they outlive the process (rule L4), which internal ones do not.

use super::{Applied, Halt};
use crate::model::{ClientNumber, Fence, KeptLock, Timestamp};
use crate::ports::Tx;
use uuid::Uuid;

/// A person takes a lock away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForceUnlock {
    /// From which client.
    pub client: ClientNumber,
    /// The lock, if it is an external one.
    pub guid: Option<Uuid>,
    /// Nothing of an older fence is accepted from now on.
    pub barrier: Fence,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

pub(super) fn keep(tx: &mut dyn Tx, lock: &KeptLock) -> Result<Applied, Halt> {
    // A renewal that a person's unlock has overtaken must not bring the lock back.
    if lock.fence >= tx.barrier(lock.client)? {
        tx.put_lock(lock)?;
    }
    Ok(Applied::Done)
}

pub(super) fn drop(tx: &mut dyn Tx, guid: Uuid, fence: Fence) -> Result<Applied, Halt> {
    if tx.lock(guid)?.is_some_and(|kept| kept.fence == fence) {
        tx.drop_lock(guid)?;
    }
    Ok(Applied::Done)
}

pub(super) fn force_unlock(
    tx: &mut dyn Tx,
    it: &ForceUnlock,
    now: Timestamp,
) -> Result<Applied, Halt> {
    // Its name may have got another client since, which nobody has taken away.
    if let Some(guid) = it.guid
        && tx.lock(guid)?.is_some_and(|kept| kept.client == it.client && kept.fence < it.barrier)
    {
        tx.drop_lock(guid)?;
    }
    if !mutant!(UnlockedStillWrites) {
        tx.raise_barrier(it.client, it.barrier)?;
    }
    tx.audit(now, &it.who, &format!("client {} unlocked", it.client), &it.reason)?;
    Ok(Applied::Done)
}
