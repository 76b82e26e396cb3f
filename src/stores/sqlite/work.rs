//! What the writer's thread does: it commits in groups.
//!
//! Always: a group is whatever waits when the writer is free, so that one sync to disk is shared
//! by all who wait for it; only what nobody waits for waits for company; each set stands or falls
//! alone (D4); an answer goes out only after the commit that makes it true. What the sets mean is left to
//! [`changes::perform`](ticketgate_actors::changes::perform), and how journaled rows come to their tables
//! to [`super::resting`].

use super::fresh::Fresh;
use super::lately::Lately;
use super::open::OnFatal;
use super::queue::{Entry, Popped, Queue};
use super::routes::Routes;
use super::seen::Seen;
use super::tx::SqliteTx;
use super::wal::{self, Wal};
use super::writer::{Answer, Job, closed};
use rusqlite::{Connection, ErrorCode};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::changes::{Change, ChangeSet, Context, Decide, Halt, perform};
use ticketgate_actors::model::Mono;
use ticketgate_actors::ports::{Clock, StoreError, TxError};

/// Sets after which a group takes no further job: the sync is shared widely enough by then, and
/// the first in it should not wait for more. A job has at most this many, a group less than twice.
pub(super) const GROUP_SETS: usize = 512;

/// What nobody waits for goes with the next commit that somebody waits for, if that comes within this time:
/// under load a third of all syncs to disk would be for such alone.
const COMPANY_WITHIN: Duration = Duration::from_millis(2);
/// From so many un-ended new requests of a backend on, its lane does not wait for one more.
const LANE_HAS_WORK: i64 = 3;

/// What the thread owns.
pub(super) struct Work {
    pub(super) queue: Arc<Queue<Job>>,
    pub(super) connection: Connection,
    pub(super) wal: Arc<Wal>,
    pub(super) lately: RefCell<Lately>,
    /// Bytes added to the journal since it was begun.
    pub(super) journal_bytes: Cell<usize>,
    pub(super) all_written_at: Cell<Mono>,
    pub(super) fresh: Arc<Fresh>,
    pub(super) seen: Arc<Seen>,
    pub(super) routes: Arc<Routes>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) node: String,
    /// As in [`SqliteSettings`].
    pub(super) written_at_once: usize,
    pub(super) unwritten_max: usize,
    pub(super) journal_max: usize,
    pub(super) on_fatal: OnFatal,
}

/// What became of a set within the transaction.
enum Done {
    /// All of it or nothing of it is in.
    Stands(Answer),
    /// A part of it is in and must not be.
    MustGo(Answer),
}

/// Why a whole group came to nothing.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) reason: String,
    /// The disk failed; what it holds is known only after recovery.
    pub(super) fatal: bool,
}

impl Drop for Work {
    /// However the thread ends, nobody is left waiting.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl Work {
    pub(super) fn run(self) {
        loop {
            let first = match self.first() {
                Popped::Entry(first) => first,
                Popped::Nothing => {
                    self.write_all();
                    continue;
                }
                Popped::Closed => break,
            };
            let mut count = first.item.sets.len();
            let mut group = vec![first];
            // Somebody waits for whatever comes now, or it has no more patience than this.
            while count < GROUP_SETS
                && group.last().is_some_and(|last| self.can_wait(&last.item))
                && let Popped::Entry(next) = self.queue.pop(Some(COMPANY_WITHIN))
            {
                count += next.item.sets.len();
                group.push(next);
            }
            while count < GROUP_SETS
                && let Some(next) = self.queue.pop_waiting()
            {
                count += next.item.sets.len();
                group.push(next);
            }
            self.commit_and_answer(group, count);
            self.write_some();
            if self.wal.is_long() {
                self.finish_wal();
            }
        }
        self.write_all();
        // An empty log opens faster, and the database alone is then a whole copy.
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the store's log was not emptied at close; it is at the next open");
        }
    }

    /// Does nobody wait for this: that events were confirmed, or one more request of a lane that has
    /// others?
    fn can_wait(&self, job: &Job) -> bool {
        let lately = self.lately.borrow();
        let has_work = |decide: &Decide| {
            let alarm = lately.alarms.get(&decide.at);
            let backend = alarm.and_then(|alarm| alarm.backend.as_ref());
            backend.is_some_and(|it| lately.unwritten.open_requests(it) >= LANE_HAS_WORK)
        };
        !job.sets.is_empty()
            && job.sets.iter().flat_map(|set| &set.0).all(|change| match change {
                Change::Sent(_) => true,
                Change::Decide(decide) => has_work(decide),
                _ => false,
            })
    }

    /// Moves what the thread beside this one has left of the log.
    pub(super) fn finish_wal(&self) {
        if let Err(error) = self.wal.finish(&self.connection) {
            wal::judge(&error, &self.on_fatal);
        }
    }

    fn commit_and_answer(&self, group: Vec<Entry<Job>>, count: usize) {
        let sets = || group.iter().flat_map(|entry| &entry.item.sets);
        let settle = group.iter().any(|entry| entry.item.sets.is_empty());
        let (mut answers, fault) = match self.commit(sets(), count, settle) {
            Ok(answers) => (answers, None),
            Err(lost) => {
                tracing::error!(reason = lost.reason, sets = count, "a group was not committed");
                (vec![Err(StoreError::Down(lost.reason.clone())); count], Some(lost))
            }
        };
        for Entry { item, .. } in group {
            let rest = answers.split_off(item.sets.len());
            if item.sets.is_empty() {
                // Whether it was settled.
                let down = |lost: &Lost| Err(StoreError::Down(lost.reason.clone()));
                answers.extend(fault.as_ref().map(down));
                if let (Some(read), None) = (item.then, &fault) {
                    read(&self.connection);
                }
            }
            // A caller that has gone away does not mind.
            let _ = item.answer.send(answers);
            answers = rest;
        }
        if let Some(Lost { reason, fatal: true }) = fault {
            (self.on_fatal)(reason);
        }
    }

    /// One transaction: all sets, each alone; then the sync that makes them durable.
    ///
    /// A savepoint for each set would copy every page that the set changes. So there is none at first:
    /// nearly every set stands, or is refused before it has written anything. Where one has to be
    /// undone, the whole group is, and is applied once more with savepoints.
    fn commit<'s>(
        &self,
        sets: impl Iterator<Item = &'s ChangeSet> + Clone,
        count: usize,
        settle: bool,
    ) -> Result<Vec<Answer>, Lost> {
        let attempt = |savepoints| {
            let done = self.attempt(sets.clone(), (count, settle), savepoints);
            if !matches!(done, Ok(Some(_))) {
                self.lately.borrow_mut().unwritten.all_undone();
            }
            if done.is_err() {
                self.lately.borrow_mut().forget();
            }
            done
        };
        match attempt(false)? {
            Some(answers) => Ok(answers),
            None => Ok(attempt(true)?.unwrap_or_else(|| vec![closed(); count])),
        }
    }

    /// Applies and commits them; none: something has to be undone that cannot be undone alone, and
    /// nothing was done.
    fn attempt<'s>(
        &self,
        sets: impl Iterator<Item = &'s ChangeSet>,
        (count, settle): (usize, bool),
        savepoints: bool,
    ) -> Result<Option<Vec<Answer>>, Lost> {
        self.execute("BEGIN IMMEDIATE")?;
        self.lately.borrow_mut().begin(self.others_writes());
        let mut answers = Vec::with_capacity(count);
        for set in sets {
            match self.apply(set, savepoints)? {
                Done::Stands(answer) => answers.push(answer),
                Done::MustGo(answer) => {
                    self.execute("ROLLBACK")?;
                    self.lately.borrow_mut().unwritten.all_undone();
                    if count > 1 || settle {
                        return Ok(None);
                    }
                    // Alone it needs no second attempt: the transaction was its savepoint.
                    return Ok(Some(vec![answer]));
                }
            }
        }
        if settle {
            self.in_transaction("what was journaled", |tx| tx.settle())?;
        }
        let journal = self.lately.borrow_mut().unwritten.journal();
        self.in_transaction("the journal", |tx| tx.add_to_journal(&journal))?;
        self.end(journal.len())?;
        Ok(Some(answers))
    }

    /// The counts, the commit, and what others are told then.
    pub(super) fn end(&self, journal_bytes: usize) -> Result<(), Lost> {
        self.write_tally()?;
        self.lately.borrow().unwritten.writing(&self.seen, true);
        let committed = self.execute("COMMIT");
        if committed.is_err() {
            self.lately.borrow().unwritten.writing(&self.seen, false);
        }
        committed?;
        let mut lately = self.lately.borrow_mut();
        lately.news.committed(&self.fresh);
        lately.unwritten.committed(&self.seen);
        if std::mem::take(&mut lately.routes_moved) {
            self.routes.forget();
        }
        self.journal_bytes.set(match lately.unwritten.is_empty() {
            true => 0,
            false => self.journal_bytes.get() + journal_bytes,
        });
        Ok(())
    }

    /// Does this in the transaction at work, or rolls it back.
    pub(super) fn in_transaction<T>(
        &self,
        what: &str,
        work: impl FnOnce(&mut SqliteTx<'_>) -> Result<T, TxError>,
    ) -> Result<T, Lost> {
        let mut lately = self.lately.borrow_mut();
        let mut tx = SqliteTx::new(&self.connection, &mut lately);
        let done = work(&mut tx);
        let fault = tx.fault;
        lately.tally.stands();
        done.map_err(|error| {
            let (TxError::Broken(reason) | TxError::Conflict(reason)) = error;
            self.roll_back();
            Lost { reason: format!("{what}: {reason}"), fatal: is_fatal(fault) }
        })
    }

    /// Applies one set; on an error nothing of it stays. `Lost`: the transaction is gone.
    fn apply(&self, set: &ChangeSet, savepoint: bool) -> Result<Done, Lost> {
        if savepoint {
            self.execute("SAVEPOINT one")?;
        }
        let mut lately = self.lately.borrow_mut();
        let mut tx = SqliteTx::new(&self.connection, &mut lately);
        let context = Context { now: self.clock.now(), node: &self.node };
        let outcome = catch_unwind(AssertUnwindSafe(|| perform(&mut tx, set, context)));
        let (fault, wrote) = (tx.fault, tx.wrote);
        if matches!(outcome, Ok(Ok(_))) {
            lately.tally.stands();
            lately.news.stands();
            lately.unwritten.stands();
        } else {
            lately.tally.undone();
            lately.news.undone();
            lately.unwritten.undone();
            if wrote {
                lately.forget();
            }
        }
        let error = match outcome {
            Ok(Ok(applied)) => {
                if savepoint {
                    self.execute("RELEASE one")?;
                }
                return Ok(Done::Stands(Ok(applied)));
            }
            Ok(Err(Halt::Refused(refusal))) => StoreError::Refused(refusal),
            Ok(Err(Halt::Broken(reason))) => {
                tracing::error!(reason, "a change set could not be applied");
                StoreError::Down(reason)
            }
            Err(panic) => {
                let reason = format!("a change panicked: {}", what_it_said(panic.as_ref()));
                tracing::error!(reason, "a change set could not be applied");
                StoreError::Down(reason)
            }
        };
        if self.connection.is_autocommit() {
            // On some errors SQLite rolls the whole transaction back by itself.
            return Err(Lost { reason: error.to_string(), fatal: is_fatal(fault) });
        }
        if savepoint {
            self.execute("ROLLBACK TO one")?;
            self.execute("RELEASE one")?;
        } else if wrote {
            return Ok(Done::MustGo(Err(error)));
        }
        Ok(Done::Stands(Err(error)))
    }

    /// What the group's sets have counted goes into its transaction.
    fn write_tally(&self) -> Result<(), Lost> {
        let mut lately = self.lately.borrow_mut();
        if lately.tally.is_empty() {
            return Ok(());
        }
        // What is remembered of these numbers is from before.
        lately.open_requests.clear();
        let written = lately.tally.write(&self.connection);
        written.map_err(|error| self.lost("the counts", &error))
    }

    /// A number that moves when somebody else has written: a person with a shell. None: nobody knows.
    pub(super) fn others_writes(&self) -> Option<i64> {
        let asked = self.connection.prepare_cached("PRAGMA data_version");
        asked.and_then(|mut it| it.query_row([], |row| row.get(0))).ok()
    }

    /// Runs a statement that begins or ends something; if it fails, all of it is rolled back.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Lost> {
        let done = self.connection.prepare_cached(sql).and_then(|mut it| it.execute([]));
        done.map(drop).map_err(|error| self.lost(sql, &error))
    }

    /// Rolls all of it back, because this failed.
    pub(super) fn lost(&self, what: &str, error: &rusqlite::Error) -> Lost {
        self.roll_back();
        Lost { reason: format!("{what}: {error}"), fatal: is_fatal(error.sqlite_error_code()) }
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed group could not be rolled back");
        }
    }
}

/// After an I/O error nobody knows what the disk holds until it was read again: recovery does it.
/// A full disk is not one of these: SQLite says so before anything counts as written.
pub(super) fn is_fatal(code: Option<ErrorCode>) -> bool {
    code == Some(ErrorCode::SystemIoFailure)
}

fn what_it_said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
}
