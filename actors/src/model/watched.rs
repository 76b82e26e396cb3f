//! Tickets that may exist twice.

use super::{BackendId, RequestId, TicketKey};
use serde::{Deserialize, Serialize};

/// A ticket whose create was in doubt and has ended since: one that nobody here knows may yet
/// appear at the backend under its key (rule G8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Which ticket.
    pub ticket: TicketKey,
    /// Where.
    pub backend: BackendId,
    /// Its create.
    pub request: RequestId,
    /// The service that its create was accepted for.
    #[serde(default)]
    pub service: Option<String>,
    /// Answered looks that are still to be made.
    pub looks_left: u32,
    /// Backend ids that were reported already.
    pub reported: Vec<String>,
}
