//! The outbox: stored events to the bus, confirmed, then marked (rules O1–O4). The order is the
//! business of the machine in [`crate::logic::outbox`].

use super::Outside;
use super::aside::{Aside, Then};
use super::canary::{Canary, Confirmed};
use super::keeper::{Alive, Post};
use crate::changes::{CanaryStep, Change, ChangeSet};
use crate::logic::answers;
use crate::logic::outbox::{Effect, Input, Outbox as Machine};
use crate::model::{EventId, Mono, TestAlarm, TicketEvent};
use crate::ports::{Outgoing, PublishFailed};
use actix::{Actor, Context, Handler, Message, ResponseFuture};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use uuid::Uuid;

/// Makes an answer's id from its event's: another one, and the same at every publication.
const REPLY: u128 = 0x0072_6570_6c79;

/// Events were stored.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Woken;

/// No more publishes; answered when nothing is unconfirmed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseOutbox;

/// The outbox actor.
pub struct Outbox {
    outside: Arc<Outside>,
    machine: Machine,
    timer: Option<(Mono, AbortHandle)>,
    closed: Vec<oneshot::Sender<()>>,
    canary: Post<Canary>,
    /// Test alarms whose events were published, by the event's number.
    tests: HashMap<u64, TestAlarm>,
    aside: Aside,
    _alive: Alive,
}

impl Outbox {
    /// An outbox that begins with the oldest unsent event.
    pub fn new(outside: Arc<Outside>, canary: Post<Canary>, alive: Alive) -> Self {
        Self {
            outside,
            machine: Machine::new(),
            timer: None,
            closed: Vec::new(),
            canary,
            tests: HashMap::new(),
            aside: Aside::default(),
            _alive: alive,
        }
    }

    fn feed(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = self.outside.clock.now().mono;
        for effect in self.machine.step(input, now) {
            match effect {
                Effect::Load(after, limit) => self.load(after, limit, ctx),
                Effect::Publish(event) => self.publish(event, ctx),
                Effect::Mark(numbers) => self.mark(numbers, ctx),
                Effect::WakeAt(at) => self.wake_at(at, now, ctx),
            }
        }
        if self.machine.quiet() {
            for waiting in self.closed.drain(..) {
                // Whoever waited may have given up.
                let _ = waiting.send(());
            }
        }
    }

    fn load(&mut self, after: u64, limit: u32, ctx: &mut Context<Self>) {
        let rows = self.outside.reads.unsent_events(after, limit);
        self.aside.run(ctx, rows, move |rows, outbox: &mut Self, ctx| {
            let all = rows.as_ref().is_ok_and(|rows| rows.len() < limit as usize);
            outbox.feed(Input::Loaded(rows.ok(), all), ctx);
        });
    }

    fn publish(&mut self, event: Arc<TicketEvent>, ctx: &mut Context<Self>) {
        let n = event.n;
        if let Some(test) = TestAlarm::of_event(&event) {
            self.tests.insert(n, test);
        }
        let sent = publish(self.outside.clone(), event);
        self.aside.run(ctx, sent, move |sent, outbox: &mut Self, ctx| {
            let views = &outbox.outside.views;
            let input = match sent {
                Ok(()) => {
                    views.events_published.fetch_add(1, Ordering::Relaxed);
                    Input::Confirmed(n)
                }
                Err(error) => {
                    views.publishes_failed.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "an event is published again");
                    Input::Failed(n)
                }
            };
            outbox.feed(input, ctx);
        });
    }

    fn mark(&mut self, numbers: Vec<u64>, ctx: &mut Context<Self>) {
        let tests: Vec<(u64, TestAlarm)> =
            numbers.iter().filter_map(|n| self.tests.remove_entry(n)).collect();
        // A test alarm has come to its end: nothing of it stays.
        let told = tests.iter().map(|(_, test)| Change::Canary(test.clone(), CanaryStep::Told));
        let set = std::iter::once(Change::Sent(numbers.clone())).chain(told);
        let marked = self.outside.store.apply(ChangeSet(set.collect()));
        self.aside.run(ctx, marked, move |marked, outbox: &mut Self, ctx| {
            match marked.is_ok() {
                true => tests.into_iter().for_each(|(_, test)| outbox.canary.tell(Confirmed(test))),
                false => outbox.tests.extend(tests),
            }
            outbox.feed(Input::Marked(numbers, marked.is_ok()), ctx);
        });
    }

    fn wake_at(&mut self, at: Mono, now: Mono, ctx: &mut Context<Self>) {
        if self.timer.as_ref().is_some_and(|(set_for, _)| *set_for <= at) {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
        let wait = at.since(now) + Duration::from_millis(1);
        let timer = self.aside.later(ctx, wait, move |outbox: &mut Self, ctx| {
            // One that was taken back may have rung at that moment.
            if outbox.timer.as_ref().is_some_and(|(set_for, _)| *set_for == at) {
                outbox.timer = None;
                outbox.feed(Input::Tick, ctx);
            }
        });
        self.timer = Some((at, timer));
    }
}

/// Publishes an event, its write-backs and its answer; Ok when the broker has all of them.
async fn publish(outside: Arc<Outside>, event: Arc<TicketEvent>) -> Result<(), PublishFailed> {
    let reply = reply(&outside, &event).await?;
    let bus = &outside.bus;
    let write_backs = event.write_backs();
    let first = bus.publish(Outgoing::Ticket(event));
    let others = write_backs.into_iter().map(Outgoing::WriteBack).chain(reply);
    let all = std::iter::once(first).chain(others.map(|one| bus.publish(one)));
    futures_util::future::try_join_all(all).await.map(drop)
}

/// The answer that goes with an event: to where its command said, else to the route of its backend, for which
/// the store is asked each time: one that a person sets counts from the next answer on.
async fn reply(outside: &Outside, event: &TicketEvent) -> Result<Option<Outgoing>, PublishFailed> {
    let Some(answer) = answers::of_event(event) else { return Ok(None) };
    let asked = event.command.as_ref().map(|(_, reply)| reply);
    let to = match asked.and_then(|reply| reply.to.clone()) {
        Some(to) => Some(to),
        None => {
            let backend = &event.ticket.backend;
            let stored = outside.reads.route(backend.clone()).await;
            let stored = stored.map_err(|error| PublishFailed(error.to_string()))?;
            stored.or_else(|| outside.route_of(backend))
        }
    };
    let Some(to) = to else { return Ok(None) };
    let request = event.request_id.map(|id| id.to_string());
    let name = || answer.id.map(|id| id.to_string()).or(request);
    Ok(Some(Outgoing::Reply {
        event_id: EventId(Uuid::from_u128(event.event_id.0.as_u128() ^ REPLY)),
        at: event.at,
        to,
        correlation_id: asked.and_then(|it| it.correlation_id.clone()).or_else(name),
        content_type: asked.map(|it| it.content_type.clone()).unwrap_or_default(),
        answer: Box::new(answer),
    }))
}

impl Actor for Outbox {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.feed(Input::Woken, ctx);
    }
}

impl Handler<Then<Self>> for Outbox {
    type Result = ();

    fn handle(&mut self, then: Then<Self>, ctx: &mut Self::Context) {
        then.now(self, ctx);
    }
}

impl Handler<Woken> for Outbox {
    type Result = ();

    fn handle(&mut self, _: Woken, ctx: &mut Self::Context) {
        self.outside.views.events_stored.send_modify(|times| *times = times.wrapping_add(1));
        self.feed(Input::Woken, ctx);
    }
}

impl Handler<CloseOutbox> for Outbox {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CloseOutbox, ctx: &mut Self::Context) -> Self::Result {
        self.machine.close();
        let (closed, is_closed) = oneshot::channel();
        self.closed.push(closed);
        self.feed(Input::Tick, ctx);
        Box::pin(async move {
            // A dropped sender means that the outbox is gone: nothing is under way.
            let _ = is_closed.await;
        })
    }
}
