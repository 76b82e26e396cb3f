//! An open ticket of an old system is brought along: its alarm belongs to it from now on, also if no
//! event of that alarm has come yet. Else the first repeated alarm would double them all.

use super::command::Named;
use super::{Applied, Context, Halt};
use crate::logic::import::{Brought, brought};
use crate::model::{
    Alarm, AlarmRef, AlarmState, BackendId, Details, Fields, Kind, OccurrenceRef, Story,
    TicketName, TicketStatus, Timestamp, Wishes,
};
use crate::ports::Tx;

/// One ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// The alarm that it was made for.
    pub alarm: AlarmRef,
    /// Where it is.
    pub backend: BackendId,
    /// Its id there.
    pub backend_id: String,
    /// Incident, change or problem.
    pub kind: Kind,
    /// How it stands there.
    pub status: TicketStatus,
    /// Its row.
    pub row: Named,
    /// Who brings it.
    pub who: String,
    /// Why.
    pub reason: String,
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Import, context: Context<'_>) -> Result<Applied, Halt> {
    let now = context.now.wall;
    let newest = tx.newest_alarm(&it.alarm)?;
    let theirs = tx.ticket_by_backend_id(&it.backend, &it.backend_id)?;
    let verdict = brought(newest.as_ref(), theirs.as_ref(), it.status);
    let mut alarm = match (verdict, newest) {
        (Brought::Linked, Some(alarm)) => alarm,
        (Brought::Registered, _) => unheard(it, now),
        _ => return Ok(Applied::Imported(verdict)),
    };
    let name = TicketName::Theirs(it.backend.clone(), it.backend_id.clone(), it.kind);
    let mut ticket = it.row.ticket(tx, &name, context)?;
    if theirs.is_none() {
        ticket.status = it.status;
    }
    // It is here by the import from now on.
    ticket.only_linked = false;
    tx.put_ticket(&ticket)?;
    alarm.take_care_of(Some(ticket.key));
    alarm.backend = Some(it.backend.clone());
    alarm.kind = ticket.kind;
    let what = format!("brought along with {} {} by {}", it.backend, it.backend_id, it.who);
    alarm.reason = Some(format!("{what}: {}", it.reason));
    alarm.story.add_because(now, what, &it.reason);
    tx.put_alarm(&alarm)?;
    Ok(Applied::Imported(verdict))
}

/// An alarm of which no event has come: every event is newer than this.
fn unheard(it: &Import, now: Timestamp) -> Alarm {
    let beginning = Timestamp::from_millis(0);
    Alarm {
        at: OccurrenceRef { alarm: it.alarm.clone(), occurrence: 0 },
        active: true,
        changed_at: beginning,
        heard_at: beginning,
        state: AlarmState::Raised,
        body_hash: 0,
        details: Details {
            severity: None,
            raised_at: beginning,
            object: "not heard yet".to_owned(),
            object_name: None,
            alarm_type: None,
            probable_cause: None,
            specific_problem: None,
            text: None,
            value: None,
            properties: Fields::new(),
            wishes: Wishes::default(),
        }
        .into(),
        wanted_version: 0,
        settled_version: 0,
        backend: Some(it.backend.clone()),
        kind: it.kind,
        ticket: None,
        left: Vec::new(),
        request: None,
        no_ticket: false,
        quiet_until: None,
        rule: None,
        group: None,
        close_delay_ms: 0,
        after_clear_ms: None,
        taken_as_cleared: false,
        taken_off: false,
        waits: false,
        due_at: None,
        tickets_made: 0,
        reason: None,
        first_seen: now,
        arrivals: 0,
        story: Story::default(),
    }
}
