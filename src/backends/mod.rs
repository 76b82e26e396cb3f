//! Ticketing systems as adapters of the `Backend` port, each made from a description in the
//! config: a new system is a file, not a program.
//!
//! What always holds: a description is checked whole when it is loaded (templates, selectors, what
//! its capability asks for), so that a mistake is told at the start and not by the first ticket.
//! Every answer is judged once, in here. No secret leaves by a log, an error or a `Debug`.
//!
//! What it leaves to others: which call is made when, and what follows (the lane).
//!
//! A table of `[[backend]]` goes through [`load`]: its preset is laid below it, its keys are dealt
//! out to the lane, the connection and the wire, and the result is tried out. One that says `type = "partner"`
//! is not called at all (`partner`).
//! [`Description::connect`] then makes the adapter.

mod auth;
mod connection;
mod described;
mod description;
mod load;
mod partner;
mod presets;
mod probe;
#[cfg(test)]
mod tests;

pub use auth::{Auth, Oauth2Description, PasswordType, SendSecret, WsseDescription};
pub use connection::{ByteSize, ConnectionDescription};
pub use described::DescribedBackend;
pub use described::callback::{CallbackDescription, CallbackReader};
pub use described::places::PlaceDescription;
pub use described::wire;
pub use description::{Description, DescriptionError, LaneDescription};
pub use load::load;
pub use presets::{preset, preset_names};
pub use probe::{Finding, found_by_search, nobodys_search, probe};

/// Names ring as the process's provider of cryptography; reqwest panics without one. May be called
/// as often as one likes; the first provider named stays.
pub fn install_tls() {
    // An error says that there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
}
