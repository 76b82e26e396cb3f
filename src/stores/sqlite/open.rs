//! The data folder: who may use it, and how its database is opened.
//!
//! Always: whoever holds the lock on `store.lock` is the only service on this folder (D3), until
//! the process ends, however it ends. Every failure is told in one sentence that names the folder.

use super::schema::{self, Unusable};
use super::settle::Unrecovered;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fmt;
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Held by the service that uses the folder.
const LOCK_FILE: &str = "store.lock";
/// The database itself.
const DATABASE_FILE: &str = "ticketgate.db";
/// A person with the `sqlite3` shell may hold the database for a moment; then it is their fault.
const BUSY: Duration = Duration::from_secs(5);
/// More than the different statements that a connection runs, so that none is compiled twice.
const STATEMENTS_KEPT: usize = 128;
/// Pages in the write-ahead log (16 MiB) from which they are moved into the database. Larger
/// than SQLite's default of 1,000: pages that change often (ends of indexes) are then moved once instead
/// of several times; not so large that opening after a crash has much to read again.
const CHECKPOINT_PAGES: u32 = 4_000;
/// To this size the log's file is cut after a burst has made it grow.
const LOG_KEPT_BYTES: u32 = 64 << 20;
/// Page cache of the writer in KiB: the hot ends of all tables and indexes. What is not in it is in the
/// system's own cache. Not larger: at most commits SQLite looks through the whole of it, because a page
/// that it renumbers while it balances a tree makes it look for pages beyond the database's end.
const WRITER_CACHE_KIB: i32 = 4 << 10;
/// Page cache of each reader in KiB. It is emptied by nearly every commit.
const READER_CACHE_KIB: i32 = 1 << 10;

/// Threads that read.
const READERS: usize = 2;
/// New tickets at rest that are written to their tables in one go.
const WRITTEN_AT_ONCE: usize = 64;
/// New tickets that may be only journaled.
const UNWRITTEN_MAX: usize = 1_024;
/// From so many bytes on the journal is begun anew.
const JOURNAL_BYTES: usize = 4 << 20;

/// Called when the disk fails in a way that only a restart can put right; gets the reason.
pub type OnFatal = Arc<dyn Fn(String) + Send + Sync>;

/// Where and how the store lives.
#[derive(Clone)]
pub struct SqliteSettings {
    /// The data folder. Made, for its owner only, if it is not there.
    pub dir: PathBuf,
    /// Threads that read, each with its own connection; at least 1.
    pub readers: usize,
    /// Largest size of the database in pages of 4 KiB; none: as large as the disk allows. At the
    /// limit writes are answered as on a full disk.
    pub max_pages: Option<u32>,
    /// New tickets at rest that are written to their tables in one go: what one of them costs falls
    /// with their number, and all others wait for as long as it takes. 64 take some 3 ms.
    pub written_at_once: usize,
    /// New tickets that may be only journaled; about 6 KiB each.
    pub unwritten_max: usize,
    /// Bytes after which the journal is begun anew: what has been written to its tables goes from it.
    pub journal_bytes: usize,
    /// Pages of the write-ahead log from which they are moved into the database.
    pub wal_pages: u32,
    /// What to do after an I/O error on commit (D4). By default the process logs it and aborts,
    /// and recovers on its next start.
    pub on_fatal: OnFatal,
}

impl SqliteSettings {
    /// The defaults, for that folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            readers: READERS,
            max_pages: None,
            written_at_once: WRITTEN_AT_ONCE,
            unwritten_max: UNWRITTEN_MAX,
            journal_bytes: JOURNAL_BYTES,
            wal_pages: CHECKPOINT_PAGES,
            on_fatal: Arc::new(abort),
        }
    }
}

impl fmt::Debug for SqliteSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSettings")
            .field("dir", &self.dir)
            .field("readers", &self.readers)
            .field("max_pages", &self.max_pages)
            .finish_non_exhaustive()
    }
}

fn abort(reason: String) {
    tracing::error!(reason, "the store's disk failed; the process ends and recovers on its start");
    std::process::abort();
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// D3.
    #[error("the data folder {} is in use by another service", dir.display())]
    InUse {
        /// The data folder.
        dir: PathBuf,
    },
    /// It was written by a newer version.
    #[error(
        "the store in {} has schema {found}, this version knows schemas up to {known}: \
         use the newer version, or another data folder", dir.display()
    )]
    Newer {
        /// The data folder.
        dir: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// Rights, a missing path, a full disk.
    #[error("the data folder {} cannot be written: {reason}", dir.display())]
    NotWritable {
        /// The data folder.
        dir: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not a database, is not ours, or is corrupt.
    #[error("the store in {} cannot be read: {reason}", dir.display())]
    Damaged {
        /// The data folder.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else.
    #[error("the store in {} cannot be opened: {reason}", dir.display())]
    Failed {
        /// The data folder.
        dir: PathBuf,
        /// What was said.
        reason: String,
    },
}

/// A data folder that is ours alone for as long as this value lives.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn claim(dir: &Path) -> Result<Self, OpenError> {
        let not_writable = |error: std::io::Error| OpenError::NotWritable {
            dir: dir.to_owned(),
            reason: error.to_string(),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(not_writable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK_FILE))
            .map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(not_writable(error)),
        }
    }

    /// The connection that writes, with every table in place.
    pub(super) fn connect_writer(
        &self,
        settings: &SqliteSettings,
    ) -> Result<Connection, OpenError> {
        let judge = |error: rusqlite::Error| self.judge(&error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = self.connect(flags).map_err(judge)?;
        // SQLite opens a file that it may not write for reading, without a word.
        if connection.is_readonly("main").map_err(judge)? {
            let reason = format!("{DATABASE_FILE} is read-only");
            return Err(OpenError::NotWritable { dir: self.dir.clone(), reason });
        }
        // Looked at before anything is written: it may not be ours.
        let taken = schema::steps_taken(&connection).map_err(|it| self.judge_schema(it))?;
        let mode: String = connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
            .map_err(judge)?;
        if mode != "wal" {
            let reason = "this file system cannot hold a write-ahead log".to_owned();
            return Err(OpenError::Failed { dir: self.dir.clone(), reason });
        }
        tune(&connection, settings).map_err(judge)?;
        schema::migrate(&mut connection, taken).map_err(judge)?;
        Ok(connection)
    }

    pub(super) fn connect_reader(&self) -> Result<Connection, OpenError> {
        let open = || {
            let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.pragma_update(None, "query_only", true)?;
            connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
            Ok(connection)
        };
        open().map_err(|error| self.judge(&error))
    }

    /// The connection that moves the log into the database.
    pub(super) fn connect_mover(&self) -> Result<Connection, OpenError> {
        let open = || {
            let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            // The log is synced before it is moved, and the database after that.
            connection.pragma_update(None, "synchronous", SYNCED)?;
            Ok(connection)
        };
        open().map_err(|error| self.judge(&error))
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        // Each connection stays on one thread, so SQLite's own mutexes are not needed.
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.dir.join(DATABASE_FILE), flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        // Else a statement is compiled anew whenever a value is bound that its plan might depend on. Without
        // statistics (`ANALYZE`) it never does.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(connection)
    }

    /// Starts one of the store's threads.
    pub(super) fn spawn(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, OpenError> {
        let failed = |error: std::io::Error| OpenError::Failed {
            dir: self.dir.clone(),
            reason: format!("no thread for it: {error}"),
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)
    }

    fn judge_schema(&self, unusable: Unusable) -> OpenError {
        let dir = self.dir.clone();
        match unusable {
            Unusable::Newer(found) => OpenError::Newer { dir, found, known: schema::KNOWN },
            Unusable::Foreign => OpenError::Damaged {
                dir,
                reason: format!("{DATABASE_FILE} is a database of something else"),
            },
            Unusable::Broken(error) => self.judge(&error),
        }
    }

    /// The same of what was only journaled.
    pub(super) fn judge_journal(&self, unrecovered: Unrecovered) -> OpenError {
        match unrecovered {
            Unrecovered::Unreadable(reason) => OpenError::Damaged { dir: self.dir.clone(), reason },
            Unrecovered::Failed(error) => self.judge(&error),
            Unrecovered::Fault(code, reason) => self.judge_code(Some(code), reason),
        }
    }

    /// What a database error at opening means for the operator.
    pub(super) fn judge(&self, error: &rusqlite::Error) -> OpenError {
        self.judge_code(error.sqlite_error_code(), error.to_string())
    }

    fn judge_code(&self, code: Option<ErrorCode>, reason: String) -> OpenError {
        let dir = self.dir.clone();
        match code {
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DiskFull,
            ) => OpenError::NotWritable { dir, reason },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                OpenError::Damaged { dir, reason }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { dir },
            _ => OpenError::Failed { dir, reason },
        }
    }
}

/// What was answered survives a power cut, not only the end of the process (G2).
pub(super) const SYNCED: &str = "FULL";
/// For what a power cut may undo. Its order among the commits holds all the same.
pub(super) const NOT_SYNCED: &str = "NORMAL";

fn tune(connection: &Connection, settings: &SqliteSettings) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", SYNCED)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // These answer with their new value, so they are queries.
    for (name, value) in [
        ("wal_autocheckpoint", Some(0)),
        ("journal_size_limit", Some(LOG_KEPT_BYTES)),
        ("max_page_count", settings.max_pages),
    ] {
        if let Some(value) = value {
            connection.pragma_update_and_check(None, name, value, |_| Ok(()))?;
        }
    }
    Ok(())
}
