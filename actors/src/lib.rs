//! Ticketgate without its edges: the model, the pure logic, the ports and the actors.
//!
//! Layers, each of which sees only those below it:
//!
//! ```text
//! actors   thin actix actors: translate, feed, perform effects
//! changes  the store's transactions, written once over the `Tx` port
//! ports    what the actors need from outside: store, bus, backends, clock, ids, leases
//! logic    sans-IO: functions, tables and machines; no clock, no await, no log
//! model    the trade's words as types
//! ```
//!
//! No AMQP, HTTP or SQL library is in this crate's manifest, so the compiler guards the border.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Is this deliberate break switched on? Only in tests and the simulator; else it is `false`, and
/// nothing of it is compiled. The list is in [`testing::mutants`].
#[cfg(any(test, feature = "testing"))]
macro_rules! mutant {
    ($name:ident) => {
        crate::testing::mutants::is_on(crate::testing::mutants::Mutant::$name)
    };
}
#[cfg(not(any(test, feature = "testing")))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}

pub mod actors;
pub mod changes;
pub mod logic;
pub mod model;
pub mod ports;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
