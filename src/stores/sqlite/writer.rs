//! The one writer: a thread that owns the write connection and commits in groups.
//!
//! Always: a group is whatever waits when the writer is free, so that one sync to disk is shared
//! by all who wait for it and nobody waits for company; each set stands or falls alone (D4); an
//! answer goes out only after the commit that makes it true. What the sets mean is left to
//! [`changes::perform`](ticketgate_actors::changes::perform).

use super::open::{Folder, OnFatal, OpenError};
use super::queue::{Entry, Queue};
use super::tx::SqliteTx;
use rusqlite::{Connection, ErrorCode};
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
        clock: Arc<dyn Clock>,
        node: String,
        on_fatal: OnFatal,
    ) -> Result<Self, OpenError> {
        let queue = Queue::new(QUEUED_SETS);
        let work = Work { queue: queue.clone(), connection, clock, node, on_fatal };
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
    clock: Arc<dyn Clock>,
    node: String,
    on_fatal: OnFatal,
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
    fn commit<'s>(
        &self,
        sets: impl Iterator<Item = &'s ChangeSet>,
        count: usize,
    ) -> Result<Vec<Answer>, Lost> {
        self.execute("BEGIN IMMEDIATE")?;
        // One set alone needs no savepoint: the transaction is it.
        let shared = count > 1;
        let mut answers = Vec::with_capacity(count);
        for set in sets {
            answers.push(self.apply(set, shared)?);
        }
        if !shared && answers.iter().any(Result::is_err) {
            self.execute("ROLLBACK")?;
        } else {
            self.execute("COMMIT")?;
        }
        Ok(answers)
    }

    /// Applies one set; on an error nothing of it stays. `Lost`: the transaction is gone.
    fn apply(&self, set: &ChangeSet, shared: bool) -> Result<Answer, Lost> {
        if shared {
            self.execute("SAVEPOINT one")?;
        }
        let mut tx = SqliteTx::new(&self.connection);
        let context = Context { now: self.clock.now(), node: &self.node };
        let outcome = catch_unwind(AssertUnwindSafe(|| perform(&mut tx, set, context)));
        let fault = tx.fault;
        let error = match outcome {
            Ok(Ok(applied)) => {
                if shared {
                    self.execute("RELEASE one")?;
                }
                return Ok(Ok(applied));
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
        if shared {
            self.execute("ROLLBACK TO one")?;
            self.execute("RELEASE one")?;
        }
        Ok(Err(error))
    }

    /// Runs a statement that begins or ends something; if it fails, all of it is rolled back.
    fn execute(&self, sql: &str) -> Result<(), Lost> {
        let done = self.connection.prepare_cached(sql).and_then(|mut it| it.execute([]));
        done.map(drop).map_err(|error| {
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a failed group could not be rolled back");
            }
            Lost { reason: format!("{sql}: {error}"), fatal: is_fatal(error.sqlite_error_code()) }
        })
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
