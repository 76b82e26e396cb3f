//! A partner: a system that we do not call. Its connector sends us what changed there, and takes what changed
//! here from our answers.
//!
//! What always holds: a write is done as soon as it is asked for, since the ticket is ours until the connector
//! fetches it; so no call can be in doubt. It gives no id: that one comes with the connector's next message. A
//! read finds nothing, because there is nobody to ask.
//!
//! What it leaves to others: the connector's messages and the merge (the sync).

use std::sync::Arc;
use ticketgate_actors::model::{Found, Service, TicketError};
use ticketgate_actors::ports::{Answer, Backend, Call, Clock, Heard, Reading, Soon, Work};

/// The adapter of a `type = "partner"`.
pub struct Partner {
    clock: Arc<dyn Clock>,
}

impl Partner {
    /// One of them is like the other.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    fn answer(&self, call: &Call) -> Answer {
        // Whoever took the lane over meanwhile does it (rule G3).
        if self.clock.now().mono > call.send_by {
            return Answer::NotSent("it was too late to do it (send_within)".to_owned());
        }
        match &call.work {
            Work::Create { .. }
            | Work::Update { .. }
            | Work::Close { .. }
            | Work::Reopen { .. } => Answer::Done(Found::default()),
            Work::Get { .. } | Work::Search { .. } | Work::Probe => {
                Answer::Read(Reading::default())
            }
            Work::Changes { .. } => {
                let reason = "a partner is not asked what changed: its connector tells it";
                Answer::Refused(TicketError::because(reason))
            }
        }
    }
}

impl Backend for Partner {
    fn call(&self, call: Call) -> Soon<Heard> {
        let heard = self.answer(&call).into();
        Box::pin(async move { heard })
    }

    fn check_service(&self, _: &Service) -> Result<(), (&'static str, String)> {
        Err(("name", "a partner is not called: it has no services".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use ticketgate_actors::model::{CorrelationKey, Fields, Kind, TicketKey};
    use ticketgate_actors::ports::{SearchBy, TicketTarget, Via};
    use ticketgate_actors::testing::ManualClock;
    use uuid::Uuid;

    async fn says(work: Work, in_time: bool) -> Answer {
        let clock = Arc::new(ManualClock::default());
        let now = clock.now().mono;
        let send_by = if in_time { now.plus(Duration::from_secs(5)) } else { Default::default() };
        let call = Call {
            via: Via::Selected,
            service: None,
            ticket: None,
            attempt: 1,
            request: None,
            alarm: None,
            work,
            send_by,
            timeout: Duration::from_secs(1),
        };
        Partner::new(clock).call(call).await.answer
    }

    #[tokio::test]
    async fn writes_are_done_at_once_without_an_id_and_reads_find_nothing() {
        let ticket = TicketTarget {
            key: TicketKey(Uuid::nil()),
            correlation_key: CorrelationKey("tg".to_owned()),
            kind: Kind::Incident,
            backend_id: None,
        };
        let fields = Fields::new;
        for work in [
            Work::Create { ticket: ticket.clone(), fields: fields() },
            Work::Update { ticket: ticket.clone(), fields: fields() },
            Work::Close { ticket: ticket.clone(), fields: fields() },
            Work::Reopen { ticket, fields: fields() },
        ] {
            assert_eq!(says(work.clone(), true).await, Answer::Done(Found::default()));
            assert!(matches!(says(work, false).await, Answer::NotSent(_)));
        }
        let by = SearchBy::Fields(Fields::new());
        for work in [
            Work::Get { backend_id: "1".to_owned(), kind: Kind::Incident },
            Work::Search { by, kind: Kind::Incident, limit: 2 },
        ] {
            assert_eq!(says(work, true).await, Answer::Read(Reading::default()));
        }
        let changes = Work::Changes { cursor: None, since: None, offset: 0, limit: 1 };
        assert!(matches!(says(changes, true).await, Answer::Refused(_)));
    }
}
