//! An inlet that keeps what it is given, as a store would; it can be told to refuse or to wait.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ticketgate_actors::ports::{Delivery, Inlet, Soon, Verdict};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// More than anything here should take, restarts of a node included.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls a condition until it holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "this did not come true in time: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The inlet.
pub struct Shelf {
    offered: Mutex<Vec<Delivery>>,
    taken: Arc<Mutex<Vec<Delivery>>>,
    /// Batches still to be refused.
    refusals: AtomicUsize,
    /// Message ids that are refused for ever, whatever comes beside them.
    poison: Mutex<Option<String>>,
    open: watch::Sender<bool>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            offered: Mutex::default(),
            taken: Arc::default(),
            refusals: AtomicUsize::new(0),
            poison: Mutex::default(),
            open: watch::Sender::new(true),
        }
    }
}

impl Shelf {
    /// The next batches are refused.
    pub fn refuse(&self, batches: usize) {
        self.refusals.store(batches, Ordering::SeqCst);
    }
    /// One message is refused for ever, or no longer.
    pub fn refuse_always(&self, message_id: Option<&str>) {
        *self.poison.lock().unwrap() = message_id.map(str::to_owned);
    }
    /// Commits wait, or go on.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
    /// Deliveries that came, with repeats.
    pub fn offered(&self) -> usize {
        self.offered.lock().unwrap().len()
    }
    /// Deliveries that are committed.
    pub fn taken(&self) -> Vec<Delivery> {
        self.taken.lock().unwrap().clone()
    }
    /// Committed messages, repeats not counted.
    pub fn distinct(&self) -> usize {
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|delivery| &delivery.message_id).collect::<BTreeSet<_>>().len()
    }
    /// Message ids of what is committed.
    pub fn ids(&self) -> Vec<String> {
        self.taken().into_iter().filter_map(|delivery| delivery.message_id).collect()
    }
}

impl Inlet for Shelf {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        self.offered.lock().unwrap().extend(batch.clone());
        let refused = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        let poison = self.poison.lock().unwrap().clone();
        let mut open = self.open.subscribe();
        let taken = Arc::clone(&self.taken);
        Box::pin(async move {
            let _ = open.wait_for(|open| *open).await;
            let judge = |delivery: Delivery| {
                if refused || (poison.is_some() && delivery.message_id == poison) {
                    return Verdict::GiveBack;
                }
                taken.lock().unwrap().push(delivery);
                Verdict::Settled
            };
            batch.into_iter().map(judge).collect()
        })
    }
}
