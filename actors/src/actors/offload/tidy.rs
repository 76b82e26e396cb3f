//! Lets go of what is over: in the main tables (rule T5), in the memory of deliveries, among the answers
//! to connectors, and in history lists that are not offloaded. Page by page, with a pause after each, so that the writer is free for
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

/// Answers to connectors from before are not given again: a message that is repeated later counts as a
/// new one, which the times of its tickets show to be old.
pub(super) async fn forget_answers(
    store: &Arc<dyn Store>,
    before: Timestamp,
) -> Result<u64, StoreError> {
    pages(store, || Change::ForgetSyncAnswers { before, limit: PAGE }).await
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
    use crate::changes::{Message, TakeIn};
    use crate::logic::correlation::identity_by_id;
    use crate::logic::policy::Routing;
    use crate::logic::sync::From;
    use crate::model::AlarmState;
    use crate::ports::Clock;
    use crate::testing::{ManualClock, MemoryStore, a_sync, alarm_event, at};

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
                let take = TakeIn { identity, event, routing, parked_at: None };
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

    /// Whether a message of a connector is known as a repeat.
    async fn repeats(store: &Arc<dyn Store>, id: u32) -> bool {
        let message = Message {
            plan: Arc::new(a_sync("element", From::Connector)),
            id: id.to_string(),
            polled_at: None,
            records: Vec::new(),
            credit: None,
            cursor: None,
            pass: None,
            complete: false,
        };
        match &store.apply(Change::SyncMessage(Box::new(message)).into()).await.unwrap()[..] {
            [Applied::SyncAnswered(answered)] => answered.repeat,
            other => panic!("no answer: {other:?}"),
        }
    }

    #[actix::test]
    async fn an_answer_to_a_connector_is_given_again_until_it_is_forgotten() {
        let clock = Arc::new(ManualClock::default());
        let store = store(&clock, 0).await;
        let messages = PAGE + 1;
        for id in 0..messages {
            assert!(!repeats(&store, id).await);
        }
        let then = clock.now().wall;
        clock.advance(Duration::from_secs(1));
        assert!(!repeats(&store, messages).await);
        assert_eq!(forget_answers(&store, then).await, Ok(0), "nothing is older");
        assert!(repeats(&store, 0).await);
        let now = clock.now().wall;
        assert_eq!(forget_answers(&store, now).await, Ok(u64::from(messages)), "all but the last");
        assert!(repeats(&store, messages).await, "it is still known");
        assert!(!repeats(&store, 0).await, "it counts as new");
    }
}
