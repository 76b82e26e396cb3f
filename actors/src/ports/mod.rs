//! What the actors need from outside. A port says what is true after a call returns, and what may
//! be true if it fails; adapters live in the root package and never see each other.

mod archive;
mod backend;
mod bus;
mod clock;
mod leases;
mod past;
mod store;
mod sync;
mod tripwire;

pub use archive::{Archive, ArchiveError};
pub use backend::{
    About, Answer, Backend, Call, ChangesBy, ChangesPage, Form, Heard, Reading, SearchBy,
    TicketTarget, TokenState, Via, Work,
};
pub use bus::{
    BadCommand, Bus, Decode, Delivery, Inlet, Later, Malformed, Outgoing, PublishFailed, SyncSaid,
    Verdict,
};
pub use clock::{Clock, Ids};
pub use leases::{LeaseLost, Leases};
pub use past::{Leaving, PastReads, PastTx};
pub use store::{
    AlarmFilter, Answered, DUE_COUNTED_MAX, DueAlarm, DueMost, DueOf, DuePage, LaneCounts, LaneRow,
    Page, Pause, Reads, RequestFilter, Store, StoreError, StoreFigures, TicketFilter, Tx, TxError,
};
pub use sync::{FreshIds, SyncReads, SyncTx};
pub use tripwire::{MessageHash, Tripwire};

/// A boxed future that may move between threads.
pub type Soon<T> = futures_util::future::BoxFuture<'static, T>;
