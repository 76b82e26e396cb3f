//! How much work a backend may have open (rule G14).
//!
//! Checked against the rows as they are when a request is journaled, so that no number of flows
//! and commands at once gets past it.

use super::{Halt, Refusal};
use crate::model::{BackendId, Op};
use crate::ports::Tx;

/// One backend's rule of admission: two numbers over its un-ended requests, those that wait for a
/// later time included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// From so many on only creates and reopens are admitted.
    pub creates_only_at: u64,
    /// From so many on nothing is: commands are told `busy`, alarms wait as levels.
    pub max_open: u64,
}

impl Default for Admission {
    fn default() -> Self {
        Self { creates_only_at: 10_000, max_open: 20_000 }
    }
}

impl Admission {
    /// May this be added to so many?
    pub fn admits(&self, op: Op, open: u64) -> bool {
        self.room(op, open) > 0
    }

    /// How many of this may be added to so many.
    pub fn room(&self, op: Op, open: u64) -> u64 {
        let limit = match op {
            Op::Create | Op::Reopen => self.max_open,
            Op::Update | Op::Close => self.creates_only_at.min(self.max_open),
        };
        limit.saturating_sub(open)
    }
}

pub(super) fn check(
    tx: &mut dyn Tx,
    admission: &Admission,
    backend: &BackendId,
    op: Op,
) -> Result<(), Halt> {
    if admission.admits(op, tx.open_requests(backend)?) || mutant!(NoAdmission) {
        return Ok(());
    }
    Err(Refusal::Full.into())
}
