//! A store that remembers whether it took what it was given last: for `/readyz`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ticketgate_actors::changes::{Applied, ChangeSet};
use ticketgate_actors::model::Mono;
use ticketgate_actors::ports::{Clock, Soon, Store, StoreError};

/// Where nothing is written any more nobody knows whether it would be taken: whoever could not write
/// tries again well within this time.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The last failure, and when.
type Trouble = Arc<Mutex<Option<(Mono, String)>>>;

/// A store that is watched.
pub struct Watched {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    trouble: Trouble,
}

impl Watched {
    /// Watches this one.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, trouble: Trouble::default() }
    }

    /// Why the last write was not taken, if that was a moment ago.
    pub fn trouble(&self) -> Option<String> {
        let now = self.clock.now().mono;
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().filter(|(at, _)| now.since(*at) <= REMEMBERED).map(|(_, why)| why.clone())
    }
}

impl Store for Watched {
    fn apply_each(&self, sets: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>> {
        // Called at once: the order of calls is the order in which sets are applied.
        let applied = self.inner.apply_each(sets);
        let (clock, trouble) = (self.clock.clone(), self.trouble.clone());
        Box::pin(async move {
            let applied = applied.await;
            if let Some(last) = applied.last() {
                let mut trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                *trouble = match last {
                    Err(StoreError::Down(why)) => Some((clock.now().mono, why.clone())),
                    Ok(_) | Err(StoreError::Refused(_)) => None,
                };
            }
            applied
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticketgate_actors::changes::Refusal;
    use ticketgate_actors::testing::ManualClock;

    struct Says(Mutex<Vec<Result<Vec<Applied>, StoreError>>>);

    impl Store for Says {
        fn apply_each(&self, _: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>> {
            let said = std::mem::take(&mut *self.0.lock().unwrap());
            Box::pin(async move { said })
        }
    }

    #[tokio::test]
    async fn a_write_that_was_not_taken_is_told_until_one_is_or_for_a_while() {
        let clock = Arc::new(ManualClock::default());
        let says = Arc::new(Says(Mutex::default()));
        let watched = Watched::new(says.clone(), clock.clone());
        let full = || Err(StoreError::Down("the disk is full".into()));
        for (said, told) in [
            (full(), true),
            (Ok(vec![]), false),
            (full(), true),
            (Err(StoreError::Refused(Refusal::NotFound)), false),
            (full(), true),
        ] {
            *says.0.lock().unwrap() = vec![said];
            watched.apply_each(vec![]).await;
            assert_eq!(watched.trouble().is_some(), told);
        }
        clock.advance(Duration::from_secs(11));
        assert_eq!(watched.trouble(), None);
    }
}
