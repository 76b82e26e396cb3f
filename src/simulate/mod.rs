//! Simulated ticketing systems, for demonstrations and for tests.
//!
//! What it is for: something to send tickets to that misbehaves on order and that keeps a ledger
//! of everything that was done to it, so that "every ticket exactly once" can be counted from the
//! outside instead of believed.
//!
//! What always holds: it is an independent observer. Nothing here uses the crate of the actors,
//! so a fault in the product's own notion of a ticket cannot hide itself here as well.
//!
//! What it leaves to others: sending alarms, and judging the ledger; the tests and the demo do.

pub mod callbacks;
pub mod cli;
pub mod dataminer;
pub mod faults;
pub mod ledger;
pub mod report;
pub mod rest;
pub mod settings;

mod books;
mod calls;
mod changes;
mod fate;
mod handlers;
mod order;
mod systems;
mod tickets;
mod traffic;

#[cfg(test)]
mod rest_tests;
