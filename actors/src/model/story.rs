//! What happened to a row, step by step, for `explain`. Kept inside the row itself, so that a
//! step costs no row of its own and can never disagree with the state beside it.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Steps kept of one row: the first half and the newest half stay, the middle goes. An alarm that
/// flaps for a year must not grow its row without end.
const STEPS_KEPT: usize = 40;

/// One thing that happened, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, on the store's wall clock.
    pub at: Timestamp,
    /// What, in a few plain words.
    pub what: String,
    /// The reason, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The bounded list of a row's steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// Shared, because a row is copied much more often than a step is added.
    steps: Vec<Arc<Step>>,
    /// Steps that fell out of the middle.
    #[serde(default, skip_serializing_if = "is_zero")]
    forgotten: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Story {
    /// Adds a step without a reason.
    pub fn add(&mut self, at: Timestamp, what: impl Into<String>) {
        self.push(Step { at, what: what.into(), why: None });
    }
    /// Adds a step with its reason.
    pub fn add_because(&mut self, at: Timestamp, what: impl Into<String>, why: impl Into<String>) {
        self.push(Step { at, what: what.into(), why: Some(why.into()) });
    }
    fn push(&mut self, step: Step) {
        if self.steps.len() >= STEPS_KEPT {
            self.steps.remove(STEPS_KEPT / 2);
            self.forgotten += 1;
        }
        self.steps.push(Arc::new(step));
    }
    /// The steps, oldest first.
    pub fn steps(&self) -> &[Arc<Step>] {
        &self.steps
    }
    /// How many steps fell out of the middle.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_story_keeps_its_beginning_and_its_end() {
        let mut story = Story::default();
        for n in 0..1000 {
            story.add(Timestamp::from_millis(n), n.to_string());
        }
        assert_eq!(story.steps().len(), STEPS_KEPT);
        assert_eq!(story.steps()[0].what, "0");
        assert_eq!(story.steps()[STEPS_KEPT - 1].what, "999");
        assert_eq!(story.forgotten(), 960);
    }
}
