//! Ticketgate's adapters, faces and wiring. The model, the logic and the actors are in the crate
//! `ticketgate-actors`; adapters here never see each other (ARCHITECTURE.md has the map).
#![forbid(unsafe_code)]
// They panic when nobody reads any more; `say` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs)]

pub mod amqp;
pub mod app;
pub mod archive;
pub mod backends;
pub mod callbacks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod http;
pub mod inproc;
pub mod metrics;
pub mod notices;
pub mod reload;
pub mod say;
pub mod secrets;
pub mod series;
pub mod services;
pub mod simulate;
pub mod sources;
pub mod stores;
pub mod telemetry;
pub mod topology;
pub mod tripwire;
pub mod trust;
pub mod wire;
pub mod words;
