//! The handle of the one writer: a thread that owns the write connection ([`super::work`]).

use super::fresh::Fresh;
use super::lately::Lately;
use super::open::{Folder, OpenError, SqliteSettings};
use super::queue::Queue;
use super::routes::Routes;
use super::seen::Seen;
use super::settle::recover;
use super::wal::Wal;
use super::work::{GROUP_SETS, Work};
use rusqlite::Connection;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use ticketgate_actors::changes::{Applied, ChangeSet};
use ticketgate_actors::ports::{Clock, Soon, StoreError};
use tokio::sync::oneshot;

/// Sets inside the writer, waiting or in the group at work: what memory is given to them, and
/// about half a second of work; beyond it callers wait, and so does whoever sends to them.
const QUEUED_SETS: u32 = 4096;

pub(super) type Answer = Result<Vec<Applied>, StoreError>;

/// Sets of one caller, and where their answers go. One without sets has all written to the tables, and then
/// reads.
pub(super) struct Job {
    pub(super) sets: Vec<ChangeSet>,
    pub(super) answer: oneshot::Sender<Vec<Answer>>,
    pub(super) then: Option<Read>,
}

pub(super) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The handle; dropping it lets what is queued be committed, then ends the thread.
pub(super) struct Writer {
    queue: Arc<Queue<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        folder: &Folder,
        (connection, wal): (Connection, Arc<Wal>),
        (clock, node): (Arc<dyn Clock>, String),
        (fresh, seen, routes): (Arc<Fresh>, Arc<Seen>, Arc<Routes>),
        settings: SqliteSettings,
    ) -> Result<Self, OpenError> {
        let queue = Queue::new(QUEUED_SETS);
        let mut lately = Lately::default();
        recover(&connection, &mut lately).map_err(|error| folder.judge_journal(error))?;
        let work = Work {
            queue: queue.clone(),
            connection,
            wal,
            lately: RefCell::new(lately),
            journal_bytes: Cell::new(0),
            all_written_at: Cell::new(clock.now().mono),
            fresh,
            seen,
            routes,
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

pub(super) fn closed() -> Answer {
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
