//! Commands from a bus: writes in group commits, everything else beside them.

use super::{Commands, write};
use crate::changes::{Change, ChangeSet};
use crate::model::{Code, Command, CommandAnswer, CommandError, CommandId, Parked, Reply, Stage};
use crate::ports::{BadCommand, Delivery, Inlet, Soon, Verdict};
use std::collections::VecDeque;
use std::sync::Arc;

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
    /// What a delivery says, read as it would be if it came now; nothing is taken.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_again(&self, delivery: &Delivery) -> Result<Command, Box<BadCommand>> {
        self.decode.command(delivery)
    }

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
            mended: 0,
            place: None,
            original: None,
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
