//! `[canary]`: the test alarm that shows whether the flow is alive.

use crate::words;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use ticketgate_actors::actors::CanaryPlan;
use ticketgate_actors::logic::canary::CanarySettings;
use ticketgate_actors::model::BackendId;

/// A round costs a read at the backend, and some short commits here.
const EVERY_MIN: Duration = Duration::from_millis(100);
const EVERY_MAX: Duration = Duration::from_secs(3_600);
const DEAD_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// `[canary]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanarySection {
    /// Try the flow.
    pub enabled: bool,
    /// From one round to the next of each backend, 100 ms to 1 h.
    #[serde(with = "words::duration")]
    pub every: Duration,
    /// Without a whole round for so long the flow is dead: 3 times `every` at least, 1 d at most.
    #[serde(with = "words::duration")]
    pub dead_after: Duration,
    /// Only these backends; empty: all.
    pub backends: Vec<BackendId>,
}

impl Default for CanarySection {
    fn default() -> Self {
        Self {
            enabled: true,
            every: Duration::from_secs(60),
            dead_after: Duration::from_secs(300),
            backends: Vec::new(),
        }
    }
}

impl CanarySection {
    /// As the actor takes it; none: it is off.
    pub fn plan(&self, node: &str, flow_timeout: Duration) -> Option<CanaryPlan> {
        self.enabled.then(|| CanaryPlan {
            settings: CanarySettings { every: self.every, dead_after: self.dead_after },
            backends: self.backends.clone(),
            node: node.to_owned(),
            flow_timeout,
        })
    }

    /// What is wrong with it by itself: the key below the section, and what is allowed.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if !(EVERY_MIN..=EVERY_MAX).contains(&self.every) {
            faults.push(("every", "must be 100ms to 1h".to_owned()));
        }
        if self.dead_after < self.every.saturating_mul(3) || self.dead_after > DEAD_AFTER_MAX {
            let what = "must be 3 times every at least, and 1d at most";
            faults.push(("dead_after", what.to_owned()));
        }
        faults
    }
}
