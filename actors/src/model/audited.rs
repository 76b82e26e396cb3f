//! Who did what, and why: one line of the audit.

use super::Timestamp;

/// A line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Its number; grows.
    pub n: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What was done.
    pub what: String,
    /// Why, in that person's words.
    pub why: String,
}
