//! What has ended, in the words of the ticketing systems' own tables: one row of text cells an end.
//!
//! The columns of a list are fixed and only ever added to, at the end: a row that was written before
//! lacks the last ones, and nothing else changes its meaning.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The lists that people and their programs know from the systems that Ticketgate takes over from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryList {
    /// The "Ticket Status Overview": every write that ended.
    Status,
    /// "Tickets": every create that ended.
    Tickets,
    /// "Failed Ticket Requests": every create that was refused or has failed.
    Failed,
}

impl HistoryList {
    /// Every list.
    pub const ALL: [Self; 3] = [Self::Status, Self::Tickets, Self::Failed];

    /// The word on faces, in rows and in the names of folders.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Tickets => "tickets",
            Self::Failed => "failed",
        }
    }

    /// The list by its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.as_str() == word)
    }

    /// Its columns. The first names the request, so that with the row's number it names the row
    /// among those of all installations.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Status => &[
                "instance",
                "ticket",
                "backend",
                "backend_id",
                "kind",
                "operation",
                "alarm",
                "status",
                "reason",
            ],
            Self::Tickets => &[
                "instance",
                "ticket_id",
                "alarm_id",
                "dataminer_id",
                "element_id",
                "element_name",
                "created_at",
                "priority",
                "urgency",
                "technical_impact",
                "client_impact",
                "root_cause",
                "status",
            ],
            Self::Failed => &[
                "instance",
                "ticket_id",
                "http_error_code",
                "app_error_code",
                "error_message",
                "error_description",
            ],
        }
    }
}

impl fmt::Display for HistoryList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its number, given by the store, which grows and is never given again; 0 before.
    pub n: u64,
    /// Of which list.
    pub list: HistoryList,
    /// When the request ended.
    pub at: Timestamp,
    /// By the list's columns; empty: not known.
    pub cells: Vec<String>,
}

impl HistoryRow {
    /// The columns with their cells; rows of an older version lack the last ones.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let cells = self.cells.iter().map(String::as_str).chain(std::iter::repeat(""));
        self.list.columns().iter().copied().zip(cells)
    }
}
