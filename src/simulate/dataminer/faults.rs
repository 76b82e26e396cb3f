//! What a simulated element does wrong, on order.

use serde::{Deserialize, Serialize};

/// All off by default. Rates are from 0 to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ElementFaults {
    /// Its clock is wrong by so much, forwards or (below 0) back.
    pub clock_offset_ms: i64,
    /// A page is sent twice.
    pub doubled_rate: f64,
    /// Two pages are sent in the wrong order. Never the last one of a pass: that it is complete is said
    /// behind all others.
    pub reordered_rate: f64,
    /// An answer is lost: the page is sent again, under its id.
    pub lost_answer_rate: f64,
    /// It sends nothing.
    pub silent: bool,
}

impl ElementFaults {
    /// Checks that the rates make sense.
    ///
    /// # Errors
    /// Names the rate that is not within 0 to 1.
    pub fn check(&self) -> Result<(), String> {
        let rates = [
            ("doubled_rate", self.doubled_rate),
            ("reordered_rate", self.reordered_rate),
            ("lost_answer_rate", self.lost_answer_rate),
        ];
        match rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            Some((name, rate)) => Err(format!("{name} is {rate}; a rate lies between 0 and 1")),
            None => Ok(()),
        }
    }
}
