//! What becomes of an open ticket that an operator brings along from an old system: decided from
//! what is known here, in a dry run and for real by the same words.

use crate::model::{Alarm, Ticket, TicketStatus};

/// What becomes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// Its alarm is known and gets it.
    Linked,
    /// Its alarm is not known yet: the first event of it will find its ticket.
    Registered,
    /// It was brought before, or found here.
    Known,
    /// It is closed: whatever its alarm says next is a new occurrence.
    LeftOut,
    /// It cannot be taken, and why.
    Refused(&'static str),
}

impl Brought {
    /// The word on every face.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Registered => "registered",
            Self::Known => "known",
            Self::LeftOut => "left_out",
            Self::Refused(_) => "refused",
        }
    }
}

/// `newest` is the alarm's newest occurrence here, `theirs` the ticket under its backend's id.
pub fn brought(newest: Option<&Alarm>, theirs: Option<&Ticket>, status: TicketStatus) -> Brought {
    if status.ended() {
        return Brought::LeftOut;
    }
    let Some(alarm) = newest else { return Brought::Registered };
    let same = theirs.is_some_and(|ticket| alarm.ticket == Some(ticket.key));
    match alarm {
        _ if same => Brought::Known,
        _ if alarm.request.is_some() => Brought::Refused("a request of the alarm is under way"),
        _ if alarm.ticket.is_some() => Brought::Refused("the alarm has another ticket here"),
        _ if !alarm.active => Brought::Refused("the alarm is cleared here"),
        _ => Brought::Linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::occurrence::{Absorbed, absorb};
    use crate::logic::policy::Routing;
    use crate::model::{BackendId, CorrelationKey, Kind, Origin, RequestId, TicketKey};
    use crate::testing::{alarm_event, at};
    use uuid::Uuid;

    fn alarm() -> Alarm {
        match absorb(None, &alarm_event("probe", "1"), &Routing::default(), at(0)) {
            Absorbed::Opened(alarm) => alarm,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_known_here_decides() {
        let key = |n| TicketKey(Uuid::from_u128(n));
        let place = (BackendId::new("crm"), Kind::Incident);
        let origin = Origin::Command { id: "c".into() };
        let theirs =
            Ticket::pending(key(1), place, CorrelationKey("tg".into()), origin, "n", at(0));
        let open = TicketStatus::InProgress;
        let with = |change: fn(&mut Alarm)| {
            let mut alarm = alarm();
            change(&mut alarm);
            Some(alarm)
        };
        for (alarm, status, expected) in [
            (None, open, "registered"),
            (None, TicketStatus::Closed, "left_out"),
            (with(|_| {}), TicketStatus::Resolved, "left_out"),
            (with(|_| {}), open, "linked"),
            (with(|it| it.ticket = Some(TicketKey(Uuid::from_u128(1)))), open, "known"),
            (with(|it| it.ticket = Some(TicketKey(Uuid::from_u128(2)))), open, "refused"),
            (with(|it| it.request = Some(RequestId(Uuid::from_u128(3)))), open, "refused"),
            (with(|it| it.active = false), open, "refused"),
        ] {
            let verdict = brought(alarm.as_ref(), Some(&theirs), status);
            assert_eq!(verdict.as_str(), expected, "{alarm:?}");
        }
    }
}
