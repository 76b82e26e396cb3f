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
    /// Of a message that holds several alarms: the one that could not be read, from 0. The others
    /// were taken when it came; it alone is taken from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u32>,
    /// The body as it came, once another stands in its place: what a person mends wrongly is not lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<AsItCame>,
    /// The body, byte for byte, as it came or as it was mended last.
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// A body, kept beside the row's words: base64 there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AsItCame(pub Vec<u8>);

impl From<AsItCame> for String {
    fn from(it: AsItCame) -> Self {
        data_encoding::BASE64.encode(&it.0)
    }
}

impl TryFrom<String> for AsItCame {
    type Error = data_encoding::DecodeError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        data_encoding::BASE64.decode(text.as_bytes()).map(Self)
    }
}
