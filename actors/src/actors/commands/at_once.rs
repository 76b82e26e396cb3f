//! Locks and reads: answered once, and not remembered.

use super::refusals::{not_read, replaced, unreadable};
use super::{Commands, Said};
use crate::actors::Post;
use crate::actors::client::{NotRead, ReadFor};
use crate::actors::pool::{self, GiveBack, NoClient, Pool, Release, Renew};
use crate::changes::LockProof;
use crate::logic::locks::{Grant, Holder, Wish};
use crate::model::{
    BackendId, Code, Command, CommandError, CommandId, Fields, FoundTicket, Given, Granted, Kind,
    LockName, Order, TicketKey, TicketName,
};
use crate::ports::{Answer, Reading, SearchBy, Work};
use std::time::Duration;
use uuid::Uuid;

/// A read without a lock waits so long for a ticket client.
const CLIENT_WITHIN: Duration = Duration::from_secs(30);
/// A read waits so long for its turn in the lane and its answer.
const READ_WITHIN: Duration = Duration::from_secs(60);

impl Commands {
    /// Locks and reads.
    pub(super) async fn at_once(&self, command: Command) -> Said {
        let id = command.id;
        match command.order {
            Order::Acquire { guid, timeout, wait, holder } => {
                self.acquire(guid, timeout, wait, holder).await
            }
            Order::Renew { guid, timeout } => {
                let renewed = self.pool.ask(Renew(guid, timeout)).await.flatten();
                let lost = || CommandError::of("guid", Code::LockLost, "this lock is not held");
                renewed.map(|grant| Given::Locked(self.told(&grant))).ok_or_else(lost)
            }
            Order::Release { guid } => match self.pool.ask(GiveBack(guid)).await {
                Some(true) => Ok(Given::Nothing),
                Some(false) => {
                    Err(CommandError::of("guid", Code::LockLost, "this lock is not held"))
                }
                None => Err(replaced()),
            },
            Order::Query(name) => self.query(id, name, command.lock).await,
            Order::Search { backend, kind, by, limit } => {
                self.search(id, backend, kind, by, limit, command.lock).await
            }
            Order::Create { .. } | Order::Update { .. } | Order::Close { .. } => {
                Err(CommandError::new(Code::Failed, "a write goes through the store"))
            }
        }
    }

    /// Takes a client for a script.
    ///
    /// # Errors
    /// `timeout` where none was free in time, `busy` where too many wait.
    pub async fn acquire(
        &self,
        guid: Uuid,
        timeout: Duration,
        wait: Duration,
        holder: String,
    ) -> Said {
        let grant = self.client(guid, Holder::Script(holder), timeout, wait).await?;
        Ok(Given::Locked(self.told(&grant)))
    }

    async fn client(
        &self,
        guid: Uuid,
        holder: Holder,
        timeout: Duration,
        wait: Duration,
    ) -> Result<Grant, CommandError> {
        let wait_until = self.outside.clock.now().mono.plus(wait);
        let wish = Wish { guid, holder, timeout, wait_until };
        match pool::acquire(&self.pool, wish).await {
            Some(Ok(grant)) => Ok(grant),
            Some(Err(why @ NoClient::TimedOut)) => {
                Err(CommandError::new(Code::Timeout, why.to_string()))
            }
            Some(Err(why @ NoClient::NotYours)) => {
                Err(CommandError::of("guid", Code::Invalid, why.to_string()))
            }
            Some(Err(why @ (NoClient::Busy | NoClient::NotKept))) => {
                Err(CommandError::new(Code::Busy, why.to_string()))
            }
            None => Err(replaced()),
        }
    }

    fn told(&self, grant: &Grant) -> Granted {
        let now = self.outside.clock.now();
        Granted {
            client: grant.client,
            guid: grant.guid,
            fence: grant.fence,
            expires_at: now.wall.plus(grant.expires.since(now.mono)),
        }
    }

    async fn query(&self, id: CommandId, name: TicketName, lock: Option<LockName>) -> Said {
        self.known_in(&name)?;
        let unknown = |what: &str| CommandError::new(Code::NotFound, what);
        let (key, backend, backend_id, kind) = match name {
            TicketName::Key(key) => {
                let ticket = self.outside.reads.ticket(key).await.map_err(unreadable)?;
                let ticket = ticket.ok_or_else(|| {
                    CommandError::of("key", Code::NotFound, format!("no ticket has the key {key}"))
                })?;
                let backend_id = ticket
                    .backend_id
                    .ok_or_else(|| unknown("the ticket is not at its backend yet"))?;
                (Some(key), ticket.backend, backend_id, ticket.kind)
            }
            TicketName::Theirs(backend, backend_id, kind) => {
                let ours = self.key_of(&backend, &backend_id).await?;
                (ours, backend, backend_id, kind)
            }
        };
        let work = Work::Get { backend_id, kind };
        let reading = self.read(id, backend.clone(), work, "query", lock).await?;
        let found = reading.tickets.into_iter().next();
        let found = found.ok_or_else(|| unknown("the backend has no such ticket"))?;
        Ok(Given::Found(Box::new(FoundTicket { key, backend, kind, found })))
    }

    async fn search(
        &self,
        id: CommandId,
        backend: BackendId,
        kind: Kind,
        by: Fields,
        limit: u32,
        lock: Option<LockName>,
    ) -> Said {
        self.known(&backend)?;
        let work = Work::Search { by: SearchBy::Fields(by), kind, limit };
        let reading = self.read(id, backend.clone(), work, "search", lock).await?;
        let mut tickets = Vec::with_capacity(reading.tickets.len());
        for found in reading.tickets {
            let key = self.key_of(&backend, &found.backend_id).await?;
            tickets.push(FoundTicket { key, backend: backend.clone(), kind, found });
        }
        Ok(Given::Tickets(tickets, reading.more))
    }

    async fn key_of(
        &self,
        backend: &BackendId,
        backend_id: &str,
    ) -> Result<Option<TicketKey>, CommandError> {
        let reads = &self.outside.reads;
        let row = reads.ticket_by_backend_id(backend.clone(), backend_id.to_owned()).await;
        Ok(row.map_err(unreadable)?.map(|ticket| ticket.key))
    }

    /// A read on the client that the sender holds, or on one taken for it.
    async fn read(
        &self,
        id: CommandId,
        backend: BackendId,
        work: Work,
        name: &str,
        lock: Option<LockName>,
    ) -> Result<Reading, CommandError> {
        let what = format!("{name} {id}");
        let (proof, taken) = match lock {
            Some(lock) => {
                let lost = || CommandError::of("lock", Code::LockLost, "this lock is not held");
                (self.prove(lock).await.ok_or_else(lost)?, None)
            }
            None => {
                let guid = self.outside.ids.uuid(self.outside.clock.now().wall);
                let holder = Holder::Command(what.clone());
                let grant = self.client(guid, holder, READ_WITHIN * 2, CLIENT_WITHIN).await?;
                let proof =
                    LockProof { client: grant.client, fence: grant.fence, expires: grant.expires };
                (proof, Some(Freed { pool: self.pool.clone(), guid }))
            }
        };
        let deadline = self.outside.clock.now().mono.plus(READ_WITHIN);
        let place = usize::try_from(proof.client.0).unwrap_or(usize::MAX) - 1;
        let client = self.clients.get(place).ok_or_else(replaced)?;
        let answer = client.ask(ReadFor { lock: proof, backend, work, what, deadline }).await;
        drop(taken);
        match answer.ok_or_else(replaced)? {
            Ok(Answer::Read(reading)) => Ok(reading),
            Ok(answer) => Err(not_read(answer)),
            Err(NotRead::Busy) => {
                Err(CommandError::of("lock", Code::Busy, NotRead::Busy.to_string()))
            }
            Err(NotRead::Voided) => {
                Err(CommandError::new(Code::Cancelled, NotRead::Voided.to_string()))
            }
        }
    }
}

/// Gives a client back that was taken for one read.
struct Freed {
    pool: Post<Pool>,
    guid: Uuid,
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.pool.tell(Release(self.guid));
    }
}
