//! Scripts from outside (locks and commands), and people who step in between.
//!
//! A script takes a ticket client, renews it, sends commands under it or without it, goes away
//! while it waits, forgets to give it back, gives back what is not its own. Whoever hears nothing
//! sends the same again.

use super::World;
use super::plan::Fault;
use crate::changes::{Applied, Change, Guard, TakeCommand, Write};
use crate::logic::correlation::correlation_key;
use crate::logic::locks::{Holder, Wish};
use crate::model::{
    BackendId, ClientNumber, CommandId, Fields, Kind, LockName, Op, Origin, Reply, RequestId,
    TicketKey, TicketName,
};
use crate::ports::StoreError;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// A command as its sender has it.
#[derive(Clone)]
pub(super) struct Order {
    id: CommandId,
    body_hash: [u8; 16],
    backend: BackendId,
    write: Write,
    fields: Fields,
    lock: Option<LockName>,
    /// Its first answer has come.
    heard: bool,
}

impl World {
    /// A message to the process: its queue keeps it while the process is down.
    fn send_in(&mut self, act: impl FnOnce(&mut World) + 'static) {
        if self.up {
            let after = self.chance.ms(0, 5);
            self.inside(after, act);
        } else {
            self.outside(1_000, move |w| w.send_in(act));
        }
    }

    pub(super) fn script_comes(&mut self) {
        let after = self.chance.ms(200, 15_000);
        self.outside(after, |w| {
            if w.calm {
                return;
            }
            w.script_comes();
            match w.chance.one_in(3) {
                true => w.new_order(None),
                false => w.script_begins(),
            }
        });
    }

    fn script_begins(&mut self) {
        let guid = self.chance.uuid();
        let gone = Rc::new(Cell::new(false));
        let (timeout, wait) = (self.chance.rng.u64(1..20), self.chance.rng.u64(1..60));
        if self.chance.one_in(3) {
            let nobody = self.chance.uuid();
            self.send_in(move |w| w.release(nobody));
        }
        if self.chance.one_in(4) {
            let (after, gone) = (self.chance.ms(1, 30_000), gone.clone());
            self.outside(after, move |w| {
                w.meet("scripts gone");
                gone.set(true);
            });
        }
        // Its reply may be lost: it asks again with the same GUID.
        let asks = if self.chance.one_in(3) { 2 } else { 1 };
        for ask in 0..asks {
            let gone = gone.clone();
            let after = self.chance.ms(0, 2_000) * ask;
            self.outside(after, move |w| {
                w.send_in(move |w| {
                    let wish = Wish {
                        guid,
                        holder: Holder::Script("script".into()),
                        timeout: Duration::from_secs(timeout),
                        wait_until: w.mono().plus(Duration::from_secs(wait)),
                    };
                    w.acquire(wish, gone, move |w, grant| {
                        let Some(grant) = grant.filter(|_| ask == 0) else { return };
                        let steps = w.chance.rng.u32(0..5);
                        w.script_works(LockName { guid, fence: grant.fence }, steps);
                    });
                });
            });
        }
    }

    fn script_works(&mut self, name: LockName, left: u32) {
        let after = self.chance.ms(1, 8_000);
        self.outside(after, move |w| {
            if left == 0 {
                // One in three forgets it.
                if !w.chance.one_in(3) {
                    w.send_in(move |w| w.release(name.guid));
                }
                return;
            }
            match w.chance.rng.u8(..4) {
                0 => {
                    let timeout = Duration::from_secs(w.chance.rng.u64(1..20));
                    w.send_in(move |w| w.renew(name.guid, timeout));
                }
                1 | 2 if !w.calm => w.new_order(Some(name)),
                _ => {}
            }
            w.script_works(name, left - 1);
        });
    }

    fn new_order(&mut self, lock: Option<LockName>) {
        let id = CommandId(self.chance.uuid());
        let n = self.chance.rng.usize(..self.systems.len());
        let Some(backend) = self.systems.keys().nth(n).cloned() else { return };
        let Some(write) = self.what_to_write(&backend) else { return };
        // Of an alarm's own ticket only what no alarm says.
        let name = match &write {
            Write::Change(..) => "note",
            Write::Create { .. } => "description",
        };
        let mut fields = Fields::new();
        fields.insert(name.to_owned(), format!("order {id}").into());
        let body_hash = id.0.into_bytes();
        let order = Order { id, body_hash, backend, write, fields, lock, heard: false };
        self.orders.push(order);
        self.send_order(self.orders.len() - 1, 6);
    }

    fn what_to_write(&mut self, backend: &BackendId) -> Option<Write> {
        if self.chance.one_in(2) {
            let (backend, kind) = (backend.clone(), Kind::default());
            return Some(Write::Create { backend, kind, alarm: None });
        }
        let tickets: Vec<_> = self.rows.all_tickets().filter(|it| it.backend == *backend).collect();
        let ticket = self.chance.rng.choice(&tickets)?;
        let by_command = matches!(ticket.origin, Origin::Command { .. });
        let theirs = ticket.backend_id.clone().filter(|_| self.chance.one_in(3));
        let name = match theirs {
            Some(id) => TicketName::Theirs(backend.clone(), id, ticket.kind),
            None => TicketName::Key(ticket.key),
        };
        let close = by_command && self.chance.one_in(3);
        Some(Write::Change(if close { Op::Close } else { Op::Update }, name))
    }

    /// Sends it, and again until it hears something; sometimes also after that.
    fn send_order(&mut self, n: usize, tries: u32) {
        let mut order = self.orders[n].clone();
        if self.chance.one_in(12) {
            // Somebody uses an id twice.
            order.body_hash[0] ^= 1;
        }
        self.send_in(move |w| w.take_command(n, order));
        let after = self.chance.ms(500, 30_000);
        self.outside(after, move |w| {
            if tries > 0 && (!w.orders[n].heard || w.chance.one_in(4)) {
                w.send_order(n, tries - 1);
            }
        });
    }

    /// Mirrors `actors/commands`.
    fn take_command(&mut self, n: usize, order: Order) {
        match order.lock {
            None => self.take_guarded(n, order, Guard::None),
            Some(name) => {
                self.prove(name, move |w, guard| {
                    w.inside(0, move |w| w.take_guarded(n, order, guard));
                });
            }
        }
    }

    fn take_guarded(&mut self, n: usize, order: Order, guard: Guard) {
        let Order { id, body_hash, backend, write, fields, .. } = order;
        let origin = Origin::Command { id: id.to_string() };
        let take = TakeCommand {
            id,
            body_hash,
            write,
            fields,
            guard,
            reply: Reply::default(),
            request: RequestId(self.chance.uuid()),
            ticket: TicketKey(self.chance.uuid()),
            correlation_key: correlation_key(super::INSTANCE, &backend, Kind::default(), &origin),
            admission: self.systems[&backend].settings.admission,
        };
        self.apply(Change::Command(Box::new(take)), move |w, answer| {
            match answer {
                Ok(mut applied) => {
                    let Some(Applied::Command(taken)) = applied.pop() else { return };
                    let own = taken.front.is_none_or(|(front, _)| front == taken.request.id);
                    if !taken.repeat && own {
                        // Between the commit and this message the lane may have read the row.
                        let late = if w.strikes(Fault::StallFlow, 6) { 40_000 } else { 3 };
                        let after = w.chance.ms(0, late);
                        w.inside(after, move |w| w.submit(taken.request));
                    }
                }
                Err(StoreError::Refused(refusal)) => {
                    w.note(|| format!("command {id} is refused: {refusal}"));
                    w.meet("commands refused");
                }
                Err(StoreError::Down(_)) => return,
            }
            if !w.strikes(Fault::BusLoss, 4) {
                w.orders[n].heard = true;
            }
        });
    }
}

/// People who step in.
impl World {
    pub(super) fn person_steps_in(&mut self) {
        let after = self.chance.ms(500, 20_000);
        self.outside(after, |w| {
            if w.calm {
                return;
            }
            w.person_steps_in();
            let client = ClientNumber(w.chance.rng.u64(0..w.service.clients as u64) + 1);
            let unlock = w.chance.one_in(2);
            w.send_in(move |w| match unlock {
                true => w.unlock(client),
                false => w.not_busy(client),
            });
        });
    }

    /// `Handler<NotBusy>` of a ticket client.
    fn not_busy(&mut self, client: ClientNumber) {
        self.meet("clients set to not busy");
        self.note(|| format!("a person says that {client} is not busy"));
        self.service.turns.entry(client).or_default().void();
        *self.watch.locks.voids.entry(client).or_default() += 1;
    }
}
