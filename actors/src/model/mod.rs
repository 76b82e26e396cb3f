//! The trade's words as types: alarm, ticket, request, event, beat, lock, parked message.
//!
//! Values only: nothing here reads a clock, makes an id or knows a wire or row format. The serde
//! derives serve the stores, which keep the body of a row as MessagePack or JSON; what goes over a wire has its
//! own types in the adapters.

mod alarm;
mod audited;
mod beat;
mod canary;
mod command;
mod error;
mod event;
mod fields;
mod history;
mod id;
mod parked;
mod request;
mod service;
mod snapshot;
mod story;
mod sync;
mod ticket;
mod time;
mod watched;

pub use alarm::{
    Alarm, AlarmEvent, AlarmRef, AlarmState, Details, Identity, OccurrenceRef, Severity, Wishes,
};
pub use audited::Audited;
pub use beat::{Beat, BeatStatus};
pub use canary::{CANARY_SOURCE, TestAlarm, TestRow};
pub use command::{
    Code, Command, CommandAnswer, CommandError, CommandRecord, FoundTicket, Given, Granted,
    KeptLock, LockName, Order, Reply, Route, Stage, TicketName,
};
pub use error::TicketError;
pub use event::{Conflict, EventName, TicketEvent, TicketView, WriteBack};
pub use fields::Fields;
pub use history::{HistoryList, HistoryRow};
pub use id::{
    BackendId, ClientNumber, CommandId, CorrelationKey, Epoch, EventId, Fence, RequestId, TicketKey,
};
pub use parked::{AsItCame, Parked};
pub use request::{Doubt, MadeBy, Op, Request, State};
pub use service::{Service, ServiceTable};
pub use snapshot::{Mark, Pass, Said, Snapshot};
pub use story::{Step, Story};
pub use sync::{
    AsOf, CONFLICTS_KEPT, Held, HeldBecause, KeptConflict, LastRun, Out, Place, STATUS, Side,
    Stubborn, SyncAnswer, SyncRow, Tally, TicketChange, Told, Turned, Twin,
};
pub use ticket::{Found, Kind, Origin, Ticket, TicketStatus};
pub use time::{BadTime, MONO_BEGINS, Moment, Mono, Timestamp};
pub use watched::Watched;
