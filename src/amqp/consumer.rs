//! Takes alarms, parked messages and beats from the broker to their inlets.
//!
//! What always holds: a delivery is acknowledged after its inlet settled it, and an `ack` that did
//! not return true did not happen (rule A1) and ends the session, so that the broker hands the
//! delivery out again. While the store takes nothing, deliveries wait here and the broker keeps
//! the rest. What a message means is left to the inlet.

use super::arrival::{self, Arrival};
use super::ledger::{Ledger, Tag};
use super::link::{self, Broker, Frames, Health, Trouble};
use super::settings::AmqpSettings;
use super::{Inlets, Phase, reached, topology};
use futures_util::future::try_join_all;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Raw;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::FieldTable;
use lapin::{Acker, Connection, Consumer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::ports::Inlet;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// Deliveries offered to an inlet at once: what one group commit takes.
const MAX_BATCH: usize = 256;
/// Batches under way in one inlet: one in the commit, one on its way there, one to spare.
const MAX_BATCHES: usize = 3;
/// Parked messages under way: each may have 16 MiB and more.
const PARKED_PREFETCH: u16 = 4;
/// Sync messages under way: each may tell of hundreds of tickets.
const SYNC_PREFETCH: u16 = 8;
/// Beats under way: they are small, and judged at once.
const BEATS_PREFETCH: u16 = 64;
/// Wait before what was not taken is offered again; doubled while nothing is taken.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One queue and where its deliveries go.
struct Source {
    queue: Arc<str>,
    prefetch: u16,
    inlet: Arc<dyn Inlet>,
    arrive: fn(Raw, &Arc<str>) -> Arrival,
}

/// One session: ends without trouble when the phase says to stop consuming.
pub(super) async fn session(
    broker: &Broker,
    settings: &AmqpSettings,
    inlets: &Inlets,
    health: &Health,
    phase: watch::Receiver<Phase>,
) -> Result<(), Trouble> {
    let connection = broker.connect("in", Frames::AsTheBroker).await?;
    topology::declare(&connection, settings).await?;
    topology::declare_beats(&connection, settings, broker.node()).await?;
    let alarms = Source {
        queue: topology::named(settings, topology::ALARMS_INTAKE).into(),
        prefetch: settings.prefetch,
        inlet: Arc::clone(&inlets.alarms),
        arrive: arrival::intake,
    };
    let commands = Source {
        queue: topology::named(settings, topology::COMMANDS_INTAKE).into(),
        prefetch: settings.prefetch,
        inlet: Arc::clone(&inlets.commands),
        arrive: arrival::intake,
    };
    let answers = Source {
        queue: topology::named(settings, topology::ANSWERS_INTAKE).into(),
        prefetch: settings.prefetch,
        inlet: Arc::clone(&inlets.answers),
        arrive: arrival::intake,
    };
    let parked = Source {
        queue: topology::named(settings, topology::PARKED).into(),
        prefetch: PARKED_PREFETCH,
        inlet: Arc::clone(&inlets.parked),
        arrive: arrival::parked,
    };
    let sync = Source {
        queue: topology::named(settings, topology::SYNC_INTAKE).into(),
        prefetch: SYNC_PREFETCH,
        inlet: Arc::clone(&inlets.sync),
        arrive: arrival::intake,
    };
    let heartbeats = Source {
        queue: topology::beats(settings, broker.node()).into(),
        prefetch: BEATS_PREFETCH,
        inlet: Arc::clone(&inlets.heartbeats),
        arrive: arrival::beat,
    };
    let foreign = settings.source_queues().map(|(queue, _)| Source {
        queue: queue.into(),
        prefetch: settings.prefetch,
        inlet: Arc::clone(&inlets.alarms),
        arrive: arrival::intake,
    });
    let sources = [alarms, commands, answers, sync, parked, heartbeats].into_iter().chain(foreign);
    let opened = sources.map(|source| Intake::open(&connection, source, phase.clone()));
    let opened = try_join_all(opened).await?;
    health.is_up("in");
    try_join_all(opened.into_iter().map(Intake::run)).await?;
    link::close(&connection).await;
    Ok(())
}

/// One queue being consumed.
struct Intake {
    source: Source,
    channel: lapin::Channel,
    consumer: Consumer,
    phase: watch::Receiver<Phase>,
    ledger: Ledger,
    ackers: BTreeMap<Tag, Acker>,
    pause: Duration,
    paused_until: Option<Instant>,
}

impl Intake {
    async fn open(
        connection: &Connection,
        source: Source,
        phase: watch::Receiver<Phase>,
    ) -> Result<Self, Trouble> {
        let channel = connection.create_channel().await?;
        // Before consuming: what the broker sends without a limit, lapin keeps without a limit.
        channel.basic_qos(source.prefetch, BasicQosOptions::default()).await?;
        let consumer = channel
            .basic_consume(
                source.queue.as_ref().into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Self {
            source,
            channel,
            consumer,
            phase,
            ledger: Ledger::default(),
            ackers: BTreeMap::new(),
            pause: FIRST_PAUSE,
            paused_until: None,
        })
    }

    async fn run(mut self) -> Result<(), Trouble> {
        let mut taking = FuturesOrdered::new();
        let mut stopping = false;
        loop {
            while !stopping
                && self.paused_until.is_none()
                && taking.len() < MAX_BATCHES
                && let Some(batch) = self.ledger.next_batch(MAX_BATCH)
            {
                let verdicts = self.source.inlet.take(batch.deliveries());
                taking.push_back(verdicts.map(|verdicts| (batch, verdicts)));
            }
            if stopping && taking.is_empty() {
                // What waits or is held goes back to the queue with the channel.
                self.channel.close(200, "done".into()).await?;
                return Ok(());
            }
            let resume = self.paused_until;
            tokio::select! {
                biased;
                () = reached(&mut self.phase, Phase::Draining), if !stopping => {
                    stopping = true;
                    let tag = self.consumer.tag();
                    self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
                }
                Some((batch, verdicts)) = taking.next() => {
                    let orders = self.ledger.judged(batch, &verdicts);
                    self.carry_out(orders.ack, &orders.give_back).await?;
                    self.pace(orders.held, !orders.give_back.is_empty());
                }
                () = sleep_until(resume.unwrap_or_else(Instant::now)), if resume.is_some() => {
                    self.paused_until = None;
                }
                arrived = self.consumer.next(), if !stopping => {
                    self.arrived(arrived).await?;
                    // Whatever else is here already goes into the same batch.
                    while let Some(more) = self.consumer.next().now_or_never() {
                        self.arrived(more).await?;
                    }
                }
            }
        }
    }

    async fn arrived(&mut self, arrived: Option<lapin::Result<Raw>>) -> Result<(), Trouble> {
        let queue = &self.source.queue;
        let Some(raw) = arrived else {
            return Err(Trouble::Lost(format!("the broker cancelled the consumer of {queue}")));
        };
        let raw = raw?;
        let (tag, acker, size) = (raw.delivery_tag, raw.acker.clone(), raw.data.len());
        match (self.source.arrive)(raw, queue) {
            Arrival::Taken(delivery) => {
                self.ackers.insert(tag, acker);
                self.ledger.arrived(tag, delivery);
                Ok(())
            }
            Arrival::Refused => {
                warn!(%queue, size, "a message is too large and goes to the parked queue");
                done(acker.reject(BasicRejectOptions { requeue: false }).await?)
            }
        }
    }

    async fn carry_out(&mut self, ack: Option<Tag>, give_back: &[Tag]) -> Result<(), Trouble> {
        for tag in give_back {
            if let Some(acker) = self.ackers.remove(tag) {
                let options = BasicNackOptions { multiple: false, requeue: true };
                done(acker.nack(options).await?)?;
            }
        }
        if let Some(tag) = ack {
            let behind = self.ackers.split_off(&(tag + 1));
            let mut covered = std::mem::replace(&mut self.ackers, behind);
            if let Some(acker) = covered.remove(&tag) {
                done(acker.ack(BasicAckOptions { multiple: true }).await?)?;
            }
        }
        Ok(())
    }

    fn pace(&mut self, held: bool, gave_back: bool) {
        if !held && !gave_back {
            self.pause = FIRST_PAUSE;
            return;
        }
        warn!(queue = %self.source.queue, held, pause = ?self.pause, "deliveries were not taken");
        self.paused_until = Some(Instant::now() + self.pause);
        self.pause = if held { (self.pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
    }
}

/// Rule A1.
fn done(happened: bool) -> Result<(), Trouble> {
    match happened {
        true => Ok(()),
        false => Err(Trouble::Lost("an acknowledgement did not happen".to_owned())),
    }
}
