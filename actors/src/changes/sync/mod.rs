//! What the transactions of a sync mean: a page is merged, a connector is answered, what is absent is
//! told, a person changes the place.
//!
//! Always: the place moves in its page's transaction (rule S1); one record that cannot be taken is kept
//! as held and never fails its neighbours (S6); a change of a ticket, by whomever, reaches every side
//! that keeps it in step.

mod answer;
mod by_person;
mod known;
mod page;
mod record;
mod spread;
mod sweep;
#[cfg(test)]
mod tests;

pub use answer::{Answered, Message};
pub use by_person::{PersonSync, Steer};
pub use page::{Page, Record, Synced, Where};
pub use sweep::{Sweep, SweepDone};

pub(super) use answer::perform as answer;
pub(super) use by_person::perform as steer;
pub(super) use page::perform as page;
pub(super) use spread::{concluded, forget, freeze, is_told_of, waiting_fields};
pub(super) use sweep::perform as sweep;

use crate::logic::sync::Plan;
use std::sync::Arc;

/// A sync's plan, as a change carries it along.
pub type PlanRef = Arc<Plan>;
