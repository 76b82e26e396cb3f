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
