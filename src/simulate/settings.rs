//! What a simulated ticketing system is started with.
//!
//! What always holds: the default is a well-behaved system on a free port of this machine, which
//! makes up a backend for any name that it is called by.
//!
//! What it leaves to others: what each fault does (`faults`), and the flags (`cli`).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;
use secrecy::SecretString;

use super::callbacks::CallbackSettings;
use super::faults::Faults;

/// The systems that can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// A REST ticketing system, with several backends by path prefix
    Rest,
    /// USMS: incidents, changes and problems over SOAP, at `/NAME/usms`
    Usms,
    /// Ticketing behind an Oracle Service Bus, over SOAP, at `/NAME/ticketing`
    TelenetOsb,
    /// Orange Océane, with its sign-in at `/NAME/oauth/token`
    Oceane,
    /// Request Tracker's REST2
    RequestTracker,
    /// Redmine
    Redmine,
    /// TIXNGO's diff feed
    Tixngo,
    /// S-360: ticket details and contacts
    S360,
}

/// The settings of one simulated ticketing system.
#[derive(Debug, Clone)]
pub struct RestSettings {
    /// Which system is simulated.
    pub system: System,
    /// The address to listen on; port 0 takes a free one, told in `Running::address`.
    pub listen: SocketAddr,
    /// The only backends there are; when empty, any name is a backend from its first use on.
    pub backends: Vec<String>,
    /// When set, ticket calls without `Authorization: Bearer <token>` are answered 401. The
    /// ledger and the faults stay open: they belong to the observer, not to the system.
    pub token: Option<SecretString>,
    /// Where a system that answers writes later calls back; none: it does at once what it takes, and
    /// says nothing more. Only `TelenetOsb` answers later.
    pub callbacks: Option<CallbackSettings>,
    /// The faults that every backend begins with.
    pub faults: Faults,
    /// Seeds the dice of the faults. Each backend throws its own dice, so that what one backend
    /// does is the same whatever the others are asked.
    pub seed: u64,
    /// The number of each backend's first ticket. A system that starts anew, with nothing in it,
    /// must not give out the ids of tickets that somebody still remembers.
    pub first_number: u64,
    /// Threads that serve calls. One is enough for thousands of calls a second.
    pub workers: usize,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            system: System::Rest,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            backends: Vec::new(),
            token: None,
            callbacks: None,
            faults: Faults::default(),
            seed: 1,
            first_number: 1,
            workers: 1,
        }
    }
}

/// Reads a duration in words, such as `20ms`, `1s` or `1m 30s`.
///
/// # Errors
/// Says what is wrong when the text is no duration, or a negative one.
pub fn duration_in_words(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|error| format!("{error}; write it like 20ms, 1s or 1m 30s"))?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_words() {
        for (text, milliseconds) in [("20ms", 20), ("1s", 1_000), ("1m 30s", 90_000), ("0s", 0)] {
            assert_eq!(duration_in_words(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["20", "", "soon", "-1s"] {
            assert!(duration_in_words(text).is_err(), "{text}");
        }
    }
}
