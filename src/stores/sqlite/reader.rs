//! The readers: a few threads, each with a connection of its own that cannot write.
//!
//! Always: a read sees one moment of the tables, even over several statements; whatever was answered by
//! the writer before the read was asked for is in it (`SqliteStore::read` has it written first). Of two
//! tickets that are committed meanwhile it may see the later one and not the earlier: who goes on from the
//! last row that was read reads with the writer (`Writer::read`). What is read is in `reads`.

use super::open::{Folder, OpenError};
use super::queue::{Popped, Queue};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use ticketgate_actors::ports::{Answered, StoreError};
use tokio::sync::oneshot;

/// Reads inside, waiting or at work: a page of a face takes a handful, a lane one at a time.
const QUEUED_READS: u32 = 256;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The handle; dropping it lets what is queued be read, then ends the threads.
pub(super) struct Readers {
    queue: Arc<Queue<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(folder: &Folder, count: usize) -> Result<Self, OpenError> {
        let mut readers = Self { queue: Queue::new(QUEUED_READS), threads: Vec::new() };
        for _ in 0..count.max(1) {
            let connection = folder.connect_reader()?;
            let queue = readers.queue.clone();
            let thread = folder.spawn("store-reader", move || serve(&queue, &connection))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs `read` on one of the connections, in a transaction of its own.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answered<T> {
        let queue = self.queue.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let work: Read = Box::new(move |connection| {
                if !answer.is_closed() {
                    let _ = answer.send(at_one_moment(connection, read));
                }
            });
            let down = |reason: &str| StoreError::Down(reason.to_owned());
            queue.push(work, 1).await.map_err(|_| down("the store is closed"))?;
            let found = answered.await.map_err(|_| down("the read did not end"))?;
            found.map_err(|error| {
                tracing::error!(%error, "the store could not be read");
                StoreError::Down(error.to_string())
            })
        })
    }
}

fn at_one_moment<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // Prepared once, where a transaction of the library's would be compiled anew for each read.
    connection.prepare_cached("BEGIN DEFERRED")?.execute([])?;
    let found = catch_unwind(AssertUnwindSafe(|| read(connection)));
    connection.prepare_cached("COMMIT")?.execute([])?;
    found.unwrap_or_else(|panic| resume_unwind(panic))
}

fn serve(queue: &Queue<Read>, connection: &Connection) {
    while let Popped::Entry(entry) = queue.pop(None) {
        // The panic itself was printed by its hook; the caller gets an error, the thread goes on.
        if catch_unwind(AssertUnwindSafe(|| (entry.item)(connection))).is_err() {
            tracing::error!("a read panicked");
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("one of the store's readers ended by a panic");
            }
        }
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
