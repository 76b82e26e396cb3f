//! Two-way sync, without IO: merge by field master, what to do about one ticket, where a feed goes on.
//!
//! Always: the same two sides give the same merge (rule S4); what was merged once is not merged again;
//! nothing is written to a side that has it already (S5).

mod merge;
mod place;
mod plan;
mod step;

pub use merge::{Merged, Sides, merge};
pub use place::{Turn, anew, before, next_place, wanted};
pub use plan::{From, Pair, Plan, Rules};
pub use step::{
    Known, Outcome, absent, as_before, decide, first_twin, open_fields, since_told, view,
};
