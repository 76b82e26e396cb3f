//! Remembers which messages were open when the process died (rule I3), so that a message that
//! kills its reader is taken out of the way after three deaths instead of killing it for ever.

/// SHA-256 of a delivery's body, first 16 bytes.
pub type MessageHash = [u8; 16];

/// Survives the process, though not necessarily the machine: what it guards against is a reader
/// that aborts.
pub trait Tripwire: Send + Sync {
    /// Says which messages are about to be read. Returns, for each, the number of times that the
    /// process died while it was open.
    fn open(&self, hashes: &[MessageHash]) -> Vec<u32>;
    /// Says that none of them killed the reader.
    fn close(&self, hashes: &[MessageHash]);
    /// Did the last process die while messages were open? Then they are read one at a time.
    fn careful(&self) -> bool;
}
