//! For tests and the simulator: a store in memory, a clock that is set by hand, ids that count.

mod clock;
mod memory;
pub mod mutants;
pub mod pair;
pub mod world;

pub use clock::{CountedIds, ManualClock};
pub use memory::{MemoryStore, Rows};

use crate::changes::{Admission, Guard, TakeCommand, Write};
use crate::logic::sync::{From, Pair, Plan, Rules};
use crate::model::{
    AlarmEvent, AlarmRef, AlarmState, BackendId, CommandId, CorrelationKey, Details, EventId,
    Fields, Kind, Op, Reply, RequestId, STATUS, Severity, Side, TicketKey, TicketName, Timestamp,
    Told, Wishes,
};
use crate::ports::FreshIds;
use std::time::Duration;
use uuid::Uuid;

/// A moment in milliseconds.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A sync of the backend `desk` with itself, by four fields and the status: we are master of `a`, they of
/// `b`, nobody of the others.
pub fn a_sync(name: &str, from: From) -> Plan {
    let pair = |name: &str, master| Pair { ours: name.into(), theirs: name.into(), master };
    let pairs = vec![
        pair("a", Some(Side::Ours)),
        pair("b", Some(Side::Theirs)),
        pair("c", None),
        pair("d", None),
        pair(STATUS, None),
    ];
    Plan {
        name: name.into(),
        source: BackendId::new("desk"),
        organizer: String::new(),
        home: BackendId::new("desk"),
        from,
        rules: Rules { pairs, whole: from == From::Connector, ..Rules::default() },
        takes_over: true,
        own_ids: false,
        home_writes: true,
        writes_back: from != From::Connector,
        contact_field: "owner_email".into(),
        contacts: false,
        credit: 3,
        overlap: Duration::from_secs(600),
        admission: Admission::default(),
        instance: "test".into(),
    }
}

/// A plain raise.
pub fn alarm_event(source: &str, id: &str) -> AlarmEvent {
    AlarmEvent {
        alarm: AlarmRef { source: source.into(), id: id.into() },
        state: AlarmState::Raised,
        changed_at: Some(at(1_000)),
        details: Details {
            severity: Some(Severity::Major),
            raised_at: at(1_000),
            object: "tx/1".into(),
            object_name: None,
            alarm_type: None,
            probable_cause: None,
            specific_problem: None,
            text: Some("loss of signal".into()),
            value: None,
            properties: Fields::new(),
            wishes: Wishes::default(),
        },
        body_hash: 1,
    }
}

/// What the other side of a sync says of the incident that it calls so: said, and changed, at that moment.
pub fn told(id: &str, said_at: Timestamp, fields: Fields) -> Told {
    Told {
        backend_id: Some(id.into()),
        key: None,
        correlation_key: Some(String::new()),
        kind: Kind::Incident,
        fields,
        backend_status: None,
        url: None,
        said_at,
        changed_at: said_at,
        deleted: false,
    }
}

/// Ids for what a told ticket may need.
pub fn fresh_ids(mut next: impl FnMut() -> Uuid) -> FreshIds {
    FreshIds {
        ticket: TicketKey(next()),
        request: RequestId(next()),
        second: RequestId(next()),
        events: [EventId(next()), EventId(next())],
    }
}

/// A command that changes these fields of a ticket.
pub fn an_update(ticket: TicketKey, fields: Fields, mut next: impl FnMut() -> Uuid) -> TakeCommand {
    TakeCommand {
        id: CommandId(next()),
        body_hash: [0; 16],
        write: Write::Change(Op::Update, TicketName::Key(ticket)),
        fields,
        guard: Guard::None,
        reply: Reply::default(),
        request: RequestId(next()),
        ticket: TicketKey(next()),
        correlation_key: CorrelationKey(String::new()),
        admission: Admission::default(),
    }
}

/// Does each of them, on all cores.
#[cfg(test)]
fn on_all_cores<T: Send>(of: usize, each: impl Fn(usize) -> Option<T> + Sync) -> Vec<T> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if n >= of {
                return found;
            }
            found.extend(each(n));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}
