//! The write-ahead log: its pages are moved into the database by a thread of its own, beside the writer.
//!
//! A commit that moves them itself, as SQLite does by default, keeps all who wait for their commits waiting for
//! some 15 ms, about once a second at 200 tickets/s. Beside the writer it is never done whole: commits go on
//! and add pages. So the writer moves the few that are left, in a lull, and its next commit begins the log anew.
//!
//! Always: whether it is moved or not, what was committed is found; only the log's length rests on it. Where
//! the thread does not keep up, or is gone, the writer moves all.

use super::open::{Folder, OnFatal, OpenError};
use super::work::is_fatal;
use rusqlite::Connection;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Where somebody reads an old state, so that not all could be moved, it is tried again after this part of the
/// length at which it is moved.
const AGAIN_PART: u32 = 4;
/// Where there is no lull, the writer moves what the thread has left after this part of it.
const LEFT_PART: u32 = 8;

/// What the writer and the thread beside it know of the log.
#[derive(Debug)]
pub(super) struct Wal {
    state: Mutex<State>,
    changed: Condvar,
    /// From so many pages on they are moved.
    length: u32,
}

#[derive(Debug)]
struct State {
    /// In the log, by the last commit.
    pages: u32,
    /// From so many on they are moved, this time.
    due: u32,
    /// The thread is told to, and has not ended.
    asked: bool,
    /// It has ended; the writer moves what came since.
    moved: bool,
    closed: bool,
}

impl Wal {
    pub(super) fn new(length: u32) -> Arc<Self> {
        let length = length.max(1);
        let state = State { pages: 0, due: length, asked: false, moved: false, closed: false };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), length })
    }

    /// Has the writer's commits tell their pages, in the place of SQLite's own way.
    pub(super) fn listen(self: &Arc<Self>, writer: &mut Connection) -> rusqlite::Result<()> {
        let wal = self.clone();
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            wal.committed(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))
    }

    /// So many pages are in the log now.
    fn committed(&self, pages: u32) {
        let mut state = self.lock();
        state.pages = pages;
        if pages < self.length {
            // It was begun anew.
            state.due = self.length;
        }
        if pages >= state.due && !state.asked && !state.moved {
            state.asked = true;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The thread has moved what was there when it began.
    pub(super) fn is_moved(&self) -> bool {
        self.lock().moved
    }

    /// It cannot wait for a lull: too much has come since the thread has ended, or the thread has not.
    pub(super) fn is_long(&self) -> bool {
        let state = self.lock();
        let more = if state.moved { self.length / LEFT_PART } else { self.length };
        state.pages >= state.due.saturating_add(more)
    }

    /// The writer moves what is there.
    pub(super) fn finish(&self, writer: &Connection) -> rusqlite::Result<()> {
        {
            let mut state = self.lock();
            state.moved = false;
            state.due = state.pages.saturating_add((self.length / AGAIN_PART).max(1));
        }
        move_pages(writer)
    }

    fn is_asked(&self) -> bool {
        let waits = |state: &mut State| !state.asked && !state.closed;
        let state = self.changed.wait_while(self.lock(), waits);
        !state.unwrap_or_else(PoisonError::into_inner).closed
    }

    fn has_moved(&self) {
        let mut state = self.lock();
        (state.asked, state.moved) = (false, true);
        state.due = state.pages;
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves as much as can be moved without anybody waiting.
fn move_pages(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))
}

/// The thread; dropping it ends it.
#[derive(Debug)]
pub(super) struct Mover {
    wal: Arc<Wal>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    pub(super) fn start(
        folder: &Folder,
        wal: Arc<Wal>,
        on_fatal: OnFatal,
    ) -> Result<Self, OpenError> {
        let connection = folder.connect_mover()?;
        let of_thread = wal.clone();
        let thread = folder.spawn("store-wal", move || {
            while of_thread.is_asked() {
                if let Err(error) = move_pages(&connection) {
                    judge(&error, &on_fatal);
                }
                of_thread.has_moved();
            }
        })?;
        Ok(Self { wal, thread: Some(thread) })
    }
}

/// After an I/O error nobody knows what the database holds; the log has it still, until somebody believes a
/// later success.
pub(super) fn judge(error: &rusqlite::Error, on_fatal: &OnFatal) {
    tracing::warn!(%error, "the store's log was not moved into the database");
    if is_fatal(error.sqlite_error_code()) {
        on_fatal(format!("moving the log: {error}"));
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.wal.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that moves the store's log ended by a panic");
        }
    }
}
