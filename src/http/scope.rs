//! Pages of lists for whoever is limited to some backends.
//!
//! What always holds: a page costs what it looks at, and that is bounded, whatever is stored. Where the store
//! can list by backend, a page of each is read, and of all those the first rows are given. Where it cannot,
//! rows are looked through in their order, so many at the most: such a page may hold fewer rows than were
//! asked for, or none, and says by `next` where it goes on.

use super::alarms::PAGE_MAX;
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::{Page, StoreError};

/// Rows that are looked through for one page: some 50 ms of reading.
const SIFTED_MAX: usize = 5_000;

/// A page over several backends, of each its own.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn merged<T>(
    backends: Vec<Option<BackendId>>,
    page: Page,
    n: impl Fn(&T) -> u64,
    read: impl AsyncFn(Option<BackendId>, Page) -> Result<Vec<T>, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut rows = Vec::new();
    for backend in backends {
        rows.extend(read(backend, page).await?);
    }
    rows.sort_by_key(&n);
    if page.after.is_none() {
        rows.reverse();
    }
    rows.truncate(page.limit as usize);
    Ok(rows)
}

/// The rows of a page that are kept, and where the next one begins; none: there is no more.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn sifted<T>(
    page: Page,
    n: impl Fn(&T) -> u64,
    read: impl AsyncFn(Page) -> Result<Vec<T>, StoreError>,
    kept: impl AsyncFn(&T) -> Result<bool, StoreError>,
) -> Result<(Vec<T>, Option<u64>), StoreError> {
    let (mut at, mut rows, mut looked) = (Page { limit: PAGE_MAX, ..page }, Vec::new(), 0);
    loop {
        let found = read(at).await?;
        let is_last = found.len() < PAGE_MAX as usize;
        for row in found {
            let place = n(&row);
            looked += 1;
            match at.after {
                None => at.before = Some(place),
                Some(_) => at.after = Some(place),
            }
            if kept(&row).await? {
                rows.push(row);
            }
            if rows.len() == page.limit as usize {
                return Ok((rows, Some(place)));
            }
        }
        if is_last {
            return Ok((rows, None));
        }
        if looked >= SIFTED_MAX {
            return Ok((rows, at.after.or(at.before)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 1 up to `most`, as a store lists them.
    fn listed(most: u64, page: Page) -> Vec<u64> {
        let inside = |n: &u64| page.before.is_none_or(|before| *n < before);
        let limit = page.limit as usize;
        match page.after {
            None => (1..=most).rev().filter(inside).take(limit).collect(),
            Some(after) => (after + 1..=most).filter(inside).take(limit).collect(),
        }
    }

    async fn walked(most: u64, oldest: bool, kept: fn(u64) -> bool) -> (Vec<u64>, usize) {
        let (mut all, mut pages) = (Vec::new(), 0);
        let mut page = Page { before: None, after: oldest.then_some(0), limit: 3 };
        loop {
            let read = async |page| Ok(listed(most, page));
            let (rows, next) = sifted(page, |n| *n, read, async |n| Ok(kept(*n))).await.unwrap();
            assert!(rows.len() <= 3);
            all.extend(rows);
            pages += 1;
            match (next, oldest) {
                (None, _) => return (all, pages),
                (Some(n), true) => page.after = Some(n),
                (Some(n), false) => page.before = Some(n),
            }
        }
    }

    #[tokio::test]
    async fn every_row_that_is_kept_comes_once_and_a_page_is_bounded() {
        let kept: Vec<u64> = (1..=12_000).filter(|n| n % 2_001 == 7).collect();
        let (rows, pages) = walked(12_000, true, |n| n % 2_001 == 7).await;
        assert_eq!(rows, kept);
        assert!(pages >= 3, "no page looks through more than its share: {pages}");
        let (mut rows, _) = walked(12_000, false, |n| n % 2_001 == 7).await;
        rows.reverse();
        assert_eq!(rows, kept);
        assert_eq!(walked(0, false, |_| true).await, (vec![], 1));
        assert_eq!(walked(12_000, false, |_| false).await.0, Vec::<u64>::new());
    }

    #[tokio::test]
    async fn pages_of_backends_are_one_list_in_either_order() {
        let backends = || ["a", "b"].map(|it| Some(BackendId::new(it))).to_vec();
        let read = async |backend: Option<BackendId>, page: Page| {
            let odd = backend == Some(BackendId::new("a"));
            let of = |n: &u64| (n % 2 == 1) == odd;
            let all = Page { limit: 100, ..page };
            Ok(listed(10, all).into_iter().filter(of).take(page.limit as usize).collect())
        };
        let page = Page { before: None, after: None, limit: 4 };
        assert_eq!(merged(backends(), page, |n| *n, read).await.unwrap(), [10, 9, 8, 7]);
        let page = Page { before: None, after: Some(2), limit: 4 };
        assert_eq!(merged(backends(), page, |n| *n, read).await.unwrap(), [3, 4, 5, 6]);
    }
}
