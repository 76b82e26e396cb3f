//! The ticketing services of a backend: several addresses of one system, of which one is selected.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One ticketing service. It holds no secret: who signs in with what, the backend's own sign-in says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, by which requests remember it.
    pub name: String,
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    /// TCP.
    pub port: u16,
    /// What all of the backend's paths lie below; empty, or from `/` on.
    #[serde(default)]
    pub path: String,
    /// Is it spoken to over TLS?
    #[serde(default)]
    pub tls: bool,
    /// The user to sign in as; none: the backend's own.
    #[serde(default)]
    pub user: Option<String>,
    /// How long a call may take; none: as long as the backend's. Never longer than that, on which the
    /// settling of a doubt rests.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

impl Service {
    /// Its address, in the place of the backend's own.
    pub fn base_url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

/// The services of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTable {
    /// In the order of their file.
    pub services: Vec<Service>,
    /// The name of the one that the next request is accepted for.
    pub selected: String,
}

impl ServiceTable {
    /// A service by its name.
    pub fn named(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}
