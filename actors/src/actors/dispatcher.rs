//! Finds due alarms and starts a flow for each: the backend's permit first, then a client's lock.
//!
//! Level-triggered: a wake-up only says "look", and every backend is looked at by the clock too,
//! so nothing depends on a wake-up arriving, nor on what the intake hands over so that it needs no read
//! ([`crate::logic::desk`]). A backend's permits bound its flows to its share of
//! the clients (rule L12); its due alarms wait as rows. They also wait while enough requests wait for
//! its lane ([`crate::logic::ahead`]).

use super::aside::{Aside, Then};
use super::keeper::{Alive, Post};
use super::{Carry, Outside, Pool, TicketClient, acquire};
use crate::logic::ahead::Kind;
use crate::logic::desk::{Desk, News, Page};
use crate::logic::locks::{Grant, Holder, Locks, Wish};
use crate::model::{BackendId, OccurrenceRef, Op};
use crate::ports::{DueAlarm, DueMost, StoreError};
use actix::{Actor, AsyncContext, Context, Handler, Message};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often delayed work is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A backend has, or may have, due alarms.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Wake(pub BackendId);

/// What the intake has just committed for a backend. A shortcut: all of it are rows.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Handed {
    /// Whose flows.
    pub backend: BackendId,
    /// What.
    pub news: News,
}

/// A flow has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Finished {
    /// Whose permit comes back.
    pub backend: BackendId,
    /// Which occurrence may be taken up again.
    pub at: OccurrenceRef,
    /// Its decision was not committed.
    pub again: bool,
}

/// Enough requests wait for a lane, or no longer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Full {
    /// Whose lane.
    pub backend: BackendId,
    /// Of which alarms.
    pub kind: Kind,
    /// Enough.
    pub full: bool,
}

/// The dispatcher actor.
pub struct Dispatcher {
    outside: Arc<Outside>,
    pool: Post<Pool>,
    clients: Vec<Post<TicketClient>>,
    me: Post<Dispatcher>,
    flow_timeout: Duration,
    desks: HashMap<BackendId, Desk>,
    aside: Aside,
    _alive: Alive,
}

impl Dispatcher {
    /// A dispatcher for these clients.
    pub fn new(
        outside: Arc<Outside>,
        pool: Post<Pool>,
        clients: Vec<Post<TicketClient>>,
        me: Post<Dispatcher>,
        flow_timeout: Duration,
        alive: Alive,
    ) -> Self {
        let desk = || {
            let mut desk = Desk::default();
            desk.look();
            desk
        };
        let desks = outside.backends.names().into_iter().map(|name| (name, desk())).collect();
        let aside = Aside::default();
        Self { outside, pool, clients, me, flow_timeout, desks, aside, _alive: alive }
    }

    fn share(&self) -> usize {
        Locks::flow_share(self.clients.len(), self.outside.backends.now().len())
    }

    fn go_on(&mut self, backend: &BackendId, ctx: &mut Context<Self>) {
        let share = self.share();
        while let Some(due) = self.desks.get_mut(backend).and_then(|desk| desk.begin(share)) {
            self.begin(backend.clone(), due, ctx);
        }
        if let Some(most) = self.desks.get_mut(backend).and_then(|desk| desk.read(share)) {
            self.load(backend.clone(), most, ctx);
        }
    }

    fn load(&mut self, backend: BackendId, most: DueMost, ctx: &mut Context<Self>) {
        let page = load(self.outside.clone(), backend.clone(), most);
        self.aside.run(ctx, page, move |page, dispatcher: &mut Self, ctx| {
            if let Err(error) = &page {
                // The clock looks again.
                tracing::warn!(%backend, %error, "due alarms could not be read");
            }
            if let Some(desk) = dispatcher.desks.get_mut(&backend) {
                desk.found(page.ok());
            }
            dispatcher.go_on(&backend, ctx);
        });
    }

    fn begin(&mut self, backend: BackendId, due: DueAlarm, ctx: &mut Context<Self>) {
        let now = self.outside.clock.now();
        let wish = Wish {
            guid: self.outside.ids.uuid(now.wall),
            holder: Holder::Flow(backend.clone()),
            timeout: self.flow_timeout,
            wait_until: now.mono.plus(self.flow_timeout),
        };
        let granted = acquire(&self.pool, wish);
        self.aside.run(ctx, granted, move |granted, dispatcher: &mut Self, ctx| {
            match granted.and_then(Result::ok) {
                Some(grant) => dispatcher.carry(backend, due, grant),
                None => {
                    let finished = Finished { backend, at: due.alarm.at, again: true };
                    ctx.notify_later(finished, LOOK_EVERY);
                }
            }
        });
    }

    fn carry(&self, backend: BackendId, due: DueAlarm, grant: Grant) {
        let place = usize::try_from(grant.client.0).unwrap_or(usize::MAX) - 1;
        // Lock and permit come back by the message's own guard, also if it is never handled.
        let carry = Carry::new(due, backend, grant, self.pool.clone(), self.me.clone());
        if let Some(client) = self.clients.get(place) {
            client.tell(carry);
        }
    }
}

/// What is due and may be admitted (rule G14): where a backend has too many open requests, its
/// alarms wait as levels, and the clock looks again.
async fn load(
    outside: Arc<Outside>,
    backend: BackendId,
    most: DueMost,
) -> Result<Page, StoreError> {
    let now = outside.clock.now().wall;
    let seat = outside.backends.get(&backend);
    let admission = seat.map(|seat| seat.settings.admission).unwrap_or_default();
    let admitted = move |open| {
        let admitted = |op, most| if admission.admits(op, open) { most } else { 0 };
        DueMost { new: admitted(Op::Create, most.new), known: admitted(Op::Update, most.known) }
    };
    let page = outside.reads.due(backend, now, Arc::new(admitted)).await?;
    let (rows, room) = (page.rows, admission.room(Op::Create, page.open));
    Ok(Page { rows, room })
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK_EVERY, |dispatcher, ctx| {
            let backends: Vec<_> = dispatcher.desks.keys().cloned().collect();
            for backend in backends {
                if let Some(desk) = dispatcher.desks.get_mut(&backend) {
                    desk.look();
                }
                dispatcher.go_on(&backend, ctx);
            }
        });
    }
}

impl Handler<Then<Self>> for Dispatcher {
    type Result = ();

    fn handle(&mut self, then: Then<Self>, ctx: &mut Self::Context) {
        then.now(self, ctx);
    }
}

impl Handler<Wake> for Dispatcher {
    type Result = ();

    fn handle(&mut self, Wake(backend): Wake, ctx: &mut Self::Context) {
        if let Some(desk) = self.desks.get_mut(&backend) {
            desk.look();
        }
        self.go_on(&backend, ctx);
    }
}

impl Handler<Handed> for Dispatcher {
    type Result = ();

    fn handle(&mut self, it: Handed, ctx: &mut Self::Context) {
        if let Some(desk) = self.desks.get_mut(&it.backend) {
            desk.hand(it.news);
        }
        self.go_on(&it.backend, ctx);
    }
}

impl Handler<Full> for Dispatcher {
    type Result = ();

    fn handle(&mut self, it: Full, ctx: &mut Self::Context) {
        if let Some(desk) = self.desks.get_mut(&it.backend) {
            desk.full(it.kind, it.full);
        }
        self.go_on(&it.backend, ctx);
    }
}

impl Handler<Finished> for Dispatcher {
    type Result = ();

    fn handle(&mut self, finished: Finished, ctx: &mut Self::Context) {
        let Finished { backend, at, again } = finished;
        if let Some(desk) = self.desks.get_mut(&backend) {
            desk.finished(&at, again);
        }
        self.go_on(&backend, ctx);
    }
}
