//! Finds due alarms and starts a flow for each: the backend's permit first, then a client's lock.
//!
//! Level-triggered: a wake-up only says "look", and every backend is looked at by the clock too,
//! so nothing depends on a wake-up arriving. A backend's permits bound its flows to its share of
//! the clients (rule L12); its due alarms wait as rows.

use super::aside::{Aside, Then};
use super::keeper::{Alive, Post};
use super::{Carry, Outside, Pool, TicketClient, acquire};
use crate::logic::locks::{Grant, Holder, Locks, Wish};
use crate::model::{BackendId, OccurrenceRef, Op};
use crate::ports::{DueAlarm, StoreError};
use actix::{Actor, AsyncContext, Context, Handler, Message};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Due alarms of one backend that are held in memory.
const QUEUE_MAX: u32 = 128;
/// How often delayed work is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A backend has, or may have, due alarms.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Wake(pub BackendId);

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

#[derive(Default)]
struct Desk {
    queue: VecDeque<DueAlarm>,
    /// Queued or in a flow: not to be taken up twice.
    taken: HashSet<OccurrenceRef>,
    running: usize,
    loading: bool,
    /// There may be due rows that are not in the queue.
    more: bool,
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
        let desk = || Desk { more: true, ..Desk::default() };
        let desks = outside.backends.names().into_iter().map(|name| (name, desk())).collect();
        let aside = Aside::default();
        Self { outside, pool, clients, me, flow_timeout, desks, aside, _alive: alive }
    }

    fn share(&self) -> usize {
        Locks::flow_share(self.clients.len(), self.outside.backends.now().len())
    }

    fn go_on(&mut self, backend: &BackendId, ctx: &mut Context<Self>) {
        let share = self.share();
        loop {
            let Some(desk) = self.desks.get_mut(backend) else { return };
            if desk.running >= share {
                break;
            }
            let Some(due) = desk.queue.pop_front() else { break };
            desk.running += 1;
            self.begin(backend.clone(), due, ctx);
        }
        let Some(desk) = self.desks.get_mut(backend) else { return };
        if desk.more && !desk.loading && desk.queue.len() < share {
            desk.loading = true;
            desk.more = false;
            self.load(backend.clone(), ctx);
        }
    }

    fn load(&mut self, backend: BackendId, ctx: &mut Context<Self>) {
        let rows = load(self.outside.clone(), backend.clone());
        self.aside.run(ctx, rows, move |rows, dispatcher: &mut Self, ctx| {
            dispatcher.loaded(&backend, rows);
            dispatcher.go_on(&backend, ctx);
        });
    }

    fn loaded(&mut self, backend: &BackendId, rows: Result<Vec<DueAlarm>, StoreError>) {
        let Some(desk) = self.desks.get_mut(backend) else { return };
        desk.loading = false;
        match rows {
            Ok(rows) => {
                desk.more |= rows.len() >= QUEUE_MAX as usize;
                for due in rows {
                    if desk.taken.insert(due.alarm.at.clone()) {
                        desk.queue.push_back(due);
                    }
                }
            }
            // The clock looks again.
            Err(error) => tracing::warn!(%backend, %error, "due alarms could not be read"),
        }
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
async fn load(outside: Arc<Outside>, backend: BackendId) -> Result<Vec<DueAlarm>, StoreError> {
    let now = outside.clock.now().wall;
    let seat = outside.backends.get(&backend);
    let admission = seat.map(|seat| seat.settings.admission).unwrap_or_default();
    let open = outside.reads.open_requests(backend.clone()).await?;
    let only_new = !admission.admits(Op::Update, open);
    if only_new && !admission.admits(Op::Create, open) {
        return Ok(Vec::new());
    }
    outside.reads.due_alarms(backend, now, only_new, QUEUE_MAX).await
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK_EVERY, |dispatcher, ctx| {
            let backends: Vec<_> = dispatcher.desks.keys().cloned().collect();
            for backend in backends {
                if let Some(desk) = dispatcher.desks.get_mut(&backend) {
                    desk.more = true;
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
            desk.more = true;
        }
        self.go_on(&backend, ctx);
    }
}

impl Handler<Finished> for Dispatcher {
    type Result = ();

    fn handle(&mut self, finished: Finished, ctx: &mut Self::Context) {
        let Finished { backend, at, again } = finished;
        if let Some(desk) = self.desks.get_mut(&backend) {
            desk.running = desk.running.saturating_sub(1);
            desk.taken.remove(&at);
            desk.more |= again;
        }
        self.go_on(&backend, ctx);
    }
}
