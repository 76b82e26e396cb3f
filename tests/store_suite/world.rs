//! What a case talks to: a store, its reads, a clock that is set by hand, and the cast's usual
//! moves in one word each.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::changes::{
    Admission, Applied, Change, ChangeSet, Conclude, Concluded, Decide, Decision, End, Intend,
    LockProof, TakeIn, TakeLane, TakenIn,
};
use ticketgate_actors::logic::policy::Routing;
use ticketgate_actors::model::{
    Alarm, AlarmEvent, AlarmRef, AlarmState, BackendId, ClientNumber, CorrelationKey, Epoch,
    EventId, Fence, Fields, Found, Identity, Mono, Op, Request, RequestId, TicketKey, Timestamp,
};
use ticketgate_actors::ports::{Clock, DueMost, Ids, Reads, Store, StoreError};
use ticketgate_actors::testing::{CountedIds, ManualClock, alarm_event};

pub type Answer = Result<Vec<Applied>, StoreError>;

pub struct World {
    pub store: Arc<dyn Store>,
    pub reads: Arc<dyn Reads>,
    pub clock: Arc<ManualClock>,
    ids: CountedIds,
    /// What must outlive the store: its folder.
    _keep: Box<dyn Any>,
}

/// How many un-ended requests flows are told of.
pub async fn open_requests(reads: &dyn Reads, backend: &BackendId) -> u64 {
    let none = Arc::new(|_| DueMost::default());
    reads.due(backend.clone(), Timestamp::default(), none).await.expect("it can be read").open
}

pub fn noc() -> BackendId {
    BackendId::new("noc")
}

pub fn alarm_ref(id: &str) -> AlarmRef {
    AlarmRef { source: "probe".into(), id: id.into() }
}

pub fn routing() -> Routing {
    Routing { backend: Some(noc()), reason: "default backend".into(), ..Routing::default() }
}

/// Names the delivery `name`.
pub fn identity(name: &str) -> Identity {
    ticketgate_actors::logic::correlation::identity_by_id("test", name)
}

pub fn take_in(name: &str, event: AlarmEvent) -> Change {
    let (identity, routing) = (identity(name), routing());
    Change::TakeIn(Box::new(TakeIn { identity, event, routing, parked_at: None }))
}

/// The raise of an alarm, delivered under its own id.
pub fn raise(id: &str) -> Change {
    take_in(id, alarm_event("probe", id))
}

/// An event of the alarm that is that much newer than its raise.
pub fn later(id: &str, state: AlarmState, millis: i64) -> AlarmEvent {
    let mut event = alarm_event("probe", id);
    event.state = state;
    event.changed_at = Some(Timestamp::from_millis(1_000 + millis));
    event.details.text = Some(format!("{millis} ms later"));
    event
}

pub fn found(backend_id: &str) -> Found {
    Found { backend_id: backend_id.into(), ..Found::default() }
}

impl World {
    pub fn new(
        store: Arc<dyn Store>,
        reads: Arc<dyn Reads>,
        clock: Arc<ManualClock>,
        keep: impl Any,
    ) -> Self {
        Self { store, reads, clock, ids: CountedIds::default(), _keep: Box::new(keep) }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    pub fn request_id(&self) -> RequestId {
        RequestId(self.ids.uuid(self.now()))
    }

    pub fn event_id(&self) -> EventId {
        EventId(self.ids.uuid(self.now()))
    }

    pub fn ticket_key(&self) -> TicketKey {
        TicketKey(self.ids.uuid(self.now()))
    }

    pub async fn try_apply(&self, change: Change) -> Answer {
        self.store.apply(change.into()).await
    }

    pub async fn apply(&self, change: Change) -> Applied {
        self.try_apply(change).await.unwrap().pop().unwrap()
    }

    pub async fn apply_each(&self, sets: Vec<Vec<Change>>) -> Vec<Answer> {
        self.store.apply_each(sets.into_iter().map(ChangeSet).collect()).await
    }

    pub async fn take_in(&self, name: &str, event: AlarmEvent) -> TakenIn {
        match self.apply(take_in(name, event)).await {
            Applied::TakenIn(taken) => taken,
            other => panic!("{other:?}"),
        }
    }

    /// The newest occurrence.
    pub async fn alarm(&self, id: &str) -> Alarm {
        self.reads.occurrences(alarm_ref(id)).await.unwrap().pop().unwrap()
    }

    pub fn lock(&self) -> LockProof {
        LockProof { client: ClientNumber(1), fence: Fence(1), expires: Mono(u64::MAX) }
    }

    /// A decision on the alarm as it stands now.
    pub async fn decide(&self, id: &str, decision: Decision) -> Decide {
        let alarm = self.alarm(id).await;
        let mut read = None;
        if let Some(key) = alarm.ticket {
            read = self.reads.ticket(key).await.unwrap().map(|ticket| (key, ticket.sequence));
        }
        Decide {
            at: alarm.at,
            version: alarm.wanted_version,
            ticket: read,
            lock: self.lock(),
            request: self.request_id(),
            event_id: self.event_id(),
            decision,
            reason: "the case wants it".into(),
            along: Vec::new(),
            storm: None,
            admission: Admission::default(),
        }
    }

    pub fn create(&self, correlation_key: &str) -> Decision {
        let mut fields = Fields::new();
        fields.insert("summary".into(), "loss of signal".into());
        let correlation_key = CorrelationKey(correlation_key.into());
        Decision::Create { ticket: self.ticket_key(), correlation_key, fields }
    }

    pub fn write(&self, op: Op, ticket: TicketKey) -> Decision {
        Decision::Write { op, ticket, fields: Fields::new() }
    }

    pub async fn decided(&self, id: &str, decision: Decision) -> Request {
        let decide = self.decide(id, decision).await;
        match self.apply(Change::Decide(Box::new(decide))).await {
            Applied::Decided { request: Some(request), .. } => *request,
            other => panic!("{other:?}"),
        }
    }

    /// Raises an alarm and accepts the create of its ticket.
    pub async fn accepted(&self, id: &str) -> Request {
        self.take_in(id, alarm_event("probe", id)).await;
        self.decided(id, self.create(&format!("tg-{id}"))).await
    }

    pub async fn take_lane(&self) -> Epoch {
        let take =
            TakeLane { backend: noc(), settle: Duration::from_secs(30), event_id: self.event_id() };
        match self.apply(Change::TakeLane(take)).await {
            Applied::LaneTaken(epoch, _) => epoch,
            other => panic!("{other:?}"),
        }
    }

    /// The intent of a request as it stands now.
    pub async fn intend(&self, epoch: Epoch, request: RequestId) -> Change {
        let known = self.reads.request(request).await.unwrap();
        let attempts = known.map_or(0, |request| request.attempts);
        let backend = noc();
        Change::Intend(Box::new(Intend {
            backend,
            epoch,
            request,
            attempts,
            level: None,
            with_decision: false,
        }))
    }

    pub async fn intended(&self, epoch: Epoch, request: RequestId) -> Request {
        match self.apply(self.intend(epoch, request).await).await {
            Applied::Intended(request, _) => *request,
            other => panic!("{other:?}"),
        }
    }

    pub fn conclude(&self, epoch: Epoch, request: RequestId, attempt: u32, end: End) -> Change {
        let event_ids = [self.event_id(), self.event_id()];
        Change::Conclude(Box::new(Conclude {
            backend: noc(),
            epoch,
            request,
            attempt,
            end,
            event_ids,
            by_later_answer: false,
            watch_looks: 0,
        }))
    }

    pub async fn concluded(&self, epoch: Epoch, request: &Request, end: End) -> Concluded {
        match self.apply(self.conclude(epoch, request.id, request.attempts, end)).await {
            Applied::Concluded(concluded) => *concluded,
            other => panic!("{other:?}"),
        }
    }

    /// Raises an alarm and makes its ticket.
    pub async fn done(&self, epoch: Epoch, id: &str, backend_id: &str) -> Request {
        let accepted = self.accepted(id).await;
        let intended = self.intended(epoch, accepted.id).await;
        self.concluded(epoch, &intended, End::Done(found(backend_id))).await.request
    }
}
