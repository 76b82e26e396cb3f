//! The embedded store: one SQLite database in the data folder, no server needed.
//!
//! Always: one service a folder (D3); one writer thread, so that writes need no lock and share
//! their sync to disk (group commit); readers on their own connections, which see only committed
//! rows. New tickets are journaled in the database before they come to their tables (`unwritten`); who reads
//! such rows waits until they are there, and nobody else waits for the writer. Left to others: what a change means (`changes`), what is
//! kept how long (offload), how much disk must stay free (D1).

mod fresh;
mod lately;
mod new_tickets;
mod open;
mod past;
mod queue;
mod reader;
mod reads;
mod resting;
mod routes;
mod rows;
mod schema;
#[cfg(test)]
mod schema_tests;
mod seen;
mod settle;
mod sync;
mod tally;
mod tx;
mod unwritten;
mod wal;
mod work;
mod write;
mod writer;

pub use open::{OnFatal, OpenError, SqliteSettings};

use fresh::Fresh;
use open::Folder;
use reader::Readers;
use routes::Routes;
use rusqlite::Connection;
use seen::Seen;
use std::sync::Arc;
use ticketgate_actors::changes::{Applied, ChangeSet};
use ticketgate_actors::ports::{Answered, Clock, Soon, Store, StoreError};
use wal::{Mover, Wal};
use writer::Writer;

/// The embedded store: `Store` and `Reads` over one folder.
///
/// Dropping it lets the sets that are queued be committed, empties the write-ahead log into the
/// database and frees the folder for another service; this blocks for as long as that takes.
#[derive(Debug)]
pub struct SqliteStore {
    // In this order they are dropped: readers and mover first, so that the writer can empty the log, and
    // the folder is freed last.
    readers: Readers,
    _mover: Mover,
    writer: Writer,
    fresh: Arc<Fresh>,
    seen: Arc<Seen>,
    routes: Arc<Routes>,
    _folder: Folder,
}

impl SqliteStore {
    /// Opens the store in `settings.dir`, or makes it there; after a crash it first recovers what
    /// was committed (D2). `clock` is read for each change set when it is applied; `node` is this
    /// node's name.
    ///
    /// # Errors
    /// The folder is in use, cannot be written, or holds something that this version cannot read.
    pub fn open(
        settings: SqliteSettings,
        clock: Arc<dyn Clock>,
        node: String,
    ) -> Result<Self, OpenError> {
        let folder = Folder::claim(&settings.dir)?;
        let mut connection = folder.connect_writer(&settings)?;
        let wal = Wal::new(settings.wal_pages);
        wal.listen(&mut connection).map_err(|error| folder.judge(&error))?;
        let readers = Readers::start(&folder, settings.readers)?;
        let mover = Mover::start(&folder, wal.clone(), settings.on_fatal.clone())?;
        let (fresh, seen) = (Arc::<Fresh>::default(), Arc::<Seen>::default());
        let routes = Arc::<Routes>::default();
        let tell = (fresh.clone(), seen.clone(), routes.clone());
        let writer = Writer::start(&folder, (connection, wal), (clock, node), tell, settings)?;
        Ok(Self { readers, _mover: mover, writer, fresh, seen, routes, _folder: folder })
    }

    /// Reads rows that may be only journaled so far: those are written to their tables first.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answered<T> {
        let read = self.readers.read(read);
        if !self.seen.any() {
            return read;
        }
        let settled = self.writer.settle();
        Box::pin(async move {
            settled.await?;
            read.await
        })
    }
}

impl Store for SqliteStore {
    /// Once queued, a set is applied even if the caller stops waiting for the answer.
    fn apply_each(&self, sets: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>> {
        self.writer.apply_each(sets)
    }
}
