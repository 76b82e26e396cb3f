//! Carries history rows to their files (rules C1, C2).
//!
//! In this order, whatever fails or dies in between: the store notes which rows leave, and to which
//! file; the file gets those that it has not, safely on disk; the store removes them, the note with the
//! last. Who finds a note at its start does the last two steps for it. So a row is in the table, in the
//! file, or for a moment in both, and never twice in a file.

use crate::changes::{Applied, Change, Past};
use crate::logic::offload::{OffloadSettings, Span, rows_to_take};
use crate::model::{HistoryList, HistoryRow, Timestamp};
use crate::ports::{Archive, ArchiveError, Leaving, Reads, Store, StoreError};
use std::sync::Arc;

/// Rows that are carried at once: what memory is given to them. A file is copied once for each part.
const PART: u64 = 50_000;
/// Rows of a read, and of a transaction that removes: neither is to be felt by others.
const PAGE: u32 = 1_000;

/// Why an offload stopped. What it did not finish, the next one does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffloadFailed {
    /// The store was not to be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file was not.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// What an offload works with.
#[derive(Clone)]
pub struct Carrier {
    /// The writer.
    pub store: Arc<dyn Store>,
    /// Committed rows.
    pub reads: Arc<dyn Reads>,
    /// The files.
    pub archive: Arc<dyn Archive>,
    /// When and how much.
    pub settings: OffloadSettings,
}

impl Carrier {
    /// One look at a list: what is too much goes, the oldest first. `ordered`: a person wants it now,
    /// and does not wait for `max_rows`. Says how many rows went.
    ///
    /// # Errors
    /// Rows that had not gone stay where they are, and are taken by the next look.
    pub async fn look(
        &self,
        list: HistoryList,
        now: Timestamp,
        ordered: bool,
    ) -> Result<u64, OffloadFailed> {
        let mut gone = self.resume(list).await?;
        let count = self.reads.history_count(list).await?;
        let mut left = rows_to_take(count, ordered, &self.settings);
        while left > 0 {
            let part = left.min(PART);
            let Some(upto) = self.reads.nth_history(list, part).await? else { break };
            let leaving = Leaving { upto, span: Span::of(now, &self.settings) };
            self.store.apply(Change::Past(Past::Leave(list, leaving)).into()).await?;
            gone += self.finish(list, leaving).await?;
            left -= part;
        }
        Ok(gone)
    }

    /// Finishes what was begun before a process died, or before the disk failed.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn resume(&self, list: HistoryList) -> Result<u64, OffloadFailed> {
        match self.reads.leaving(list).await? {
            Some(begun) => self.finish(list, begun).await,
            None => Ok(0),
        }
    }

    async fn finish(&self, list: HistoryList, it: Leaving) -> Result<u64, OffloadFailed> {
        let rows = self.rows(list, it.upto).await?;
        if let Err(error) = self.archive.append(list, it.span, rows).await {
            if matches!(error, ArchiveError::NotOurs(_)) {
                // That file never takes them: the next look may choose another.
                self.store.apply(Change::Past(Past::Stay(list)).into()).await?;
            }
            return Err(error.into());
        }
        let mut gone = 0;
        loop {
            let left = Past::Left { list, upto: it.upto, limit: PAGE };
            let page = count(self.store.apply(Change::Past(left).into()).await?);
            gone += page;
            if page < u64::from(PAGE) {
                return Ok(gone);
            }
        }
    }

    async fn rows(&self, list: HistoryList, upto: u64) -> Result<Vec<HistoryRow>, StoreError> {
        let mut rows: Vec<HistoryRow> = Vec::new();
        loop {
            let after = rows.last().map_or(0, |row| row.n);
            let page = self.reads.history_between(list, after, upto, PAGE).await?;
            let all = page.len() < PAGE as usize;
            rows.extend(page);
            if all {
                return Ok(rows);
            }
        }
    }
}

/// How many rows a change took.
pub(super) fn count(applied: Vec<Applied>) -> u64 {
    match applied[..] {
        [Applied::Count(n)] => n,
        _ => 0,
    }
}
