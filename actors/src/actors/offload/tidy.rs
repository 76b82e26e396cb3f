//! Lets go of what is over: in the main tables (rule T5), in the memory of deliveries, and in history
//! lists that are not offloaded. Page by page, with a pause after each, so that the writer is free for
//! what is at work.

use super::carry::count;
use crate::changes::{Applied, Change, Past, Retire, Walk};
use crate::logic::offload::HistoryLimits;
use crate::model::Timestamp;
use crate::ports::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// Rows of a page: about a millisecond of the writer.
const PAGE: u32 = 200;
/// From one page to the next: at most a tenth of the writer's time.
const PAUSE: Duration = Duration::from_millis(20);

/// What has been over for so long goes.
pub(super) async fn retire(
    store: &Arc<dyn Store>,
    before: Timestamp,
) -> Result<[u64; 3], StoreError> {
    let mut gone = [0; 3];
    for (walk, gone) in Walk::ALL.into_iter().zip(&mut gone) {
        let mut after = Some(0);
        while let Some(from) = after {
            let page = Retire { walk, after: from, before, limit: PAGE };
            after = match store.apply(Change::Retire(page).into()).await?[..] {
                [Applied::Retired(page)] => {
                    *gone += page.gone;
                    page.next
                }
                _ => None,
            };
            actix::clock::sleep(PAUSE).await;
        }
    }
    Ok(gone)
}

/// Deliveries from before are not recognized any more.
pub(super) async fn forget(store: &Arc<dyn Store>, before: Timestamp) -> Result<u64, StoreError> {
    pages(store, || Change::ForgetIdentities { before, limit: PAGE }).await
}

/// History lists keep within their limits.
pub(super) async fn limit(
    store: &Arc<dyn Store>,
    limits: &HistoryLimits,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let before = limits.keep.map(|keep| now.minus(keep));
    let mut gone = 0;
    for (list, most) in limits.most {
        let page = || Change::Past(Past::Limit { list, most, before, limit: PAGE });
        gone += pages(store, page).await?;
    }
    Ok(gone)
}

async fn pages(store: &Arc<dyn Store>, page: impl Fn() -> Change) -> Result<u64, StoreError> {
    let mut gone = 0;
    loop {
        let went = count(store.apply(page().into()).await?);
        gone += went;
        if went < u64::from(PAGE) {
            return Ok(gone);
        }
        actix::clock::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::TakeIn;
    use crate::logic::correlation::identity_by_id;
    use crate::logic::policy::Routing;
    use crate::model::AlarmState;
    use crate::ports::Clock;
    use crate::testing::{ManualClock, MemoryStore, alarm_event, at};

    /// Alarms that no rule sends anywhere, raised and cleared, but for the last one.
    async fn store(clock: &Arc<ManualClock>, alarms: u32) -> Arc<dyn Store> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone(), "node-1"));
        for n in 0..alarms {
            for state in [AlarmState::Raised, AlarmState::Cleared] {
                if state == AlarmState::Cleared && n + 1 == alarms {
                    continue;
                }
                let mut event = alarm_event("probe", &n.to_string());
                event.state = state;
                event.changed_at = Some(at(1_000 + i64::from(state == AlarmState::Cleared)));
                let identity = identity_by_id("test", &format!("{n} {}", state.as_str()));
                let routing = Routing::default();
                let take = TakeIn { identity, event, routing };
                store.apply(Change::TakeIn(Box::new(take)).into()).await.unwrap();
            }
        }
        store
    }

    #[actix::test]
    async fn what_is_over_goes_over_any_number_of_pages() {
        let clock = Arc::new(ManualClock::default());
        let alarms = PAGE * 2 + 1;
        let store = store(&clock, alarms).await;
        let then = clock.now().wall;
        assert_eq!(retire(&store, then).await, Ok([0, 0, 0]), "nothing is older");
        assert_eq!(forget(&store, then).await, Ok(0));
        clock.advance(Duration::from_secs(1));
        let now = clock.now().wall;
        let cleared = u64::from(alarms - 1);
        assert_eq!(retire(&store, now).await, Ok([0, 0, cleared]), "one is active");
        assert_eq!(retire(&store, now).await, Ok([0, 0, 0]));
        assert_eq!(forget(&store, now).await, Ok(cleared * 2 + 1));
    }
}
