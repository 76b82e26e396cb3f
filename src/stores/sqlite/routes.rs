//! The routes as they were read last: with every event somebody asks for that of its backend, and a person
//! sets one once a year.
//!
//! Always: who asks after a change was answered gets what it has set.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use ticketgate_actors::model::{BackendId, Route};

/// Shared by the writer and those who read.
#[derive(Debug, Default)]
pub(super) struct Routes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    routes: HashMap<BackendId, Option<Route>>,
    changes: Changes,
}

/// How often routes were changed: by it a read knows whether what it has found still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes(u64);

impl Routes {
    /// None: it has to be read.
    pub(super) fn get(&self, backend: &BackendId) -> Option<Option<Route>> {
        self.lock().routes.get(backend).cloned()
    }

    /// To be asked before a read.
    pub(super) fn changes(&self) -> Changes {
        self.lock().changes
    }

    /// A read that began after so many changes has found this.
    pub(super) fn keep(&self, backend: BackendId, found: Option<Route>, after: Changes) {
        let mut known = self.lock();
        if known.changes == after {
            known.routes.insert(backend, found);
        }
    }

    /// A change was committed.
    pub(super) fn forget(&self) {
        let mut known = self.lock();
        known.changes.0 += 1;
        known.routes.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (routes, noc) = (Routes::default(), BackendId::new("noc"));
        let route = |key: &str| Some(Route { exchange: "x".to_owned(), key: key.to_owned() });
        assert_eq!(routes.get(&noc), None);
        let before = routes.changes();
        routes.keep(noc.clone(), None, before);
        assert_eq!(routes.get(&noc), Some(None));
        routes.forget();
        assert_eq!(routes.get(&noc), None);
        routes.keep(noc.clone(), route("old"), before);
        assert_eq!(routes.get(&noc), None);
        routes.keep(noc.clone(), route("new"), routes.changes());
        assert_eq!(routes.get(&noc), Some(route("new")));
    }
}
