//! The desk for commands: checks them against what is configured, and has them done by the pool,
//! a ticket client or the store (CONTRACT 1.5).
//!
//! Not an actor: it keeps nothing but a count, and runs where its caller runs. Writes are durable
//! before their first answer; their final one comes through the outbox. Everything else is
//! answered once and not remembered: whoever hears nothing sends it again.

use super::client::{NotRead, ReadFor, TicketClient};
use super::gateway::Submit;
use super::pool::{self, GiveBack, NoClient, Pool, Prove, Release, Renew};
use super::{Gateway, Outside, Post};
use crate::changes::{
    Admission, Applied, Change, ChangeSet, CommandTaken, Guard, LockProof, Refusal, TakeCommand,
    Write,
};
use crate::logic::locks::{Grant, Holder, Wish};
use crate::logic::{answers, correlation};
use crate::model::{
    BackendId, Code, Command, CommandAnswer, CommandError, CommandId, Fields, FoundTicket, Given,
    Granted, Kind, LockName, Op, Order, Origin, Parked, Reply, RequestId, Stage, TicketKey,
    TicketName,
};
use crate::ports::{
    Answer, BadCommand, Decode, Delivery, Inlet, Outgoing, SearchBy, Soon, StoreError, Verdict,
    Work,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

/// Locks and reads from the bus that are under way at once; one more is told `busy`.
const UNDER_WAY_MAX: usize = 4_096;
/// A read without a lock waits so long for a ticket client.
const CLIENT_WITHIN: Duration = Duration::from_secs(30);
/// A read waits so long for its turn in the lane and its answer.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// A last answer that could not be published is tried so often in all, for 10 s.
const REPLY_TRIES: u32 = 20;
const REPLY_RETRY: Duration = Duration::from_millis(500);
/// Answers that are being published at once; one more is tried once.
const UNSAID_MAX: usize = 4_096;

type Said = Result<Given, CommandError>;

/// The desk.
pub struct Commands {
    outside: Arc<Outside>,
    pool: Post<Pool>,
    clients: Vec<Post<TicketClient>>,
    gateway: Post<Gateway>,
    decode: Arc<dyn Decode>,
    room: Arc<Semaphore>,
    unsaid: Arc<Semaphore>,
}

impl Commands {
    /// A desk for this cast.
    pub fn new(
        outside: Arc<Outside>,
        pool: Post<Pool>,
        clients: Vec<Post<TicketClient>>,
        gateway: Post<Gateway>,
        decode: Arc<dyn Decode>,
    ) -> Self {
        let [room, unsaid] = [UNDER_WAY_MAX, UNSAID_MAX].map(|most| Arc::new(Semaphore::new(most)));
        Self { outside, pool, clients, gateway, decode, room, unsaid }
    }

    /// Does a command, and gives its first answer.
    ///
    /// # Errors
    /// The store did not take it: nothing was done, and nothing is remembered.
    pub async fn run(self: &Arc<Self>, command: Command) -> Result<CommandAnswer, StoreError> {
        let id = command.id;
        match self.prepare(&command).await {
            Ok(Some(take)) => {
                let me = self.clone();
                // To its end, also if the asker goes away meanwhile: what is committed has to be
                // submitted too, since its lane would not look for it.
                let taken = tokio::spawn(async move {
                    let applied = me.outside.store.apply(write(take)).await;
                    me.first_answer(id, applied)
                });
                let broken = |_| Err(StoreError::Down("taking the command broke off".to_owned()));
                taken.await.unwrap_or_else(broken)
            }
            Ok(None) => Ok(CommandAnswer::done(id, self.at_once(command).await)),
            Err(error) => Ok(CommandAnswer::done(id, Err(error))),
        }
    }

    /// The latest stage of a write command; none if its id is not remembered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn stage(&self, id: CommandId) -> Result<Option<CommandAnswer>, StoreError> {
        let reads = &self.outside.reads;
        let Some(record) = reads.command(id).await? else { return Ok(None) };
        let Some(request) = reads.request(record.request).await? else { return Ok(None) };
        let Some(ticket) = reads.ticket(request.ticket).await? else { return Ok(None) };
        let front = reads.first_open_request(ticket.key).await?;
        let front = front.map(|front| (front.id, front.state));
        Ok(Some(answers::of_request(&request, &ticket, front)))
    }

    /// Waits for the final stage of a write, at most so long; the latest stage then.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn wait(
        &self,
        first: CommandAnswer,
        within: Duration,
    ) -> Result<CommandAnswer, StoreError> {
        let (Some(id), Some((request, _))) = (first.id, first.about) else { return Ok(first) };
        if first.stage == Stage::Final {
            return Ok(first);
        }
        // Listening begins before the look, so that no end falls between the two.
        let mut ended = self.outside.notices.ended.subscribe();
        let heard = async {
            loop {
                let latest = self.stage(id).await?;
                if latest.as_ref().is_none_or(|latest| latest.stage == Stage::Final) {
                    return Ok(latest);
                }
                loop {
                    match ended.recv().await {
                        Ok(other) if other != request => {}
                        Ok(_) | Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return Ok(latest),
                    }
                }
            }
        };
        match tokio::time::timeout(within, heard).await {
            Ok(latest) => Ok(latest?.unwrap_or(first)),
            Err(_) => Ok(self.stage(id).await?.unwrap_or(first)),
        }
    }

    /// The change of a write command; none for the others.
    async fn prepare(&self, command: &Command) -> Result<Option<TakeCommand>, CommandError> {
        let (write, fields) = match &command.order {
            Order::Create { backend, kind, fields, alarm } => {
                self.known(backend)?;
                let write =
                    Write::Create { backend: backend.clone(), kind: *kind, alarm: alarm.clone() };
                (write, fields)
            }
            Order::Update { ticket, fields } => {
                self.known_in(ticket)?;
                (Write::Change(Op::Update, ticket.clone()), fields)
            }
            Order::Close { ticket, fields } => {
                self.known_in(ticket)?;
                (Write::Change(Op::Close, ticket.clone()), fields)
            }
            _ => return Ok(None),
        };
        let guard = match command.lock {
            None => Guard::None,
            Some(name) => {
                let proof = self.prove(name).await;
                proof.map_or(Guard::Lost, |proof| Guard::Held(name.guid, proof))
            }
        };
        let (backend, kind) = match &write {
            Write::Create { backend, kind, .. } => (backend.clone(), *kind),
            Write::Change(_, TicketName::Theirs(backend, _, kind)) => (backend.clone(), *kind),
            // No row is made for a ticket that we know.
            Write::Change(_, TicketName::Key(_)) => (BackendId::new(""), Kind::default()),
        };
        let admission = self.admission(&write).await?;
        let origin = Origin::Command { id: command.id.to_string() };
        let ids = &self.outside.ids;
        let now = self.outside.clock.now().wall;
        Ok(Some(TakeCommand {
            id: command.id,
            body_hash: command.body_hash,
            write,
            fields: fields.clone(),
            guard,
            reply: command.reply.clone().unwrap_or_default(),
            request: RequestId(ids.uuid(now)),
            ticket: TicketKey(ids.uuid(now)),
            correlation_key: correlation::correlation_key(
                &self.outside.instance,
                &backend,
                kind,
                &origin,
            ),
            admission,
        }))
    }

    /// How much the backend of a write may have open. Which that is never changes for a ticket.
    async fn admission(&self, write: &Write) -> Result<Admission, CommandError> {
        let backend = match write {
            Write::Create { backend, .. } | Write::Change(_, TicketName::Theirs(backend, ..)) => {
                Some(backend.clone())
            }
            Write::Change(_, TicketName::Key(key)) => {
                let ticket = self.outside.reads.ticket(*key).await.map_err(|error| {
                    CommandError::new(Code::Busy, format!("the store cannot be read: {error}"))
                })?;
                ticket.map(|ticket| ticket.backend)
            }
        };
        let seat = backend.and_then(|backend| self.outside.backends.get(&backend));
        Ok(seat.map(|seat| seat.settings.admission).unwrap_or_default())
    }

    fn known(&self, backend: &BackendId) -> Result<(), CommandError> {
        if self.outside.backends.contains_key(backend) {
            return Ok(());
        }
        let message = format!("no backend is called {backend}");
        Err(CommandError::of("backend", Code::UnknownBackend, message))
    }

    fn known_in(&self, ticket: &TicketName) -> Result<(), CommandError> {
        match ticket {
            TicketName::Theirs(backend, ..) => self.known(backend),
            TicketName::Key(_) => Ok(()),
        }
    }

    async fn prove(&self, name: LockName) -> Option<LockProof> {
        self.pool.ask(Prove(name)).await.flatten()
    }

    fn first_answer(
        &self,
        id: CommandId,
        applied: Result<Vec<Applied>, StoreError>,
    ) -> Result<CommandAnswer, StoreError> {
        match applied {
            Ok(mut applied) => match applied.pop() {
                Some(Applied::Command(taken)) => Ok(self.taken(*taken)),
                _ => Err(StoreError::Down("the store answered oddly".to_owned())),
            },
            Err(StoreError::Refused(refusal)) => Ok(CommandAnswer::done(id, Err(refused(refusal)))),
            Err(down) => Err(down),
        }
    }

    fn taken(&self, taken: CommandTaken) -> CommandAnswer {
        let CommandTaken { request, ticket, front, repeat } = taken;
        let answer = answers::of_request(&request, &ticket, front);
        if !repeat {
            tracing::info!(
                command = answer.id.map(tracing::field::display),
                request = %request.id,
                ticket = %ticket.key,
                backend = %request.backend,
                op = request.op.as_str(),
                "a command is accepted"
            );
            if front.is_none_or(|(front, _)| front == request.id) {
                self.gateway.tell(Submit(Box::new(request)));
            }
        }
        answer
    }

    /// Locks and reads.
    async fn at_once(&self, command: Command) -> Said {
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
    ) -> Result<crate::ports::Reading, CommandError> {
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

    /// Publishes an answer; a sender that misses one asks again. A last answer is tried for a while:
    /// commands may be heard before the way out stands, and a lock that nobody was told of would
    /// stand idle. Behind an `accepted` the final one comes from the outbox, whatever happens here.
    fn reply(&self, reply: &Reply, answer: CommandAnswer) {
        let last = answer.stage == Stage::Final;
        let Some(message) = self.reply_to(reply, answer) else { return };
        let room = self.unsaid.clone().try_acquire_owned().ok();
        let tries = if last && room.is_some() { REPLY_TRIES } else { 1 };
        let bus = self.outside.bus.clone();
        tokio::spawn(async move {
            for n in 1..=tries {
                match bus.publish(message.clone()).await {
                    Ok(()) => break,
                    Err(error) if n == tries => {
                        tracing::warn!(%error, "an answer to a command was not published");
                    }
                    Err(_) => actix::clock::sleep(REPLY_RETRY).await,
                }
            }
            drop(room);
        });
    }

    fn reply_to(&self, reply: &Reply, answer: CommandAnswer) -> Option<Outgoing> {
        let now = self.outside.clock.now().wall;
        let id = crate::model::EventId(self.outside.ids.uuid(now));
        Some(Outgoing::Reply {
            event_id: id,
            at: now,
            to: reply.to.clone()?,
            correlation_id: reply
                .correlation_id
                .clone()
                .or_else(|| answer.id.map(|id| id.to_string())),
            content_type: reply.content_type.clone(),
            answer: Box::new(answer),
        })
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

fn write(take: TakeCommand) -> ChangeSet {
    Change::Command(Box::new(take)).into()
}

fn replaced() -> CommandError {
    CommandError::new(Code::Busy, "the service is starting over: try again")
}

fn unreadable(error: StoreError) -> CommandError {
    CommandError::new(Code::Busy, format!("the store cannot be read: {error}"))
}

fn refused(refusal: Refusal) -> CommandError {
    let (code, field) = match refusal {
        Refusal::LockLost => (Code::LockLost, Some("lock")),
        Refusal::IdReused => (Code::IdReused, Some("id")),
        Refusal::NotFound | Refusal::NeverMade => (Code::NotFound, Some("key")),
        Refusal::UnknownAlarm => (Code::NotFound, Some("alarm")),
        Refusal::HasTicket => (Code::Invalid, Some("alarm")),
        Refusal::Full => (Code::Busy, Some("backend")),
        Refusal::StaleVersion
        | Refusal::StaleEpoch
        | Refusal::WrongState
        | Refusal::NoBackendId
        | Refusal::NotLinked
        | Refusal::UnderWay
        | Refusal::Closed
        | Refusal::Astray
        | Refusal::Conflict => (Code::Busy, None),
    };
    CommandError { code, message: refusal.to_string(), field: field.map(str::to_owned) }
}

fn not_read(answer: Answer) -> CommandError {
    match answer {
        Answer::Busy { error, .. } | Answer::Retryable { error, .. } => {
            CommandError::new(Code::Busy, error.reason)
        }
        Answer::Refused(error) => CommandError::new(Code::Rejected, error.reason),
        Answer::Unauthorised(error) => CommandError::new(
            Code::Failed,
            format!("the backend refuses our credentials: {}", error.reason),
        ),
        Answer::InDoubt(error) => CommandError::new(Code::Failed, error.reason),
        Answer::NotSent(reason) => CommandError::new(Code::Timeout, reason),
        Answer::Done(_) | Answer::Acknowledged { .. } | Answer::Read(_) => {
            CommandError::new(Code::Failed, "the backend's answer is no list of tickets")
        }
    }
}

/// Commands from a bus.
pub struct CommandInlet(pub Arc<Commands>);

/// A write that waits for its commit.
struct Waiting {
    place: usize,
    id: CommandId,
    reply: Reply,
}

impl CommandInlet {
    async fn take_batch(commands: Arc<Commands>, batch: Vec<Delivery>) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Settled; batch.len()];
        let mut writes: VecDeque<(Waiting, ChangeSet)> = VecDeque::new();
        for (place, delivery) in batch.iter().enumerate() {
            let command = match commands.decode.command(delivery) {
                Ok(command) => command,
                Err(bad) => {
                    verdicts[place] = commands.bad(delivery, *bad).await;
                    continue;
                }
            };
            let (id, reply) = (command.id, command.reply.clone().unwrap_or_default());
            match commands.prepare(&command).await {
                Ok(Some(take)) => {
                    writes.push_back((Waiting { place, id, reply }, write(take)));
                }
                Ok(None) => {
                    // What was sent before it is done before it.
                    commands.commit(&mut writes, &mut verdicts).await;
                    commands.begin(command, reply);
                }
                Err(error) => commands.reply(&reply, CommandAnswer::done(id, Err(error))),
            }
        }
        commands.commit(&mut writes, &mut verdicts).await;
        verdicts
    }
}

impl Commands {
    async fn commit(&self, writes: &mut VecDeque<(Waiting, ChangeSet)>, verdicts: &mut [Verdict]) {
        if writes.is_empty() {
            return;
        }
        let (waiting, sets): (Vec<_>, Vec<_>) = writes.drain(..).unzip();
        let applied = self.outside.store.apply_each(sets).await;
        for (Waiting { place, id, reply }, result) in waiting.into_iter().zip(applied) {
            match self.first_answer(id, result) {
                Ok(answer) => self.reply(&reply, answer),
                Err(error) => {
                    tracing::warn!(%error, command = %id, "a command was given back");
                    verdicts[place] = Verdict::GiveBack;
                }
            }
        }
    }

    /// Locks and reads wait elsewhere: the queue flows on.
    fn begin(self: &Arc<Self>, command: Command, reply: Reply) {
        let id = command.id;
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            let error = CommandError::new(Code::Busy, "too many commands are under way");
            self.reply(&reply, CommandAnswer::done(id, Err(error)));
            return;
        };
        let me = self.clone();
        tokio::spawn(async move {
            let said = me.at_once(command).await;
            me.reply(&reply, CommandAnswer::done(id, said));
            drop(room);
        });
    }

    /// What cannot be read is told to who can be told, and parked where nobody can.
    async fn bad(&self, delivery: &Delivery, bad: BadCommand) -> Verdict {
        let BadCommand { id, reply, error } = bad;
        if reply.to.is_some() {
            let answer = CommandAnswer { id, about: None, stage: Stage::Final, said: Err(error) };
            self.reply(&reply, answer);
            return Verdict::Settled;
        }
        tracing::warn!(
            inlet = %delivery.inlet,
            field = error.field.as_deref(),
            reason = error.message,
            "a command is parked"
        );
        let parked = Parked {
            n: 0,
            at: self.outside.clock.now().wall,
            inlet: delivery.inlet.to_string(),
            message_id: delivery.message_id.clone(),
            content_type: delivery.content_type.clone(),
            reason: error.message,
            field: error.field,
            body: delivery.body.to_vec(),
        };
        match self.outside.store.apply(Change::Park(Box::new(parked)).into()).await {
            Ok(_) => Verdict::Settled,
            Err(_) => Verdict::GiveBack,
        }
    }
}

impl Inlet for CommandInlet {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        let all = batch.len();
        // To its end, also if the session with the broker is lost meanwhile: what is committed has
        // to be submitted too. The broker hands the batch out again, and each is a repeat then.
        let taken = tokio::spawn(Self::take_batch(self.0.clone(), batch));
        Box::pin(async move { taken.await.unwrap_or_else(|_| vec![Verdict::GiveBack; all]) })
    }
}
