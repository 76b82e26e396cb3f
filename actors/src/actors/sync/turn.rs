//! One at a time (rule S6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether one is under way.
#[derive(Clone, Debug, Default)]
pub struct OneAtATime(Arc<AtomicBool>);

/// One that is under way, until this is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<AtomicBool>);

impl OneAtATime {
    /// Begins one; none: another one is under way.
    pub fn begin(&self) -> Option<UnderWay> {
        let free = !self.0.swap(true, Ordering::SeqCst) || mutant!(SecondRun);
        free.then(|| UnderWay(self.0.clone()))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_begins_only_when_the_first_is_over() {
        let active = OneAtATime::default();
        let first = active.begin();
        assert!(first.is_some());
        assert!(active.begin().is_none(), "it is under way");
        assert!(active.begin().is_none(), "and stays so, whoever was refused");
        drop(first);
        assert!(active.begin().is_some());
    }
}
