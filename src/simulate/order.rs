//! Whether updates of a ticket come in order.
//!
//! What always holds: an update out of order is applied all the same, as ticketing systems do; it
//! is only written down.
//!
//! What it leaves to others: applying the update (`tickets`).

use super::report::{OrderFault, OrderRule};

/// Only so many order faults are kept: one is a failed test already, and a run that makes a
/// thousand learns nothing from the next.
const MAX_ORDER_FAULTS: usize = 1_000;

/// An update about to be applied, and the ticket that it meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied<'a> {
    /// The ticket's id.
    pub id: &'a str,
    /// The revision that the ticket has, when it has one.
    pub had_revision: Option<i64>,
    /// The revision that the update brings, when it does.
    pub got_revision: Option<i64>,
    /// Whether the ticket is closed.
    pub was_closed: bool,
    /// Whether the update sets it back to open.
    pub opens: bool,
    /// Whether the update changes any field.
    pub changed: bool,
}

/// The updates that came when they should not have, oldest first.
#[derive(Debug, Default)]
pub(super) struct OrderFaults(Vec<OrderFault>);

impl OrderFaults {
    /// Looks at an update, and writes down each rule that it breaks.
    pub fn note(&mut self, update: Applied<'_>, at_ms: u64) {
        let Applied { id, had_revision, got_revision, was_closed, opens, changed } = update;
        let older = matches!((had_revision, got_revision), (Some(had), Some(got)) if got < had);
        let after_close = was_closed && !opens;
        let broken = [(older, OrderRule::OlderRevision), (after_close, OrderRule::AfterClose)];
        for (_, rule) in broken.into_iter().filter(|(is_broken, _)| *is_broken) {
            if self.0.len() < MAX_ORDER_FAULTS {
                let id = id.to_owned();
                self.0.push(OrderFault { id, rule, had_revision, got_revision, changed, at_ms });
            }
        }
    }

    pub fn as_slice(&self) -> &[OrderFault] {
        &self.0
    }
}
