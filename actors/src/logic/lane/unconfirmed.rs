//! Writes that the backend took and answers later. Each holds its ticket, none the lane.

use crate::model::{Fields, Mono, Request, RequestId, Story};
use std::time::Duration;

/// With so many writes unconfirmed the lane makes no further ones.
pub const UNCONFIRMED_MAX: usize = 1_000;

/// The unconfirmed writes of one lane, each with the time at which it is in doubt. By this life's
/// clock: a wall clock that jumps must not make a write look overdue that is still being done
/// (rule L4).
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(Vec<(Mono, Box<Request>)>);

impl Unconfirmed {
    /// Waits for them, each for its full time.
    pub fn begin(&mut self, requests: Vec<Request>, within: Duration, now: Mono) {
        self.0.clear();
        for request in requests {
            self.put(request, within, now);
        }
    }

    /// Waits for one; what it says is in the store.
    pub fn put(&mut self, request: Request, within: Duration, now: Mono) {
        let request = Request { fields: Fields::new(), story: Story::default(), ..request };
        self.0.push((now.plus(within), Box::new(request)));
    }

    /// Its answer came.
    pub fn forget(&mut self, id: RequestId) {
        self.0.retain(|(_, request)| request.id != id);
    }

    /// One whose time is over.
    pub fn take_overdue(&mut self, now: Mono) -> Option<Box<Request>> {
        let place = self.0.iter().position(|(at, _)| *at <= now)?;
        Some(self.0.swap_remove(place).1)
    }

    /// When the next one's time is over.
    pub fn next(&self) -> Option<Mono> {
        self.0.iter().map(|(at, _)| *at).min()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
