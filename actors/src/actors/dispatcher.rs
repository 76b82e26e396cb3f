//! Finds due alarms and starts a flow for each: the backend's permit first, then a client's lock.
//!
//! Level-triggered: a wake-up only says "look", and every backend is looked at by the clock too,
//! so nothing depends on a wake-up arriving. A backend's permits bound its flows to its share of
//! the clients (rule L12); its due alarms wait as rows. They also wait while enough requests wait for
//! its lane ([`crate::logic::ahead`]).

use super::aside::{Aside, Then};
use super::keeper::{Alive, Post};
use super::{Carry, Outside, Pool, TicketClient, acquire};
use crate::logic::ahead::Kind;
use crate::logic::locks::{Grant, Holder, Locks, Wish};
use crate::model::{BackendId, OccurrenceRef, Op, Timestamp};
use crate::ports::{DueAlarm, DueMost, StoreError};
use actix::{Actor, AsyncContext, Context, Handler, Message};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Due alarms of one backend and kind that are held in memory.
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

#[derive(Default)]
struct Desk {
    new: Line,
    known: Line,
    /// Queued or in a flow: not to be taken up twice.
    taken: HashSet<OccurrenceRef>,
    running: usize,
    loading: bool,
}

/// The due alarms of one kind.
#[derive(Default)]
struct Line {
    queue: VecDeque<DueAlarm>,
    /// There may be due rows that are not in the queue.
    more: bool,
    /// Enough requests wait for the lane.
    full: bool,
}

impl Line {
    /// How many rows to read.
    fn wants(&self, share: usize) -> u32 {
        let wants = self.more && !self.full && self.queue.len() < share;
        if wants { QUEUE_MAX } else { 0 }
    }

    fn loaded(&mut self, asked: u32, rows: usize) {
        if asked > 0 {
            // A wake-up that came meanwhile stays.
            self.more |= rows >= asked as usize;
        }
    }

    /// When the first that may go has become due.
    fn first(&self) -> Option<Option<Timestamp>> {
        self.queue.front().filter(|_| !self.full).map(|due| due.alarm.due_at)
    }
}

impl Desk {
    fn look(&mut self) {
        self.new.more = true;
        self.known.more = true;
    }

    fn line(&mut self, kind: Kind) -> &mut Line {
        match kind {
            Kind::New => &mut self.new,
            Kind::Known => &mut self.known,
        }
    }

    /// The one that has been due longest of those that may go.
    fn next(&mut self) -> Option<DueAlarm> {
        let kind = match (self.new.first(), self.known.first()) {
            (Some(new), Some(known)) if known < new => Kind::Known,
            (None, _) => Kind::Known,
            _ => Kind::New,
        };
        self.line(kind).first()?;
        self.line(kind).queue.pop_front()
    }
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
        loop {
            let Some(desk) = self.desks.get_mut(backend) else { return };
            if desk.running >= share {
                break;
            }
            let Some(due) = desk.next() else { break };
            desk.running += 1;
            self.begin(backend.clone(), due, ctx);
        }
        let Some(desk) = self.desks.get_mut(backend) else { return };
        let most = DueMost { new: desk.new.wants(share), known: desk.known.wants(share) };
        if most != DueMost::default() && !desk.loading {
            desk.loading = true;
            desk.new.more &= most.new == 0;
            desk.known.more &= most.known == 0;
            self.load(backend.clone(), most, ctx);
        }
    }

    fn load(&mut self, backend: BackendId, most: DueMost, ctx: &mut Context<Self>) {
        let rows = load(self.outside.clone(), backend.clone(), most);
        self.aside.run(ctx, rows, move |rows, dispatcher: &mut Self, ctx| {
            dispatcher.loaded(&backend, most, rows);
            dispatcher.go_on(&backend, ctx);
        });
    }

    fn loaded(
        &mut self,
        backend: &BackendId,
        most: DueMost,
        rows: Result<Vec<DueAlarm>, StoreError>,
    ) {
        let Some(desk) = self.desks.get_mut(backend) else { return };
        desk.loading = false;
        match rows {
            Ok(rows) => {
                let new = rows.iter().filter(|due| due.alarm.ticket.is_none()).count();
                desk.new.loaded(most.new, new);
                desk.known.loaded(most.known, rows.len() - new);
                for due in rows {
                    if desk.taken.insert(due.alarm.at.clone()) {
                        let new = due.alarm.ticket.is_none();
                        let kind = if new { Kind::New } else { Kind::Known };
                        desk.line(kind).queue.push_back(due);
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
async fn load(
    outside: Arc<Outside>,
    backend: BackendId,
    most: DueMost,
) -> Result<Vec<DueAlarm>, StoreError> {
    let now = outside.clock.now().wall;
    let seat = outside.backends.get(&backend);
    let admission = seat.map(|seat| seat.settings.admission).unwrap_or_default();
    let open = outside.reads.open_requests(backend.clone()).await?;
    let admitted = |op, most| if admission.admits(op, open) { most } else { 0 };
    let most =
        DueMost { new: admitted(Op::Create, most.new), known: admitted(Op::Update, most.known) };
    if most == DueMost::default() {
        return Ok(Vec::new());
    }
    outside.reads.due_alarms(backend, now, most).await
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

impl Handler<Full> for Dispatcher {
    type Result = ();

    fn handle(&mut self, it: Full, ctx: &mut Self::Context) {
        if let Some(desk) = self.desks.get_mut(&it.backend) {
            desk.line(it.kind).full = it.full;
        }
        self.go_on(&it.backend, ctx);
    }
}

impl Handler<Finished> for Dispatcher {
    type Result = ();

    fn handle(&mut self, finished: Finished, ctx: &mut Self::Context) {
        let Finished { backend, at, again } = finished;
        if let Some(desk) = self.desks.get_mut(&backend) {
            desk.running = desk.running.saturating_sub(1);
            desk.taken.remove(&at);
            if again {
                desk.look();
            }
        }
        self.go_on(&backend, ctx);
    }
}
