//! The one writer: a thread that owns the write connection and commits in groups.
//!
//! Always: a group is whatever waits when the writer is free, so that one sync to disk is shared
//! by all who wait for it and nobody waits for company; each set stands or falls alone (D4); an
//! answer goes out only after the commit that makes it true. What the sets mean is left to
//! [`changes::perform`](ticketgate_actors::changes::perform).

use super::fresh::Fresh;
use super::lately::Lately;
use super::open::{Folder, OnFatal, OpenError};
use super::queue::{Entry, Queue};
use super::tx::SqliteTx;
use rusqlite::{Connection, ErrorCode};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use ticketgate_actors::changes::{Applied, ChangeSet, Context, Halt, perform};
use ticketgate_actors::ports::{Clock, Soon, StoreError};
use tokio::sync::oneshot;

/// Sets inside the writer, waiting or in the group at work: what memory is given to them, and
/// about half a second of work; beyond it callers wait, and so does whoever sends to them.
const QUEUED_SETS: u32 = 4096;
/// Sets after which a group takes no further job: the sync is shared widely enough by then, and
/// the first in it should not wait for more. A job has at most this many, a group less than twice.
const GROUP_SETS: usize = 512;

type Answer = Result<Vec<Applied>, StoreError>;

/// Sets of one caller, and where their answers go.
struct Job {
    sets: Vec<ChangeSet>,
    answer: oneshot::Sender<Vec<Answer>>,
}

/// The handle; dropping it lets what is queued be committed, then ends the thread.
pub(super) struct Writer {
    queue: Arc<Queue<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        folder: &Folder,
        connection: Connection,
        (clock, node): (Arc<dyn Clock>, String),
        fresh: Arc<Fresh>,
        on_fatal: OnFatal,
    ) -> Result<Self, OpenError> {
        let queue = Queue::new(QUEUED_SETS);
        let lately = RefCell::default();
        let work = Work { queue: queue.clone(), connection, lately, fresh, clock, node, on_fatal };
        let thread = folder.spawn("store-writer", move || work.run())?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) fn apply_each(&self, mut sets: Vec<ChangeSet>) -> Soon<Vec<Answer>> {
        let queue = self.queue.clone();
        Box::pin(async move {
            let count = sets.len();
            let mut waiting = Vec::with_capacity(count.div_ceil(GROUP_SETS));
            while !sets.is_empty() {
                let rest = sets.split_off(sets.len().min(GROUP_SETS));
                let weight = sets.len();
                let (answer, answered) = oneshot::channel();
                if queue.push(Job { sets, answer }, weight).await.is_err() {
                    break;
                }
                waiting.push((weight, answered));
                sets = rest;
            }
            let mut answers = Vec::with_capacity(count);
            for (weight, answered) in waiting {
                answers.extend(answered.await.unwrap_or_else(|_| vec![closed(); weight]));
            }
            answers.resize(count, closed());
            answers
        })
    }
}

fn closed() -> Answer {
    Err(StoreError::Down("the store is closed".to_owned()))
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// What the thread owns.
struct Work {
    queue: Arc<Queue<Job>>,
    connection: Connection,
    lately: RefCell<Lately>,
    fresh: Arc<Fresh>,
    clock: Arc<dyn Clock>,
    node: String,
    on_fatal: OnFatal,
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
struct Lost {
    reason: String,
    /// The disk failed; what it holds is known only after recovery.
    fatal: bool,
}

impl Drop for Work {
    /// However the thread ends, nobody is left waiting.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl Work {
    fn run(self) {
        while let Some(first) = self.queue.pop() {
            let mut count = first.item.sets.len();
            let mut group = vec![first];
            while count < GROUP_SETS
                && let Some(next) = self.queue.pop_waiting()
            {
                count += next.item.sets.len();
                group.push(next);
            }
            self.commit_and_answer(group, count);
        }
        // An empty log opens faster, and the database alone is then a whole copy.
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the store's log was not emptied at close; it is at the next open");
        }
    }

    fn commit_and_answer(&self, group: Vec<Entry<Job>>, count: usize) {
        let sets = || group.iter().flat_map(|entry| &entry.item.sets);
        let (mut answers, fatal) = match self.commit(sets(), count) {
            Ok(answers) => (answers, None),
            Err(lost) => {
                self.lately.borrow_mut().forget();
                tracing::error!(reason = lost.reason, sets = count, "a group was not committed");
                let down = Err(StoreError::Down(lost.reason.clone()));
                (vec![down; count], lost.fatal.then_some(lost.reason))
            }
        };
        for Entry { item, .. } in group {
            let rest = answers.split_off(item.sets.len());
            // A caller that has gone away does not mind.
            let _ = item.answer.send(answers);
            answers = rest;
        }
        if let Some(reason) = fatal {
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
    ) -> Result<Vec<Answer>, Lost> {
        match self.attempt(sets.clone(), count, false)? {
            Some(answers) => Ok(answers),
            None => {
                let answers = self.attempt(sets, count, true)?;
                Ok(answers.unwrap_or_else(|| vec![closed(); count]))
            }
        }
    }

    /// Applies and commits them; none: something has to be undone that cannot be undone alone, and
    /// nothing was done.
    fn attempt<'s>(
        &self,
        sets: impl Iterator<Item = &'s ChangeSet>,
        count: usize,
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
                    // Alone it needs no second attempt: the transaction was its savepoint.
                    return Ok((count == 1).then(|| vec![answer]));
                }
            }
        }
        self.write_tally()?;
        self.execute("COMMIT")?;
        self.lately.borrow_mut().news.committed(&self.fresh);
        Ok(Some(answers))
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
        } else {
            lately.tally.undone();
            lately.news.undone();
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
        // What is remembered of these numbers is from before.
        lately.open_requests.clear();
        let written = lately.tally.write(&self.connection);
        written.map_err(|error| self.lost("the counts", &error))
    }

    /// A number that moves when somebody else has written: a person with a shell. None: nobody knows.
    fn others_writes(&self) -> Option<i64> {
        let asked = self.connection.prepare_cached("PRAGMA data_version");
        asked.and_then(|mut it| it.query_row([], |row| row.get(0))).ok()
    }

    /// Runs a statement that begins or ends something; if it fails, all of it is rolled back.
    fn execute(&self, sql: &str) -> Result<(), Lost> {
        let done = self.connection.prepare_cached(sql).and_then(|mut it| it.execute([]));
        done.map(drop).map_err(|error| self.lost(sql, &error))
    }

    /// Rolls all of it back, because this failed.
    fn lost(&self, what: &str, error: &rusqlite::Error) -> Lost {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed group could not be rolled back");
        }
        Lost { reason: format!("{what}: {error}"), fatal: is_fatal(error.sqlite_error_code()) }
    }
}

/// After an I/O error nobody knows what the disk holds until it was read again: recovery does it.
/// A full disk is not one of these: SQLite says so before anything counts as written.
fn is_fatal(code: Option<ErrorCode>) -> bool {
    code == Some(ErrorCode::SystemIoFailure)
}

fn what_it_said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
}
