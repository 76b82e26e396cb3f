//! Who comes before whom in a lane, for decisions that are on their way to it.
//!
//! What always holds: a decision that its lane has declined is passed by no later one, from then until its
//! request is submitted, or never will be. Whoever carries it carries its place; where that is dropped, it is free.

use std::sync::Arc;

/// A place in a lane's line; or none, for what needs none.
#[derive(Clone, Debug, Default)]
pub struct Place {
    _kept: Option<Arc<()>>,
}

/// The line of one lane.
#[derive(Default)]
pub(super) struct Line(Arc<()>);

impl Line {
    pub(super) fn place(&self) -> Place {
        Place { _kept: Some(self.0.clone()) }
    }

    /// Is no decision on its way?
    pub(super) fn is_free(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}
