//! The one writer: a thread that owns the write connection and commits in groups.
//!
//! Always: a group is whatever waits when the writer is free, so that one sync to disk is shared
//! by all who wait for it; only what nobody waits for waits for company; each set stands or falls
//! alone (D4); an answer goes out only after the commit that makes it true. What the sets mean is left to
//! [`changes::perform`](ticketgate_actors::changes::perform).

use super::fresh::Fresh;
use super::lately::Lately;
use super::open::{Folder, OnFatal, OpenError, SqliteSettings};
use super::queue::{Entry, Popped, Queue};
use super::seen::Seen;
use super::settle::recover;
use super::tx::SqliteTx;
use rusqlite::{Connection, ErrorCode};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use ticketgate_actors::changes::{Applied, Change, ChangeSet, Context, Decide, Halt, perform};
use ticketgate_actors::model::Mono;
use ticketgate_actors::ports::{Clock, Soon, StoreError, TxError};
use tokio::sync::oneshot;

/// Sets inside the writer, waiting or in the group at work: what memory is given to them, and
/// about half a second of work; beyond it callers wait, and so does whoever sends to them.
const QUEUED_SETS: u32 = 4096;
/// Sets after which a group takes no further job: the sync is shared widely enough by then, and
/// the first in it should not wait for more. A job has at most this many, a group less than twice.
const GROUP_SETS: usize = 512;

type Answer = Result<Vec<Applied>, StoreError>;

/// What nobody waits for goes with the next commit that somebody waits for, if that comes within this time:
/// under load a third of all syncs to disk would be for such alone.
const COMPANY_WITHIN: Duration = Duration::from_millis(2);
/// From so many un-ended new requests of a backend on, its lane does not wait for one more.
const LANE_HAS_WORK: i64 = 3;
/// When nothing has come for so long, all is written: a copy of the folder, or a person with a shell, then
/// finds it in the tables.
const QUIET: Duration = Duration::from_millis(200);

/// However much comes, all is written so often: what does not come to rest for hours is in its tables, too.
const ALL_EVERY: Duration = Duration::from_secs(10);

/// Sets of one caller, and where their answers go. One without sets has all written to the tables, and then
/// reads.
struct Job {
    sets: Vec<ChangeSet>,
    answer: oneshot::Sender<Vec<Answer>>,
    then: Option<Read>,
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

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
        (fresh, seen): (Arc<Fresh>, Arc<Seen>),
        settings: SqliteSettings,
    ) -> Result<Self, OpenError> {
        let queue = Queue::new(QUEUED_SETS);
        let mut lately = Lately::default();
        recover(&connection, &mut lately).map_err(|error| folder.judge_journal(error))?;
        let work = Work {
            queue: queue.clone(),
            connection,
            lately: RefCell::new(lately),
            journal_bytes: Cell::new(0),
            all_written_at: Cell::new(clock.now().mono),
            fresh,
            seen,
            clock,
            node,
            written_at_once: settings.written_at_once,
            unwritten_max: settings.unwritten_max,
            journal_max: settings.journal_bytes,
            on_fatal: settings.on_fatal,
        };
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
                if queue.push(Job { sets, answer, then: None }, weight).await.is_err() {
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

    /// Reads on the writer's own connection, when all is in the tables, and before anything else is
    /// committed: for who goes on from the last row that was read, and must not miss one that a commit
    /// before has only journaled.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Soon<Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        let settled = self.settle_and(Some(Box::new(move |connection: &Connection| {
            let read = catch_unwind(AssertUnwindSafe(|| read(connection)));
            // Who asked may have gone away. A panic is told as no answer.
            drop(read.map(|read| answer.send(read)));
        })));
        Box::pin(async move {
            settled.await?;
            let down = |reason: String| StoreError::Down(reason);
            let read = answered.await.map_err(|_| down("the read did not end".to_owned()))?;
            read.map_err(|error| down(error.to_string()))
        })
    }

    /// Has all written to the tables that is only journaled; Ok: readers see it.
    pub(super) fn settle(&self) -> Soon<Result<(), StoreError>> {
        self.settle_and(None)
    }

    fn settle_and(&self, then: Option<Read>) -> Soon<Result<(), StoreError>> {
        let queue = self.queue.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let down = || StoreError::Down("the store is closed".to_owned());
            queue.push(Job { sets: Vec::new(), answer, then }, 1).await.map_err(|_| down())?;
            match answered.await.map_err(|_| down())?.pop() {
                Some(Err(error)) => Err(error),
                _ => Ok(()),
            }
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
    /// Bytes added to the journal since it was begun.
    journal_bytes: Cell<usize>,
    all_written_at: Cell<Mono>,
    fresh: Arc<Fresh>,
    seen: Arc<Seen>,
    clock: Arc<dyn Clock>,
    node: String,
    /// As in [`SqliteSettings`].
    written_at_once: usize,
    unwritten_max: usize,
    journal_max: usize,
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
        loop {
            let unwritten = !self.lately.borrow().unwritten.is_empty();
            let first = match self.queue.pop(unwritten.then_some(QUIET)) {
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
    fn end(&self, journal_bytes: usize) -> Result<(), Lost> {
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
        self.journal_bytes.set(match lately.unwritten.is_empty() {
            true => 0,
            false => self.journal_bytes.get() + journal_bytes,
        });
        Ok(())
    }

    /// Writes tickets that have come to rest to their tables, if there are enough of them.
    fn write_some(&self) {
        let (at_rest, all) = {
            let lately = self.lately.borrow();
            (lately.unwritten.at_rest(), lately.unwritten.len())
        };
        let now = self.clock.now().mono;
        if all > self.unwritten_max || now.since(self.all_written_at.get()) > ALL_EVERY {
            return self.write_all();
        }
        if at_rest < self.written_at_once {
            return;
        }
        let anew = self.journal_bytes.get() >= self.journal_max;
        let begun_anew = self.write_beside(|tx| tx.settle_some(self.written_at_once, anew));
        if begun_anew == Some(true) {
            self.journal_bytes.set(0);
        }
    }

    /// Writes all of them.
    fn write_all(&self) {
        self.all_written_at.set(self.clock.now().mono);
        self.write_beside(|tx| tx.settle());
    }

    /// In a transaction of its own. If it fails, all stays as it was, in the journal, and the next group
    /// tries again.
    fn write_beside<T>(
        &self,
        write: impl FnOnce(&mut SqliteTx<'_>) -> Result<T, TxError>,
    ) -> Option<T> {
        let written = self.execute("BEGIN IMMEDIATE").and_then(|()| {
            self.lately.borrow_mut().begin(self.others_writes());
            let written = self.in_transaction("what was journaled", write)?;
            self.end(0)?;
            Ok(written)
        });
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

    /// Does this in the transaction at work, or rolls it back.
    fn in_transaction<T>(
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
