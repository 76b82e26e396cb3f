//! The gateway: the only way out. Holds the lane of every backend leased to this node and carries
//! out what the lanes want: loads, change sets, the one call at a time, wake-ups.
//!
//! A new gateway (after a start, or after a panic) takes every lane anew: the epoch grows, what
//! the old one had in flight is in doubt, and whatever it still stores is refused.

use super::aside::{Aside, Then};
use super::keeper::{Alive, Post};
use super::line::{Line, Place};
use super::outbox::Woken;
use super::{Dispatcher, Full, Outbox, Outside, Wake, calling, ops};
use crate::changes::{Applied, Change, ChangeSet, Concluded, Decide, LaterAnswer, Level};
use crate::logic::ahead::{Ahead, Kind};
use crate::logic::lane::{Dice, Effect, HEADS_MAX, Input, Lane, Note, Read, SWEEP_PAGE, Turn};
use crate::logic::topic;
use crate::logic::turns::{self, Turns};
use crate::model::{
    Alarm, BackendId, EventId, Fields, Moment, Mono, Request, RequestId, State, Ticket, Timestamp,
};
use crate::ports::{Answer, Call, Heard, Ids, LeaseLost, Reads, Soon, StoreError, Work};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture,
};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tracing::Instrument;

/// The pause before a lane that could not be taken is tried again.
const LEASE_RETRY: Duration = Duration::from_secs(1);

/// A journaled request, the first in line of its ticket.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Submit {
    /// The request.
    pub request: Box<Request>,
    /// It was kept for this request, and is free once the lane has it.
    pub place: Place,
}

impl From<Box<Request>> for Submit {
    fn from(request: Box<Request>) -> Self {
        Self { request, place: Place::default() }
    }
}

/// A decision to make a new ticket: where its lane is idle it is stored together with the intent of the call.
/// Answered when it is stored, or is not; never later.
#[derive(Message)]
#[rtype(result = "Journaled")]
pub struct Journal {
    /// Whose lane.
    pub backend: BackendId,
    /// The decision.
    pub decide: Box<Decide>,
    /// Says whether a person has made it void on its way here (rule L11).
    pub turns: watch::Receiver<Turns>,
    /// The turn in which it was made.
    pub made_in: turns::Turn,
}

/// What became of a decision that was handed over.
#[derive(Debug)]
pub enum Journaled {
    /// It is stored, and what it made is on its way; or it is not, and why.
    Stored(Result<(), StoreError>),
    /// The lane has other work, or makes no calls now: it is to be stored alone, and its request submitted.
    Alone(Box<Decide>, Place),
    /// Nobody knows: the gateway went away. Should it be stored, it is not made a second time.
    Unknown,
}

/// A read, to pass the lane: a flow's search, a script's, or the sync's of what changed.
#[derive(Message)]
#[rtype(result = "Heard")]
pub struct Ask {
    /// Whose lane.
    pub backend: BackendId,
    /// What to ask.
    pub work: Work,
    /// When the asker gives up.
    pub deadline: Mono,
}

/// A person lets a paused lane go on. False: no such lane, or the store did not take it.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Resume {
    /// Whose lane.
    pub backend: BackendId,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A backend's later answer. The request that it moved; none: it said nothing new.
#[derive(Message)]
#[rtype(result = "Result<Option<Request>, StoreError>")]
pub struct TakeAnswer(pub LaterAnswer);

/// No more intents; answered when nothing is under way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// The backends' settings have changed: each lane goes by its own anew.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reseat;

struct Seat {
    lane: Lane,
    ahead: Ahead,
    line: Line,
    timer: Option<(Mono, AbortHandle)>,
}

/// The gateway actor.
pub struct Gateway {
    outside: Arc<Outside>,
    dispatcher: Post<Dispatcher>,
    outbox: Post<Outbox>,
    seats: HashMap<BackendId, Seat>,
    reads: HashMap<u64, oneshot::Sender<Heard>>,
    next_read: u64,
    /// Who waits for a decision, by the request that it makes.
    decisions: HashMap<RequestId, oneshot::Sender<Journaled>>,
    drained: Vec<oneshot::Sender<()>>,
    aside: Aside,
    _alive: Alive,
}

struct Rolls<'a> {
    ids: &'a dyn Ids,
    now: Timestamp,
}

impl Dice for Rolls<'_> {
    fn event_id(&mut self) -> EventId {
        EventId(self.ids.uuid(self.now))
    }
    fn chance(&mut self) -> f64 {
        self.ids.chance()
    }
}

impl Gateway {
    /// A gateway that takes the lanes of all configured backends when it starts.
    pub fn new(
        outside: Arc<Outside>,
        dispatcher: Post<Dispatcher>,
        outbox: Post<Outbox>,
        alive: Alive,
    ) -> Self {
        let seat = |(name, seat): (&BackendId, &super::BackendSeat)| {
            let lane = Lane::new(name.clone(), seat.settings.clone());
            (
                name.clone(),
                Seat { lane, ahead: Ahead::default(), line: Line::default(), timer: None },
            )
        };
        let seats = outside.backends.now().iter().map(seat).collect();
        Self {
            outside,
            dispatcher,
            outbox,
            seats,
            reads: HashMap::new(),
            next_read: 0,
            decisions: HashMap::new(),
            drained: Vec::new(),
            aside: Aside::default(),
            _alive: alive,
        }
    }

    /// Feeds a lane and carries out what it wants; what is answered at once is fed right back.
    pub(super) fn feed(&mut self, backend: &BackendId, input: Input, ctx: &mut Context<Self>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.outside.clock.now();
            let Some(seat) = self.seats.get_mut(backend) else { return };
            let mut dice = Rolls { ids: &*self.outside.ids, now: now.wall };
            for effect in seat.lane.step(input, now, &mut dice) {
                inputs.extend(self.perform(backend, effect, now, ctx));
            }
        }
        self.show(backend);
    }

    fn perform(
        &mut self,
        backend: &BackendId,
        effect: Effect,
        now: Moment,
        ctx: &mut Context<Self>,
    ) -> Option<Input> {
        match effect {
            Effect::LoadWatched(after) => self.load_watched(backend.clone(), after, ctx),
            Effect::Load(class) => self.load(backend.clone(), class, now, ctx),
            Effect::Store(turn, set) => self.store(backend.clone(), turn, set, ctx),
            Effect::Call(turn, call) => self.call(backend.clone(), turn, *call, ctx),
            Effect::Render(turn, request, alarm, others) => {
                let level = self.render(&request, &alarm, &others);
                return Some(Input::Rendered(turn, level));
            }
            Effect::AnswerRead(id, heard) => {
                if let Some(asker) = self.reads.remove(&id) {
                    // An asker that went away needs no answer.
                    let _ = asker.send(heard);
                }
            }
            Effect::Declined(decide) => {
                let request = decide.request;
                let place = self.seats.get(backend).map(|seat| seat.line.place());
                let alone = Journaled::Alone(decide, place.unwrap_or_default());
                self.journaled(request, alone);
            }
            Effect::WakeFlows => self.dispatcher.tell(Wake(backend.clone())),
            Effect::WakeOutbox => self.outbox.tell(Woken),
            Effect::Ops(what, why) => self.ops(backend, what, &why, "ticketgate"),
            Effect::Note(note) => self.note(backend, &note),
            Effect::Lost => {
                tracing::warn!(%backend, "the lane was lost to a newer holder: taken again");
                self.take(backend.clone(), ctx);
            }
            Effect::WakeAt(at) => self.wake_at(backend, at, now, ctx),
        }
        None
    }

    fn take(&mut self, backend: BackendId, ctx: &mut Context<Self>) {
        let Some(seat) = self.outside.backends.get(&backend) else { return };
        let taken = take(self.outside.clone(), backend.clone(), seat.settings.settle());
        self.aside.run(ctx, taken, move |taken, gateway: &mut Self, ctx| match taken {
            Ok(input) => {
                gateway.feed(&backend, input, ctx);
                gateway.outbox.tell(Woken);
            }
            Err(error) => {
                tracing::error!(%error, "tried again");
                let again = move |gateway: &mut Self, ctx: &mut _| gateway.take(backend, ctx);
                gateway.aside.later(ctx, LEASE_RETRY, again);
            }
        });
    }

    fn load(&mut self, backend: BackendId, class: u8, now: Moment, ctx: &mut Context<Self>) {
        let reads = self.outside.reads.clone();
        let rows = load(reads, backend.clone(), class, now.wall);
        self.aside.run(ctx, rows, move |input, gateway: &mut Self, ctx| {
            gateway.feed(&backend, input, ctx);
        });
    }

    fn load_watched(&mut self, backend: BackendId, after: u64, ctx: &mut Context<Self>) {
        let rows = self.outside.reads.watched(backend.clone(), after, SWEEP_PAGE);
        self.aside.run(ctx, rows, move |rows, gateway: &mut Self, ctx| {
            gateway.feed(&backend, Input::Watched(rows.ok()), ctx);
        });
    }

    fn store(&mut self, backend: BackendId, turn: Turn, set: ChangeSet, ctx: &mut Context<Self>) {
        let decided = set.0.iter().find_map(|change| match change {
            Change::Decide(decide) => Some(decide.request),
            _ => None,
        });
        let stored = self.outside.store.apply(set);
        self.aside.run(ctx, stored, move |result, gateway: &mut Self, ctx| {
            if let Some(request) = decided {
                let told = result.as_ref().map(drop).map_err(StoreError::clone);
                gateway.journaled(request, Journaled::Stored(told));
            }
            gateway.log_ends(&backend, &result);
            gateway.tell_undecided(&result);
            gateway.feed(&backend, Input::Stored(turn, result), ctx);
        });
    }

    fn journaled(&mut self, request: RequestId, what: Journaled) {
        if let Some(asker) = self.decisions.remove(&request) {
            // A client that went away needs no answer: its flow runs again.
            let _ = asker.send(what);
        }
    }

    fn call(&mut self, backend: BackendId, turn: Turn, call: Call, ctx: &mut Context<Self>) {
        let Some(seat) = self.outside.backends.get(&backend) else { return };
        if let Some(mut view) = self.outside.views.lanes.get_mut(&backend) {
            view.calls += 1;
        }
        let span = tracing::info_span!(
            "call",
            %backend,
            request = call.request.map(tracing::field::display),
            alarm = call.alarm.as_ref().map(tracing::field::display),
            ticket = call.work.ticket().map(tracing::field::display),
        );
        let made = calling::make(self.outside.clone(), backend.clone(), seat.clone(), call);
        let answer = made.instrument(span);
        self.aside.run(ctx, answer, move |heard, gateway: &mut Self, ctx| {
            if matches!(heard.answer, Answer::Done(_) | Answer::Read(_))
                && let Some(mut view) = gateway.outside.views.lanes.get_mut(&backend)
            {
                view.last_success = Some(gateway.outside.clock.now().wall);
                view.last_error = None;
            }
            gateway.feed(&backend, Input::Answered(turn, heard), ctx);
        });
    }

    /// A newer level for a request that was journaled for an older one; none: superseded.
    fn render(&self, request: &Request, alarm: &Alarm, others: &[Alarm]) -> Option<Level> {
        self.outside.policy().level(request.op, alarm, others)
    }

    fn log_ends(&self, backend: &BackendId, result: &Result<Vec<Applied>, StoreError>) {
        for applied in result.iter().flatten() {
            let Applied::Concluded(concluded) = applied else { continue };
            let (request, ticket) = (&concluded.request, &concluded.ticket);
            self.outside.notices.moved(request.id);
            if matches!(request.state, State::Done | State::Adopted) {
                tracing::info!(
                    %backend,
                    request = %request.id,
                    alarm = request.alarm().map(tracing::field::display),
                    ticket = %ticket.key,
                    backend_id = ticket.backend_id.as_deref(),
                    op = request.op.as_str(),
                    state = request.state.as_str(),
                    attempts = request.attempts,
                    "a request ended"
                );
            }
        }
    }

    fn note(&self, backend: &BackendId, note: &Note) {
        tracing::warn!(
            %backend,
            request = %note.request,
            op = note.op.as_str(),
            attempt = note.attempt,
            state = note.state,
            reason = %note.reason,
            "an attempt did not succeed"
        );
        if let Some(mut view) = self.outside.views.lanes.get_mut(backend) {
            view.last_error = Some((self.outside.clock.now().wall, note.reason.clone()));
        }
    }

    /// Tells operators of the lane.
    pub(super) fn ops(&self, backend: &BackendId, what: &'static str, why: &str, by: &str) {
        tracing::warn!(%backend, what, why, by, "operators should know");
        let key = format!("lane.{}.{what}", topic::word(backend.as_str()));
        let said = [("backend", backend.as_str()), ("what", what), ("reason", why), ("by", by)];
        let said = said.map(|(name, value)| (name.to_owned(), value.into()));
        ops::ring(&self.outside, key, Fields::from_iter(said));
    }

    /// Tells operators of requests that wait for a person, once that is committed.
    fn tell_undecided(&self, result: &Result<Vec<Applied>, StoreError>) {
        for applied in result.iter().flatten() {
            let Applied::Concluded(concluded) = applied else { continue };
            let (request, ticket) = (&concluded.request, &concluded.ticket);
            if request.state == State::Undecided {
                let error = request.error.as_ref();
                let said = serde_json::json!({
                    "backend": request.backend,
                    "request_id": request.id,
                    "key": ticket.key,
                    "backend_id": ticket.backend_id,
                    "correlation_key": ticket.correlation_key,
                    "op": request.op,
                    "attempts": request.attempts,
                    "reason": error.map(|error| error.reason.as_str()),
                });
                ops::ring(&self.outside, "request.undecided".to_owned(), ops::fields(said));
            }
        }
    }

    fn wake_at(&mut self, backend: &BackendId, at: Mono, now: Moment, ctx: &mut Context<Self>) {
        let Some(seat) = self.seats.get_mut(backend) else { return };
        if seat.timer.as_ref().is_some_and(|(set_for, _)| *set_for <= at) {
            return;
        }
        if let Some((_, timer)) = seat.timer.take() {
            timer.abort();
        }
        let name = backend.clone();
        let wait = at.since(now.mono) + Duration::from_millis(1);
        let timer = self.aside.later(ctx, wait, move |gateway: &mut Self, ctx| {
            // One that was taken back may have rung at that moment.
            match gateway.seats.get_mut(&name) {
                Some(seat) if seat.timer.as_ref().is_some_and(|(set_for, _)| *set_for == at) => {
                    seat.timer = None;
                }
                _ => return,
            }
            gateway.feed(&name, Input::Tick, ctx);
        });
        seat.timer = Some((at, timer));
    }

    fn show(&mut self, backend: &BackendId) {
        let lanes = self.seats.len();
        let Some(seat) = self.seats.get_mut(backend) else { return };
        for (kind, full) in seat.ahead.look(seat.lane.waiting(), lanes) {
            self.dispatcher.tell(Full { backend: backend.clone(), kind, full });
        }
        let glance = seat.lane.glance(self.outside.clock.now());
        self.outside.views.lanes.entry(backend.clone()).or_default().glance = glance;
        if !self.drained.is_empty() && self.seats.values().all(|seat| seat.lane.quiet()) {
            for waiting in self.drained.drain(..) {
                // Whoever waited may have given up.
                let _ = waiting.send(());
            }
        }
    }
}

async fn take(
    outside: Arc<Outside>,
    backend: BackendId,
    settle: Duration,
) -> Result<Input, LeaseLost> {
    let lost =
        |error: StoreError| LeaseLost { backend: backend.clone(), reason: error.to_string() };
    let (epoch, pause) = outside.leases.take(backend.clone(), settle).await?;
    let mut doubts: Vec<(Request, Ticket)> = Vec::new();
    let in_doubt = outside.reads.requests_in(backend.clone(), State::InDoubt).await;
    for request in in_doubt.map_err(lost)? {
        if let Some(ticket) = outside.reads.ticket(request.ticket).await.map_err(lost)? {
            doubts.push((request, ticket));
        }
    }
    let unconfirmed = outside.reads.requests_in(backend.clone(), State::Acknowledged).await;
    let unconfirmed = unconfirmed.map_err(lost)?;
    let held = outside.reads.held(backend.clone()).await.map_err(lost)?;
    let held = held.into_iter().map(|(ticket, _)| ticket).collect();
    Ok(Input::Taken { epoch, pause, doubts, unconfirmed, held })
}

async fn load(reads: Arc<dyn Reads>, backend: BackendId, class: u8, now: Timestamp) -> Input {
    let limit = u32::try_from(HEADS_MAX).unwrap_or(u32::MAX);
    let rows = reads.ready_requests(backend.clone(), class, now, limit).await;
    let next = reads.next_ready(backend.clone(), now).await;
    match (rows, next) {
        (Ok(requests), Ok(next)) => Input::Loaded {
            class,
            all: requests.len() < HEADS_MAX,
            requests: Some(requests),
            next_ready: next.map(|at| at.since(now)),
        },
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%backend, %error, "the lane's rows could not be read");
            Input::Loaded { class, all: false, requests: None, next_ready: None }
        }
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let backends: Vec<_> = self.seats.keys().cloned().collect();
        for backend in backends {
            self.outside.views.lanes.entry(backend.clone()).or_default();
            // The one before may have said otherwise.
            for kind in Kind::ALL {
                self.dispatcher.tell(Full { backend: backend.clone(), kind, full: false });
            }
            self.take(backend, ctx);
        }
    }
}

impl Handler<Then<Self>> for Gateway {
    type Result = ();

    fn handle(&mut self, then: Then<Self>, ctx: &mut Self::Context) {
        then.now(self, ctx);
    }
}

impl Handler<Submit> for Gateway {
    type Result = ();

    fn handle(&mut self, it: Submit, ctx: &mut Self::Context) {
        let Submit { request, place } = it;
        let backend = request.backend.clone();
        drop(place);
        self.feed(&backend, Input::Submitted(request), ctx);
    }
}

impl Handler<Ask> for Gateway {
    type Result = ResponseFuture<Heard>;

    fn handle(&mut self, ask: Ask, ctx: &mut Self::Context) -> Self::Result {
        let Ask { backend, work, deadline } = ask;
        self.next_read += 1;
        let (answered, answer) = oneshot::channel();
        self.reads.insert(self.next_read, answered);
        self.feed(&backend, Input::Asked(Read { id: self.next_read, work, deadline }), ctx);
        Box::pin(async move {
            let gone = || Answer::NotSent("the lane went away".to_owned()).into();
            answer.await.unwrap_or_else(|_| gone())
        })
    }
}

impl Handler<Journal> for Gateway {
    type Result = ResponseFuture<Journaled>;

    fn handle(&mut self, it: Journal, ctx: &mut Self::Context) -> Self::Result {
        let Journal { backend, decide, turns, made_in } = it;
        let stands = turns.borrow().stands(made_in);
        // What is void, or of a backend without a lane, goes back: its client knows what to do with it.
        let Some(seat) = self.seats.get(&backend).filter(|_| stands) else {
            return Box::pin(async { Journaled::Alone(decide, Place::default()) });
        };
        if !seat.line.is_free() {
            let place = seat.line.place();
            return Box::pin(async { Journaled::Alone(decide, place) });
        }
        let (told, is_told) = oneshot::channel();
        self.decisions.insert(decide.request, told);
        self.feed(&backend, Input::Offered(decide), ctx);
        Box::pin(async move { is_told.await.unwrap_or(Journaled::Unknown) })
    }
}

impl Handler<Reseat> for Gateway {
    type Result = ();

    fn handle(&mut self, _: Reseat, _: &mut Self::Context) {
        let backends = self.outside.backends.now();
        for (name, seat) in &mut self.seats {
            if let Some(backend) = backends.get(name) {
                seat.lane.settle_on(backend.settings.clone());
            }
        }
    }
}

impl Handler<Resume> for Gateway {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, resume: Resume, ctx: &mut Self::Context) -> Self::Result {
        let Resume { backend, who, reason } = resume;
        if !self.seats.contains_key(&backend) {
            return Box::pin(async { false });
        }
        let (resumed, is_resumed) = oneshot::channel();
        let (by, why) = (who.clone(), reason.clone());
        let change = Change::ResumeLane { backend: backend.clone(), who, reason };
        let stored = self.outside.store.apply(change.into());
        ctx.spawn(stored.into_actor(self).map(move |result, gateway, ctx| {
            if result.is_ok() {
                gateway.feed(&backend, Input::Resumed, ctx);
                gateway.ops(&backend, "resumed", &why, &by);
            }
            // The asker may have gone away.
            let _ = resumed.send(result.is_ok());
        }));
        Box::pin(async move { is_resumed.await.unwrap_or(false) })
    }
}

impl Gateway {
    /// Has the store apply one change.
    pub(super) fn apply(&self, change: Change) -> Soon<Result<Vec<Applied>, StoreError>> {
        self.outside.store.apply(change.into())
    }

    /// Stores what another hand than the lane's says of a request, and tells the lane.
    pub(super) fn by_another_hand<T: 'static>(
        &self,
        change: Change,
        ctx: &mut Context<Self>,
        read: impl FnOnce(Option<Applied>) -> Result<(T, Option<Box<Concluded>>), StoreError> + 'static,
    ) -> ResponseFuture<Result<T, StoreError>> {
        let stored = self.outside.store.apply(change.into());
        let (told, is_told) = oneshot::channel();
        ctx.spawn(stored.into_actor(self).map(move |result, gateway, ctx| {
            gateway.tell_undecided(&result);
            let answer = result.and_then(|mut applied| read(applied.pop()));
            let answer = answer.map(|(answer, concluded)| {
                if let Some(concluded) = concluded {
                    gateway.moved(*concluded, ctx);
                }
                answer
            });
            // The asker may have gone away.
            let _ = told.send(answer);
        }));
        Box::pin(async move {
            let gone = || Err(StoreError::Down("the gateway went away".to_owned()));
            is_told.await.unwrap_or_else(|_| gone())
        })
    }

    fn moved(&mut self, concluded: Concluded, ctx: &mut Context<Self>) {
        let Concluded { request, ticket, next, due, .. } = concluded;
        self.outside.notices.moved(request.id);
        self.outbox.tell(Woken);
        if let Some(due) = due {
            self.dispatcher.tell(Wake(due));
        }
        let backend = request.backend.clone();
        self.feed(&backend, Input::Moved(request.id), ctx);
        if request.state == State::InDoubt {
            self.feed(&backend, Input::Doubted(Box::new(request), Box::new(ticket)), ctx);
        }
        if let Some(next) = next {
            self.feed(&backend, Input::Submitted(Box::new(next)), ctx);
        }
    }
}

impl Handler<TakeAnswer> for Gateway {
    type Result = ResponseFuture<Result<Option<Request>, StoreError>>;

    fn handle(&mut self, it: TakeAnswer, ctx: &mut Self::Context) -> Self::Result {
        let TakeAnswer(later) = it;
        self.by_another_hand(Change::LaterAnswer(Box::new(later)), ctx, |applied| match applied {
            Some(Applied::Later(it)) => Ok((it.as_ref().map(|it| it.request.clone()), it)),
            _ => Err(StoreError::Down("the store answered oddly".to_owned())),
        })
    }
}

impl Handler<Drain> for Gateway {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> Self::Result {
        let (drained, is_drained) = oneshot::channel();
        self.drained.push(drained);
        let backends: Vec<_> = self.seats.keys().cloned().collect();
        for backend in backends {
            self.feed(&backend, Input::Drain, ctx);
        }
        Box::pin(async move {
            // A dropped sender means that the gateway is gone: nothing is under way.
            let _ = is_drained.await;
        })
    }
}
