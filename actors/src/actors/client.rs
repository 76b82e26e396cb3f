//! A ticket client: while locked, carries one flow — looks up, searches where policy asks,
//! decides, journals, forwards to the gateway — and is released when the request is journaled. It
//! never waits for the outcome.

use super::gateway::{Ask, Submit};
use super::keeper::{Alive, Post};
use super::outbox::Woken;
use super::{BusyWith, Finished, Gateway, Outbox, Outside, Pool, Release};
use crate::changes::{Applied, Change, Decide, LockProof};
use crate::logic::flow::{Decided, Flow, Next};
use crate::logic::lane::ReadsFrom;
use crate::logic::locks::Grant;
use crate::model::{BackendId, ClientNumber, EventId, Kind, RequestId, TicketKey};
use crate::ports::{Answer, Call, DueAlarm, SearchBy, StoreError, Work};
use actix::{Actor, ActorContext, Context, Handler, Message, ResponseFuture};
use std::sync::Arc;

/// Tickets that a search before a create asks for: two tell "one" from "more than one".
const SEARCH_LIMIT: u32 = 2;

/// Gives the lock and the flow's permit back, whatever becomes of the flow.
struct Held {
    pool: Post<Pool>,
    finished: Option<(Post<super::Dispatcher>, Finished)>,
    grant: Grant,
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

/// The ticket client actor.
pub struct TicketClient {
    number: ClientNumber,
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    outbox: Post<Outbox>,
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
        Self { number, outside, gateway, outbox, _alive: alive }
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
        let run = Run {
            outside: self.outside.clone(),
            gateway: self.gateway.clone(),
            outbox: self.outbox.clone(),
        };
        Box::pin(run.carry(carry))
    }
}

/// One flow under way.
struct Run {
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    outbox: Post<Outbox>,
}

impl Run {
    async fn carry(self, carry: Carry) {
        let Carry { due, backend, mut held } = carry;
        self.busy(&held.grant, &due, "deciding");
        let policy = self.outside.policy();
        let now = self.outside.clock.now();
        let flow = Flow {
            due: &due,
            policy: &policy,
            instance: &self.outside.instance,
            fresh: TicketKey(self.outside.ids.uuid(now.wall)),
            now: now.wall,
        };
        let decided = match flow.start() {
            Next::Decide(decided) => decided,
            Next::Search(by, kind) => {
                self.busy(&held.grant, &due, "searching the backend");
                let answer = self.search(&backend, by, kind, &held.grant).await;
                self.busy(&held.grant, &due, "deciding on what was found");
                flow.searched(answer)
            }
        };
        let again = self.journal(&due, decided, &held.grant).await;
        if let Some((_, finished)) = &mut held.finished {
            finished.again = again;
        }
    }

    /// Commits the decision; true: the flow has to run again.
    async fn journal(&self, due: &DueAlarm, decided: Decided, grant: &Grant) -> bool {
        let now = self.outside.clock.now().wall;
        let decide = Decide {
            at: due.alarm.at.clone(),
            version: due.alarm.wanted_version,
            ticket: decided.read,
            lock: LockProof { client: grant.client, fence: grant.fence, expires: grant.expires },
            request: RequestId(self.outside.ids.uuid(now)),
            event_id: EventId(self.outside.ids.uuid(now)),
            decision: decided.decision,
            reason: decided.reason,
        };
        match self.outside.store.apply(Change::Decide(Box::new(decide)).into()).await {
            Ok(applied) => {
                for one in applied {
                    let Applied::Decided { request, first, events } = one else { continue };
                    if let Some(request) = request.filter(|_| first) {
                        self.gateway.tell(Submit(request));
                    }
                    if events {
                        self.outbox.tell(Woken);
                    }
                }
                false
            }
            Err(StoreError::Refused(refusal)) => {
                tracing::debug!(alarm = %due.alarm.at.alarm, %refusal, "a flow's turn is void");
                true
            }
            Err(StoreError::Down(reason)) => {
                tracing::warn!(alarm = %due.alarm.at.alarm, reason, "a decision was not stored");
                true
            }
        }
    }

    async fn search(&self, backend: &BackendId, by: SearchBy, kind: Kind, grant: &Grant) -> Answer {
        let Some(seat) = self.outside.backends.get(backend) else {
            return Answer::NotSent(format!("unknown backend {backend}"));
        };
        let work = Work::Search { by, kind, limit: SEARCH_LIMIT };
        match seat.settings.reads {
            ReadsFrom::Client => {
                let now = self.outside.clock.now().mono;
                let call = Call {
                    request: None,
                    work,
                    send_by: now.plus(seat.settings.send_within),
                    timeout: seat.settings.timeout,
                };
                seat.port.call(call).await
            }
            ReadsFrom::Lane => {
                let ask = Ask { backend: backend.clone(), work, deadline: grant.expires };
                let gone = || Answer::NotSent("the gateway is being replaced".to_owned());
                self.gateway.ask(ask).await.unwrap_or_else(gone)
            }
        }
    }

    fn busy(&self, grant: &Grant, due: &DueAlarm, text: &'static str) {
        if let Some(mut view) = self.outside.views.clients.get_mut(&grant.client)
            && view.guid == Some(grant.guid)
        {
            view.busy = Some(BusyWith { alarm: due.alarm.at.alarm.clone(), text });
        }
    }
}
