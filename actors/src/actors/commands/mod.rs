//! The desk for commands: checks them against what is configured, and has them done by the pool,
//! a ticket client or the store (CONTRACT 1.5).
//!
//! Not an actor: it keeps nothing but a count, and runs where its caller runs. Writes are durable
//! before their first answer; their final one comes through the outbox. Everything else is
//! answered once and not remembered: whoever hears nothing sends it again.

mod at_once;
mod inlet;
mod refusals;

pub use inlet::CommandInlet;

use super::client::TicketClient;
use super::gateway::Submit;
use super::pool::{Pool, Prove};
use super::{Gateway, Outside, Post};
use crate::changes::{
    Admission, Applied, Change, ChangeSet, CommandTaken, Guard, LockProof, TakeCommand, Write,
};
use crate::logic::{answers, correlation};
use crate::model::{
    BackendId, Code, Command, CommandAnswer, CommandError, CommandId, Given, Kind, LockName, Op,
    Order, Origin, Reply, RequestId, Stage, TicketKey, TicketName,
};
use crate::ports::{Decode, Outgoing, StoreError};
use refusals::refused;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

/// Locks and reads from the bus that are under way at once; one more is told `busy`.
const UNDER_WAY_MAX: usize = 4_096;
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
        if self.outside.backends.has(backend) {
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
                self.gateway.tell(Submit::from(Box::new(request)));
            }
        }
        answer
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

fn write(take: TakeCommand) -> ChangeSet {
    Change::Command(Box::new(take)).into()
}
