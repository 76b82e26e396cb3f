//! Where Ticketgate keeps what it knows: adapters of the ports `Store` and `Reads`.
//!
//! Every store here passes the same suite (`tests/store_suite`). What a transaction means is not
//! written here but in `ticketgate_actors::changes`.

pub mod sqlite;
mod watched;

pub use sqlite::{OnFatal, OpenError, SqliteSettings, SqliteStore};
pub use watched::Watched;
