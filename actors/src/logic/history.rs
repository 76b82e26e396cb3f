//! The history rows of a request that has ended (rule C2): what the ticketing systems' own tables
//! would say of it.
//!
//! Values are taken by their documented names (docs/offload.md) from the request's fields, else from
//! the ticket's, else from the alarm's properties. A request that a newer level made unnecessary was
//! never sent and leaves no row.

use crate::model::{
    Alarm, Fields, HistoryList, HistoryRow, MadeBy, Op, Request, State, Ticket, TicketError,
};
use serde_json::Value;

/// Characters of a cell: rows stand on the way of every request, and a table is no place for texts.
const CELL_MAX: usize = 500;

/// The rows that this end makes; none while the request has not ended. `linked`: the alarms of its
/// ticket.
pub fn rows(request: &Request, ticket: &Ticket, linked: &[Alarm]) -> Vec<HistoryRow> {
    let end = End { request, ticket, alarm: alarm_of(request, linked) };
    let refused = matches!(request.state, State::Rejected | State::Failed);
    let lists: &[HistoryList] = match (request.state, request.op) {
        (state, _) if !state.ended() || state == State::Superseded => &[],
        (_, Op::Create) if refused => &HistoryList::ALL,
        (_, Op::Create) => &[HistoryList::Status, HistoryList::Tickets],
        _ => &[HistoryList::Status],
    };
    lists.iter().map(|list| end.row(*list)).collect()
}

/// The alarm that made the request; a command's ticket has none, or those that are linked to it.
fn alarm_of<'a>(request: &Request, linked: &'a [Alarm]) -> Option<&'a Alarm> {
    match &request.made_by {
        MadeBy::Level { at, .. } => linked.iter().find(|alarm| alarm.at == *at),
        MadeBy::Command { .. } | MadeBy::Sync { .. } => linked.first(),
    }
}

struct End<'a> {
    request: &'a Request,
    ticket: &'a Ticket,
    alarm: Option<&'a Alarm>,
}

impl End<'_> {
    fn row(&self, list: HistoryList) -> HistoryRow {
        let mut cells = match list {
            HistoryList::Status => self.status(),
            HistoryList::Tickets => self.tickets(),
            HistoryList::Failed => self.failed(),
        };
        for cell in &mut cells {
            if let Some((end, _)) = cell.char_indices().nth(CELL_MAX) {
                cell.truncate(end);
            }
        }
        let at = self.request.ended_at.unwrap_or(self.request.accepted_at);
        HistoryRow { n: 0, list, at, cells }
    }

    fn good(&self) -> bool {
        matches!(self.request.state, State::Done | State::Adopted)
    }

    fn error(&self) -> Option<&TicketError> {
        self.request.error.as_ref().filter(|_| !self.good())
    }

    fn status(&self) -> Vec<String> {
        let (request, ticket) = (self.request, self.ticket);
        vec![
            request.id.to_string(),
            ticket.key.to_string(),
            ticket.backend.to_string(),
            ticket.backend_id.clone().unwrap_or_default(),
            ticket.kind.as_str().to_owned(),
            request.op.as_str().to_owned(),
            self.alarm.map(|alarm| alarm.at.alarm.to_string()).unwrap_or_default(),
            if self.good() { "Succeeded" } else { "Failed" }.to_owned(),
            self.error().map(|error| error.reason.clone()).unwrap_or_default(),
        ]
    }

    fn tickets(&self) -> Vec<String> {
        let details = self.alarm.map(|alarm| &alarm.details);
        let or = |said: String, other: Option<String>| match said.is_empty() {
            true => other.unwrap_or_default(),
            false => said,
        };
        let failed = matches!(self.request.state, State::Rejected | State::Failed);
        let created = self.request.ended_at.filter(|_| self.good());
        vec![
            self.request.id.to_string(),
            self.ticket.backend_id.clone().unwrap_or_default(),
            self.alarm.map(|alarm| alarm.at.alarm.id.clone()).unwrap_or_default(),
            self.named("dataminer_id"),
            or(self.named("element_id"), details.map(|it| it.object.clone())),
            or(self.named("element_name"), details.and_then(|it| it.object_name.clone())),
            created.map(|at| at.to_string()).unwrap_or_default(),
            self.named("priority"),
            self.named("urgency"),
            self.named("technical_impact"),
            self.named("client_impact"),
            self.named("root_cause"),
            if failed { "failed" } else { self.ticket.status.as_str() }.to_owned(),
        ]
    }

    fn failed(&self) -> Vec<String> {
        let error = self.error().cloned().unwrap_or_default();
        // What was refused has no number of the backend's: our own key tells one from the other.
        let ours = || self.ticket.key.to_string();
        vec![
            self.request.id.to_string(),
            self.ticket.backend_id.clone().unwrap_or_else(ours),
            error.http_status.map(|status| status.to_string()).unwrap_or_default(),
            error.code.unwrap_or_default(),
            error.reason,
            error.description.unwrap_or_default(),
        ]
    }

    /// A value by its documented name; empty where nobody gave one.
    fn named(&self, name: &str) -> String {
        let properties = self.alarm.map(|alarm| &alarm.details.properties);
        let places = [Some(&self.request.fields), Some(&self.ticket.fields), properties];
        let found = places.into_iter().flatten().find_map(|fields: &Fields| fields.get(name));
        match found {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}
