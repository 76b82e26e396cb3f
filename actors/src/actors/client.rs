//! A ticket client: while locked, carries one flow — looks up, searches where policy asks,
//! decides, journals, forwards to the gateway — and is released when the request is journaled. It
//! never waits for the outcome. A script that holds it lets it carry its reads.
//!
//! What always holds: one thing at a time; what a person forced to be *not busy* has no effect any
//! more (rule L11).

use super::gateway::{Ask, Journal, Journaled, Submit};
use super::keeper::{Alive, Post};
use super::line::Place;
use super::outbox::Woken;
use super::{
    BusyWith, Desk, DeskPath, Finished, Gateway, Outbox, Outside, Pool, Release, Response, calling,
};
use crate::changes::{Applied, CanaryStep, Change, Decide, Decision, LockProof, Refusal};
use crate::logic::flow::{Decided, Flow, Next};
use crate::logic::lane::ReadsFrom;
use crate::logic::locks::Grant;
use crate::logic::topology::Topology;
use crate::logic::turns::{Turn, Turns};
use crate::model::{
    BackendId, ClientNumber, EventId, Fence, Kind, Moment, Mono, OccurrenceRef, RequestId,
    TestAlarm, TicketKey,
};
use crate::ports::{Answer, Call, DueAlarm, SearchBy, StoreError, Via, Work};
use actix::{Actor, ActorContext, Context, Handler, Message, ResponseFuture};
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// Tickets that a search before a create asks for: two tell "one" from "more than one".
const SEARCH_LIMIT: u32 = 2;

/// Gives the lock and the flow's permit back, whatever becomes of the flow.
struct Held {
    pool: Post<Pool>,
    finished: Option<(Post<super::Dispatcher>, Finished)>,
    grant: Grant,
}

impl Held {
    fn proof(&self) -> LockProof {
        let Grant { client, fence, expires, .. } = self.grant;
        LockProof { client, fence, expires }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.tell(Release(self.grant.guid));
        if let Some((dispatcher, finished)) = self.finished.take() {
            dispatcher.tell(finished);
        }
    }
}

/// Carry this flow under this lock.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Carry {
    due: DueAlarm,
    backend: BackendId,
    held: Held,
}

impl Carry {
    /// A flow with its lock and its permit.
    pub fn new(
        due: DueAlarm,
        backend: BackendId,
        grant: Grant,
        pool: Post<Pool>,
        dispatcher: Post<super::Dispatcher>,
    ) -> Self {
        let finished = Finished { backend: backend.clone(), at: due.alarm.at.clone(), again: true };
        let held = Held { pool, finished: Some((dispatcher, finished)), grant };
        Self { due, backend, held }
    }
}

/// Carry the canary's test alarm under this lock; or why it was not carried.
#[derive(Message)]
#[rtype(result = "Result<(), String>")]
pub struct CarryTest {
    test: TestAlarm,
    held: Held,
}

impl CarryTest {
    /// A test alarm with its lock.
    pub fn new(test: TestAlarm, grant: Grant, pool: Post<Pool>) -> Self {
        Self { test, held: Held { pool, finished: None, grant } }
    }
}

/// Make this read for a script that holds the client.
#[derive(Message)]
#[rtype(result = "Result<Answer, NotRead>")]
pub struct ReadFor {
    /// The script's lock.
    pub lock: LockProof,
    /// Whose backend.
    pub backend: BackendId,
    /// What to read.
    pub work: Work,
    /// What people see while it runs.
    pub what: String,
    /// Given up then.
    pub deadline: Mono,
}

/// Why a read has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// The client carries another read.
    #[error("the ticket client is busy with another read")]
    Busy,
    /// A person forced the client to be not busy.
    #[error("a person has set the ticket client to not busy")]
    Voided,
}

/// A person says that the client is not busy: what it does has no effect any more. It keeps its
/// lock, and no lane is touched (rule L11). False: it was not busy.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct NotBusy;

/// The ticket client actor.
pub struct TicketClient {
    number: ClientNumber,
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    outbox: Post<Outbox>,
    turns: watch::Sender<Turns>,
    _alive: Alive,
}

impl TicketClient {
    /// Client number so-and-so.
    pub fn new(
        number: ClientNumber,
        outside: Arc<Outside>,
        gateway: Post<Gateway>,
        outbox: Post<Outbox>,
        alive: Alive,
    ) -> Self {
        Self { number, outside, gateway, outbox, turns: watch::Sender::default(), _alive: alive }
    }

    fn run(&self) -> Run {
        let turns = self.turns.subscribe();
        let turn = turns.borrow().begin();
        Run {
            number: self.number,
            outside: self.outside.clone(),
            gateway: self.gateway.clone(),
            outbox: self.outbox.clone(),
            turns,
            turn,
        }
    }
}

impl Actor for TicketClient {
    type Context = Context<Self>;
}

impl Handler<Carry> for TicketClient {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, carry: Carry, ctx: &mut Self::Context) -> Self::Result {
        if carry.held.grant.client != self.number {
            tracing::error!(client = %self.number, "a flow came to the wrong client");
            ctx.stop();
        }
        Box::pin(self.run().carry(carry))
    }
}

impl Handler<CarryTest> for TicketClient {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, it: CarryTest, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.run().carry_test(it))
    }
}

impl Handler<ReadFor> for TicketClient {
    type Result = ResponseFuture<Result<Answer, NotRead>>;

    fn handle(&mut self, it: ReadFor, _: &mut Self::Context) -> Self::Result {
        let run = self.run();
        let busy = self.outside.views.clients.get(&self.number).is_some_and(|v| v.busy.is_some());
        if busy {
            return Box::pin(async { Err(NotRead::Busy) });
        }
        run.busy(it.lock, &it.what, "reading", it.deadline);
        Box::pin(run.read_for(it))
    }
}

impl Handler<NotBusy> for TicketClient {
    type Result = bool;

    fn handle(&mut self, _: NotBusy, _: &mut Self::Context) -> bool {
        self.turns.send_modify(Turns::void);
        let view = self.outside.views.clients.get_mut(&self.number);
        view.is_some_and(|mut view| view.busy.take().is_some())
    }
}

/// One flow or read under way.
struct Run {
    number: ClientNumber,
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    outbox: Post<Outbox>,
    turns: watch::Receiver<Turns>,
    turn: Turn,
}

impl Run {
    /// Journals a test alarm as a decision is journaled: under its lock, and then the client is free.
    async fn carry_test(self, CarryTest { test, held }: CarryTest) -> Result<(), String> {
        let lock = held.proof();
        self.busy(lock, "the canary", "journaling a test alarm", lock.expires);
        let change = Change::Canary(test, CanaryStep::Carry(lock));
        let applied = self.outside.store.apply(change.into()).await;
        applied.map(drop).map_err(|error| error.to_string())
    }

    async fn carry(mut self, carry: Carry) {
        let Carry { due, backend, mut held } = carry;
        let lock = held.proof();
        let what = due.alarm.at.alarm.to_string();
        self.busy(lock, &what, "deciding", lock.expires);
        let outside = self.outside.clone();
        let policy = outside.policy();
        let now = outside.clock.now();
        self.look_up(&policy.topology, &due.alarm.details.object, held.grant.guid, now);
        let flow = Flow {
            due: &due,
            policy: &policy,
            instance: &outside.instance,
            fresh: TicketKey(outside.ids.uuid(now.wall)),
            now: now.wall,
        };
        let decided = match flow.start() {
            Next::Decide(decided) => decided,
            Next::Search(by, kind) => {
                self.busy(lock, &what, "searching the backend", lock.expires);
                let Ok(answer) = self.search(&backend, by, kind, lock).await else {
                    tracing::info!(alarm = what, "a flow was voided by a person and runs again");
                    return;
                };
                self.busy(lock, &what, "deciding on what was found", lock.expires);
                flow.searched(answer)
            }
        };
        if !self.turns.borrow().stands(self.turn) {
            return;
        }
        let again = self.journal(&due, backend, decided, lock).await;
        if let Some((_, finished)) = &mut held.finished {
            finished.again = again;
        }
    }

    /// Lays the path of the flow's object on the desk, in place of the flow's before.
    fn look_up(&self, topology: &Topology, object: &str, guid: Uuid, now: Moment) {
        if topology.is_empty() {
            return;
        }
        let hops = topology.of(object).to_vec();
        let path = DeskPath { guid, at: now.wall, object: object.to_owned(), hops };
        self.outside.views.desks.entry(self.number).or_default().path = Some(path);
    }

    /// Commits the decision; true: the flow has to run again.
    async fn journal(
        &self,
        due: &DueAlarm,
        backend: BackendId,
        decided: Decided,
        lock: LockProof,
    ) -> bool {
        let now = self.outside.clock.now().wall;
        let seat = self.outside.backends.get(&backend);
        let admission = seat.map(|seat| seat.settings.admission).unwrap_or_default();
        let decide = Box::new(Decide {
            at: due.alarm.at.clone(),
            version: due.alarm.wanted_version,
            ticket: decided.read,
            lock,
            request: RequestId(self.outside.ids.uuid(now)),
            event_id: EventId(self.outside.ids.uuid(now)),
            decision: decided.decision,
            reason: decided.reason,
            along: decided.along,
            storm: self.outside.policy().storm,
            admission,
        });
        let at = &due.alarm.at;
        if !matches!(decide.decision, Decision::Create { .. }) {
            return self.store(at, decide, Place::default()).await;
        }
        let (turns, made_in) = (self.turns.clone(), self.turn);
        let handed_over = Journal { backend, decide, turns, made_in };
        match self.gateway.ask(handed_over).await.unwrap_or(Journaled::Unknown) {
            Journaled::Stored(Ok(())) => false,
            Journaled::Stored(Err(error)) => runs_again(at, &error),
            Journaled::Alone(..) if !self.turns.borrow().stands(self.turn) => true,
            Journaled::Alone(decide, place) => self.store(at, decide, place).await,
            Journaled::Unknown => {
                tracing::warn!(alarm = %at.alarm, "the gateway went away with a decision");
                self.shut_out(lock).await;
                // Should it not be stored, the clock finds it: there is no gateway to hurry for.
                false
            }
        }
    }

    /// What was handed over under this lock may be on its way to the store still. The lock is given back only
    /// when that is refused there, or stored (L3).
    async fn shut_out(&self, lock: LockProof) {
        let barrier = Change::RaiseBarrier(lock.client, Fence(lock.fence.0 + 1));
        if self.outside.store.apply(barrier.into()).await.is_err() {
            let now = self.outside.clock.now().mono;
            actix::clock::sleep(lock.expires.since(now)).await;
        }
    }

    /// Commits the decision alone, and submits what it made; true: the flow has to run again.
    async fn store(&self, at: &OccurrenceRef, decide: Box<Decide>, place: Place) -> bool {
        let applied = match self.outside.store.apply(Change::Decide(decide).into()).await {
            Ok(applied) => applied,
            Err(error) => return runs_again(at, &error),
        };
        for one in applied {
            let Applied::Decided { request, first, events } = one else { continue };
            if let Some(request) = request.filter(|_| first) {
                self.gateway.tell(Submit { request, place: place.clone() });
            }
            if events {
                self.outbox.tell(Woken);
            }
        }
        false
    }

    async fn search(
        &mut self,
        backend: &BackendId,
        by: SearchBy,
        kind: Kind,
        lock: LockProof,
    ) -> Result<Answer, NotRead> {
        let work = Work::Search { by, kind, limit: SEARCH_LIMIT };
        let began = self.outside.clock.now();
        let answer = self.read(backend, work, lock.expires).await;
        self.write_down(began, backend.clone(), "search of a flow".to_owned(), &answer);
        answer
    }

    /// A script's read: fills the client's response table and results.
    async fn read_for(mut self, it: ReadFor) -> Result<Answer, NotRead> {
        let began = self.outside.clock.now();
        let answer = self.read(&it.backend, it.work, it.deadline).await;
        if answer.is_ok()
            && let Some(mut view) = self.outside.views.clients.get_mut(&self.number)
            && view.fence == Some(it.lock.fence)
        {
            view.busy = None;
        }
        self.write_down(began, it.backend, it.what, &answer);
        answer
    }

    fn write_down(
        &self,
        began: Moment,
        backend: BackendId,
        what: String,
        answer: &Result<Answer, NotRead>,
    ) {
        let took = self.outside.clock.now().mono.since(began.mono);
        let said = Desk::in_words(answer);
        let mut desk = self.outside.views.desks.entry(self.number).or_default();
        desk.add(Response { at: began.wall, took, backend, what, said });
        if let Ok(Answer::Read(reading)) = answer {
            desk.results.clone_from(&reading.tickets);
        }
    }

    /// One read, through the lane or beside it as its backend allows.
    async fn read(
        &mut self,
        backend: &BackendId,
        work: Work,
        deadline: Mono,
    ) -> Result<Answer, NotRead> {
        let turn = self.turn;
        let answer = Self::ask(&self.outside, &self.gateway, backend, work, deadline);
        tokio::select! {
            answer = answer => Ok(answer),
            Ok(_) = self.turns.wait_for(|turns| !turns.stands(turn)) => Err(NotRead::Voided),
        }
    }

    async fn ask(
        outside: &Arc<Outside>,
        gateway: &Post<Gateway>,
        backend: &BackendId,
        work: Work,
        deadline: Mono,
    ) -> Answer {
        let Some(seat) = outside.backends.get(backend) else {
            return Answer::NotSent(format!("unknown backend {backend}"));
        };
        match seat.settings.reads {
            ReadsFrom::Client => {
                let now = outside.clock.now().mono;
                let call = Call {
                    via: Via::Selected,
                    service: None,
                    ticket: None,
                    attempt: 0,
                    request: None,
                    alarm: None,
                    work,
                    send_by: now.plus(seat.settings.send_within),
                    timeout: seat.settings.timeout,
                };
                calling::make(outside.clone(), backend.clone(), seat.clone(), call).await.answer
            }
            ReadsFrom::Lane => {
                let ask = Ask { backend: backend.clone(), work, deadline };
                let gone = || Answer::NotSent("the gateway is being replaced".to_owned());
                gateway.ask(ask).await.map_or_else(gone, |heard| heard.answer)
            }
        }
    }

    fn busy(&self, lock: LockProof, what: &str, text: &'static str, until: Mono) {
        if let Some(mut view) = self.outside.views.clients.get_mut(&self.number)
            && view.fence == Some(lock.fence)
        {
            let since = self.outside.clock.now().wall;
            view.busy = Some(BusyWith { what: what.to_owned(), text, since, until });
        }
    }
}

/// Does a flow run again at once whose decision was not stored?
fn runs_again(at: &OccurrenceRef, error: &StoreError) -> bool {
    match error {
        StoreError::Refused(refusal) => {
            tracing::debug!(alarm = %at.alarm, %refusal, "a flow's turn is void");
            // There is no room: it waits as a level until the dispatcher finds some.
            *refusal != Refusal::Full
        }
        StoreError::Down(reason) => {
            tracing::warn!(alarm = %at.alarm, reason, "a decision was not stored");
            true
        }
    }
}
