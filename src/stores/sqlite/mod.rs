//! The embedded store: one SQLite database in the data folder, no server needed.
//!
//! Always: one service a folder (D3); one writer thread, so that writes need no lock and share
//! their sync to disk (group commit); readers on their own connections, which see only committed
//! rows and never wait for the writer. Left to others: what a change means (`changes`), what is
//! kept how long (offload), how much disk must stay free (D1).

mod fresh;
mod lately;
mod open;
mod past;
mod queue;
mod reader;
mod reads;
mod rows;
mod schema;
#[cfg(test)]
mod schema_tests;
mod sync;
mod tally;
mod tx;
mod writer;

pub use open::{OnFatal, OpenError, SqliteSettings};

use fresh::Fresh;
use open::Folder;
use reader::Readers;
use std::sync::Arc;
use ticketgate_actors::changes::{Applied, ChangeSet};
use ticketgate_actors::ports::{Clock, Soon, Store, StoreError};
use writer::Writer;

/// The embedded store: `Store` and `Reads` over one folder.
///
/// Dropping it lets the sets that are queued be committed, empties the write-ahead log into the
/// database and frees the folder for another service; this blocks for as long as that takes.
#[derive(Debug)]
pub struct SqliteStore {
    // In this order they are dropped: readers first, so that the writer can empty the log, and
    // the folder is freed last.
    readers: Readers,
    writer: Writer,
    fresh: Arc<Fresh>,
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
        let connection = folder.connect_writer(&settings)?;
        let readers = Readers::start(&folder, settings.readers)?;
        let fresh = Arc::<Fresh>::default();
        let on_fatal = settings.on_fatal;
        let writer = Writer::start(&folder, connection, (clock, node), fresh.clone(), on_fatal)?;
        Ok(Self { readers, writer, fresh, _folder: folder })
    }
}

impl Store for SqliteStore {
    /// Once queued, a set is applied even if the caller stops waiting for the answer.
    fn apply_each(&self, sets: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>> {
        self.writer.apply_each(sets)
    }
}
