//! A bounded line between async callers and the store's threads: callers wait for room without
//! holding a thread, threads wait for work without a runtime.
//!
//! Always: first come, first served; never more weight inside than the limit, counted from
//! entering until the entry is dropped by the thread that took it; after `close` nothing gets in,
//! and what is inside is still handed out.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a thread gets that waits for an entry.
#[derive(Debug)]
pub(super) enum Popped<T> {
    /// One.
    Entry(Entry<T>),
    /// None has come within its time.
    Nothing,
    /// The queue is closed and empty.
    Closed,
}

/// The queue was closed: the entry was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// An entry, and the room that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) item: T,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    room: Arc<Semaphore>,
    limit: u32,
    line: Mutex<Line<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Line<T> {
    entries: VecDeque<Entry<T>>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(limit as usize)),
            limit,
            line: Mutex::new(Line { entries: VecDeque::new(), closed: false }),
            changed: Condvar::new(),
        })
    }

    /// Waits until there is room for that weight, and gets in line.
    pub(super) async fn push(&self, item: T, weight: usize) -> Result<(), Closed> {
        // What is heavier than the whole queue takes all of it.
        let weight = u32::try_from(weight).unwrap_or(u32::MAX).min(self.limit);
        let room = self.room.clone().acquire_many_owned(weight).await.map_err(|_| Closed)?;
        let mut line = self.line();
        if line.closed {
            return Err(Closed);
        }
        line.entries.push_back(Entry { item, _room: room });
        drop(line);
        self.changed.notify_one();
        Ok(())
    }

    /// Blocks until there is an entry, or for that long.
    pub(super) fn pop(&self, within: Option<Duration>) -> Popped<T> {
        let mut line = self.line();
        loop {
            if let Some(entry) = line.entries.pop_front() {
                return Popped::Entry(entry);
            }
            if line.closed {
                return Popped::Closed;
            }
            line = match within {
                None => self.changed.wait(line).unwrap_or_else(PoisonError::into_inner),
                Some(within) => {
                    let waited = self.changed.wait_timeout(line, within);
                    let (line, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && line.entries.is_empty() && !line.closed {
                        return Popped::Nothing;
                    }
                    line
                }
            }
        }
    }

    /// An entry that is there already.
    pub(super) fn pop_waiting(&self) -> Option<Entry<T>> {
        self.line().entries.pop_front()
    }

    /// Lets nothing in any more, and wakes the threads.
    pub(super) fn close(&self) {
        self.room.close();
        self.line().closed = true;
        self.changed.notify_all();
    }

    /// Closes, and drops what is inside, so that nobody waits for an answer that cannot come.
    pub(super) fn abandon(&self) {
        self.close();
        let dropped = std::mem::take(&mut self.line().entries);
        drop(dropped);
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        // Nothing in here panics half-way, so a poisoned line is a whole one.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn room_is_free_again_only_when_the_entry_is_dropped() {
        let queue = Queue::new(3);
        assert_eq!(queue.push("a", 2).now_or_never(), Some(Ok(())));
        assert_eq!(queue.push("b", 2).now_or_never(), None);
        let Popped::Entry(entry) = queue.pop(None) else { panic!("nothing was inside") };
        assert_eq!(queue.push("b", 2).now_or_never(), None);
        drop(entry);
        assert_eq!(queue.push("b", 2).now_or_never(), Some(Ok(())));
        drop(queue.pop(None));
        assert_eq!(queue.push("heavier than all", 99).now_or_never(), Some(Ok(())));
    }

    #[test]
    fn a_closed_queue_hands_out_what_is_inside_and_takes_nothing() {
        let queue = Queue::new(3);
        assert_eq!(queue.push("a", 3).now_or_never(), Some(Ok(())));
        let mut waiting = Box::pin(queue.push("b", 1));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        queue.close();
        assert_eq!(waiting.now_or_never(), Some(Err(Closed)));
        assert!(matches!(queue.pop(None), Popped::Entry(Entry { item: "a", .. })));
        assert!(matches!(queue.pop(None), Popped::Closed));
    }
}
