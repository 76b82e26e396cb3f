//! Why a ticket request failed, as every face shows it (CONTRACT 1.4, `error`).

use serde::{Deserialize, Serialize};

/// A failure at a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketError {
    /// In one sentence, for people.
    pub reason: String,
    /// The answer's HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The backend's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The backend's own words, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl TicketError {
    /// The reason, with the backend's own code and words where it gave some.
    pub fn in_words(&self) -> String {
        let words: Vec<&str> =
            [&self.code, &self.description].into_iter().flatten().map(String::as_str).collect();
        if words.is_empty() {
            return self.reason.clone();
        }
        format!("{} ({})", self.reason, words.join(": "))
    }

    /// An error that has only a reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }
}
