//! Messages that could not be read: kept whole, with the reason, where a person sees them.

use super::Timestamp;
use serde::{Deserialize, Serialize};

/// A parked message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Its number, given by the store; 0 before.
    #[serde(skip)]
    pub n: u64,
    /// When.
    pub at: Timestamp,
    /// Where it came in: a queue's name.
    pub inlet: String,
    /// Its message id, where it had one.
    pub message_id: Option<String>,
    /// What it said it was.
    pub content_type: Option<String>,
    /// Why it could not be read, for people.
    pub reason: String,
    /// The field at fault, where one is.
    pub field: Option<String>,
    /// How often a person has replaced its body.
    #[serde(default)]
    pub mended: u32,
    /// The body, byte for byte, as it came or as it was mended last.
    #[serde(skip)]
    pub body: Vec<u8>,
}
