//! Journaled tickets come to their tables, beside the groups of the writer ([`super::work`]).
//!
//! Always: in transactions of their own, of which none is synced to disk by itself: what they say is in the
//! journal too until the sync of a group, which is one of all that came before it.

use super::open::{NOT_SYNCED, SYNCED};
use super::queue::Popped;
use super::tx::SqliteTx;
use super::work::{Lost, Work};
use super::writer::Job;
use std::time::Duration;
use ticketgate_actors::ports::TxError;

/// When nothing has come for so long, all is written: a copy of the folder, or a person with a shell, then
/// finds it in the tables.
const QUIET: Duration = Duration::from_millis(200);

/// When nothing has come for so long, and a few tickets have come to rest, these are written: a moment that
/// nobody waits for.
const LULL: Duration = Duration::from_millis(1);
/// What is written in such a moment is this part of what is written at once otherwise: whoever comes meanwhile
/// waits for about a millisecond.
const LULL_PART: usize = 4;

/// However much comes, all is written so often: what does not come to rest for hours is in its tables, too.
const ALL_EVERY: Duration = Duration::from_secs(10);

impl Work {
    /// Waits for the first of a group, and writes tickets that have come to rest while there is none. Nothing:
    /// it was quiet, and not all is written.
    pub(super) fn first(&self) -> Popped<Job> {
        let few = (self.written_at_once / LULL_PART).max(1);
        let at_rest = || self.lately.borrow().unwritten.at_rest();
        while at_rest() >= few || self.wal.is_moved() {
            match self.queue.pop(Some(LULL)) {
                Popped::Nothing => {}
                popped => return popped,
            }
            if self.wal.is_moved() {
                self.finish_wal();
            } else if self.write_at_rest(few).is_none() {
                break;
            }
        }
        let unwritten = !self.lately.borrow().unwritten.is_empty();
        self.queue.pop(unwritten.then_some(QUIET))
    }

    /// Writes tickets that have come to rest to their tables, if there are enough of them.
    pub(super) fn write_some(&self) {
        let (at_rest, all) = {
            let lately = self.lately.borrow();
            (lately.unwritten.at_rest(), lately.unwritten.len())
        };
        let now = self.clock.now().mono;
        if all > self.unwritten_max || now.since(self.all_written_at.get()) > ALL_EVERY {
            return self.write_all();
        }
        if at_rest >= self.written_at_once {
            self.write_at_rest(self.written_at_once);
        }
    }

    /// Writes so many tickets that have come to rest; none: it failed.
    fn write_at_rest(&self, most: usize) -> Option<()> {
        let anew = self.journal_bytes.get() >= self.journal_max;
        let begun_anew = self.write_beside(|tx| tx.settle_some(most, anew))?;
        if begun_anew {
            self.journal_bytes.set(0);
        }
        Some(())
    }

    /// Writes all of them.
    pub(super) fn write_all(&self) {
        self.all_written_at.set(self.clock.now().mono);
        self.write_beside(|tx| tx.settle());
    }

    /// In a transaction of its own. If it fails, all stays as it was, in the journal, and the next group
    /// tries again. It is not synced to disk: what it says is in the journal until then, and the sync of the next
    /// group is one of all that came before.
    fn write_beside<T>(
        &self,
        write: impl FnOnce(&mut SqliteTx<'_>) -> Result<T, TxError>,
    ) -> Option<T> {
        let written = self.sync_commits(false).and_then(|()| {
            self.execute("BEGIN IMMEDIATE")?;
            self.lately.borrow_mut().begin(self.others_writes());
            let written = self.in_transaction("what was journaled", write)?;
            self.end(0)?;
            Ok(written)
        });
        // Nothing is committed for anybody without its sync.
        let written = self.sync_commits(true).and(written);
        match written {
            Ok(written) => Some(written),
            Err(lost) => {
                let mut lately = self.lately.borrow_mut();
                lately.unwritten.all_undone();
                lately.forget();
                tracing::error!(reason = lost.reason, "journaled rows were not written");
                if lost.fatal {
                    (self.on_fatal)(lost.reason);
                }
                None
            }
        }
    }

    /// Are commits synced to disk? A failure is fatal: nobody knows which it is now.
    fn sync_commits(&self, they_are: bool) -> Result<(), Lost> {
        let level = if they_are { SYNCED } else { NOT_SYNCED };
        // Not from the cache of statements: this takes effect when it is prepared.
        let done = self.connection.pragma_update(None, "synchronous", level);
        done.map_err(|error| Lost { fatal: true, ..self.lost("the level of syncs", &error) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Queue;
    use super::super::schema::migrate;
    use super::super::wal::Wal;
    use super::*;
    use rusqlite::Connection;
    use std::cell::Cell;
    use std::sync::Arc;
    use ticketgate_actors::model::{HistoryList, HistoryRow, Timestamp};
    use ticketgate_actors::testing::ManualClock;

    /// One history row that is only journaled.
    fn work(dir: &std::path::Path) -> Work {
        let mut connection = Connection::open(dir.join("test.db")).unwrap();
        connection.pragma_update(None, "synchronous", SYNCED).unwrap();
        migrate(&mut connection, 0).unwrap();
        let work = Work {
            queue: Queue::new(1),
            connection,
            wal: Wal::new(1),
            lately: Default::default(),
            journal_bytes: Cell::default(),
            all_written_at: Cell::default(),
            fresh: Arc::default(),
            seen: Arc::default(),
            routes: Arc::default(),
            clock: Arc::new(ManualClock::default()),
            node: "test".to_owned(),
            written_at_once: 64,
            unwritten_max: 64,
            journal_max: 1 << 20,
            on_fatal: Arc::new(|reason| panic!("{reason}")),
        };
        let (list, at) = (HistoryList::ALL[0], Timestamp::default());
        let row = HistoryRow { n: 1, list, at, cells: Vec::new() };
        work.lately.borrow_mut().unwritten.add_history(row);
        work
    }

    fn number(work: &Work, sql: &str) -> u32 {
        work.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Whether it was written or could not be.
    #[test]
    fn commits_are_synced_again_after_rows_were_written() {
        const FULL: u32 = 2;
        let dir = tempfile::tempdir().unwrap();
        let work = work(dir.path());
        let written = work.write_beside(|tx| {
            tx.settle()?;
            Err::<(), _>(TxError::Broken("told to fail".to_owned()))
        });
        assert_eq!(written, None);
        assert_eq!(number(&work, "PRAGMA synchronous"), FULL);
        assert_eq!(number(&work, "SELECT count(*) FROM history"), 0);
        work.write_all();
        assert_eq!(number(&work, "PRAGMA synchronous"), FULL);
        assert_eq!(number(&work, "SELECT count(*) FROM history"), 1);
        assert!(work.lately.borrow().unwritten.is_empty());
    }
}
