//! The canary: a test alarm that goes the way of a real one, to show that the flow is alive.

use super::{
    BackendId, CorrelationKey, EventId, EventName, Fields, Kind, RequestId, TicketEvent, TicketKey,
    TicketStatus, TicketView, Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The source of test alarms. No alarm system may use it.
pub const CANARY_SOURCE: &str = "ticketgate.canary";

/// A test alarm: one round of the canary of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestAlarm {
    /// The node that sent it.
    pub node: String,
    /// Whose flow it tries.
    pub backend: BackendId,
    /// Names the round.
    pub round: Uuid,
}

/// What is stored of a round while it is under way; it stands in its lane's row and goes with the
/// round's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRow {
    /// The round.
    pub round: Uuid,
    /// A ticket client's lock was shown for it.
    pub carried: bool,
}

impl TestAlarm {
    /// The event at the end of its way. It is of no ticket: its key is the round's own.
    pub fn event(&self, event_id: EventId, at: Timestamp) -> TicketEvent {
        TicketEvent {
            n: 0,
            event_id,
            event: EventName::Canary,
            at,
            sequence: 1,
            request_id: Some(RequestId(self.round)),
            correlation_key: CorrelationKey(String::new()),
            alarms: Vec::new(),
            ticket: TicketView {
                key: TicketKey(self.round),
                backend: self.backend.clone(),
                backend_id: None,
                kind: Kind::Incident,
                status: TicketStatus::Pending,
                backend_status: None,
                url: None,
                fields: Fields::new(),
                home_node: self.node.clone(),
            },
            error: None,
            command: None,
            conflicts: Vec::new(),
        }
    }

    /// The test alarm whose event that is.
    pub fn of_event(event: &TicketEvent) -> Option<Self> {
        (event.event == EventName::Canary).then(|| Self {
            node: event.ticket.home_node.clone(),
            backend: event.ticket.backend.clone(),
            round: event.ticket.key.0,
        })
    }
}
