//! RabbitMQ: the bus when a broker URL is configured.
//!
//! Two links, each a connection of its own with its own session loop: `in` takes alarms, parked
//! messages and beats to their inlets, `out` publishes with confirms. Both run on a runtime of their own,
//! since a handler that blocks elsewhere must not cost us the broker's heartbeats. A broker that
//! is not there is no error: the bus says so and catches up when it comes (rule A2). What exists
//! there with other arguments than ours is one, at start (rule A3).
//!
//! What a message says is left to `wire`, what becomes of it to the inlets.

mod access;
mod arrival;
mod consumer;
mod ledger;
mod link;
mod publisher;
mod settings;
mod topology;

pub use access::TlsFiles;
pub use settings::{AmqpSettings, Hears, Subscription};

use crate::wire::{self, Encoding};
use link::{Broker, Frames, Health, Told, Trouble};
use publisher::Publisher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ticketgate_actors::ports::{Bus, Ids, Inlet, Outgoing, PublishFailed, Soon};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

/// The exchanges and queues under that prefix; without a broker, as they would be.
pub fn places(prefix: Option<&str>) -> Vec<wire::Place> {
    topology::places(prefix.unwrap_or(&AmqpSettings::default().prefix))
}

/// Threads of the bus: it reads, encodes and hands on; what takes longer is done elsewhere.
const THREADS: usize = 1;

/// Where what comes in goes.
#[derive(Clone)]
pub struct Inlets {
    /// Alarm events.
    pub alarms: Arc<dyn Inlet>,
    /// Commands.
    pub commands: Arc<dyn Inlet>,
    /// Backends' later answers.
    pub answers: Arc<dyn Inlet>,
    /// Connectors' messages.
    pub sync: Arc<dyn Inlet>,
    /// Messages that the broker gave up on, with `dead_lettered` set: to be parked as they are.
    pub parked: Arc<dyn Inlet>,
    /// Beats of every origin, our own included.
    pub heartbeats: Arc<dyn Inlet>,
}

/// Why the bus cannot start. An unreachable broker is not among the reasons.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config is wrong.
    #[error("{0}")]
    Settings(String),
    /// An exchange or queue exists with other arguments: somebody has to delete it, or give it
    /// back the arguments that it was declared with.
    #[error(
        "{what} exists at the broker with other arguments than Ticketgate declares; \
         the broker says: {broker_says}"
    )]
    Mismatch {
        /// Which, for example `queue ticketgate.alarms.intake`.
        what: String,
        /// The broker's words, which name the argument.
        broker_says: String,
    },
    /// The machine gives no threads.
    #[error("the bus's threads cannot be started: {0}")]
    Threads(#[from] std::io::Error),
}

/// Signs in at the broker and says good-bye: where and as whom, or why not. Nothing is declared.
///
/// # Errors
/// In words for people; no secret is repeated.
pub async fn sign_in(settings: &AmqpSettings, node: &str) -> Result<String, String> {
    let broker = Broker::new(settings, node);
    let runtime = runtime().map_err(|error| error.to_string())?;
    let asked = runtime.spawn(async move {
        let connection = broker.connect("check", Frames::Short).await?;
        link::close(&connection).await;
        broker.door().await
    });
    let signed_in = asked.await;
    runtime.shutdown_background();
    match signed_in {
        Ok(done) => done.map_err(|trouble| trouble.to_string()),
        Err(_) => Err("the attempt to connect panicked".to_owned()),
    }
}

/// How far the bus has come in its life; it only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Both links.
    Running,
    /// Publishes only.
    Draining,
    /// Nothing more.
    Closed,
}

/// Returns when the bus is in that phase or a later one, or is gone.
async fn reached(phase: &mut watch::Receiver<Phase>, at_least: Phase) {
    let _ = phase.wait_for(|phase| *phase >= at_least).await;
}

/// The bus over RabbitMQ.
pub struct AmqpBus {
    node: String,
    encoding: Encoding,
    publisher: Arc<Publisher>,
    inward: Arc<Health>,
    outward: Arc<Health>,
    phase: watch::Sender<Phase>,
    consuming: Mutex<Option<JoinHandle<()>>>,
    publishing: Mutex<Option<JoinHandle<()>>>,
    /// Taken only on drop.
    runtime: Option<Runtime>,
}

impl AmqpBus {
    /// Starts both links and returns at once; whether they are up, [`Bus::connected`] tells. Before
    /// that the broker is asked once, if it answers, whether our exchanges and queues fit.
    pub async fn start(
        settings: AmqpSettings,
        node: &str,
        inlets: Inlets,
        ids: Arc<dyn Ids>,
    ) -> Result<Self, StartError> {
        settings.check()?;
        let broker = Arc::new(Broker::new(&settings, node));
        let settings = Arc::new(settings);
        let told = Arc::new(Told::default());
        let health = || Arc::new(Health::sharing(told.clone()));
        // From here on the value's drop puts the runtime away: a runtime must not be dropped
        // where others wait on futures.
        let bus = Self {
            node: node.to_owned(),
            encoding: settings.encoding,
            publisher: Arc::new(Publisher::new(&settings)),
            inward: health(),
            outward: health(),
            phase: watch::Sender::new(Phase::Running),
            consuming: Mutex::default(),
            publishing: Mutex::default(),
            runtime: Some(runtime()?),
        };
        let asked =
            bus.runtime().spawn(fits(Arc::clone(&broker), Arc::clone(&settings), told)).await;
        if let Ok(Err(Trouble::Mismatch { what, broker_says })) = asked {
            return Err(StartError::Mismatch { what, broker_says });
        }
        bus.open_links(&broker, &settings, &inlets, &ids);
        Ok(bus)
    }

    fn open_links(
        &self,
        broker: &Arc<Broker>,
        settings: &Arc<AmqpSettings>,
        inlets: &Inlets,
        ids: &Arc<dyn Ids>,
    ) {
        let (broker_in, settings_in) = (Arc::clone(broker), Arc::clone(settings));
        let (inlets, inward, phase) =
            (inlets.clone(), Arc::clone(&self.inward), self.phase.subscribe());
        let ids_in = Arc::clone(ids);
        let consuming = self.runtime().spawn(async move {
            let session =
                || consumer::session(&broker_in, &settings_in, &inlets, &inward, phase.clone());
            let health = Arc::clone(&inward);
            link::keep("in", health, ids_in, phase.clone(), Phase::Draining, session).await;
        });
        let (broker_out, settings_out) = (Arc::clone(broker), Arc::clone(settings));
        let (publisher, outward, phase) =
            (Arc::clone(&self.publisher), Arc::clone(&self.outward), self.phase.subscribe());
        let ids_out = Arc::clone(ids);
        let publishing = self.runtime().spawn(async move {
            let session = || publisher.session(&broker_out, &settings_out, &outward, phase.clone());
            let health = Arc::clone(&outward);
            link::keep("out", health, ids_out, phase.clone(), Phase::Closed, session).await;
        });
        *self.consuming.lock().unwrap_or_else(PoisonError::into_inner) = Some(consuming);
        *self.publishing.lock().unwrap_or_else(PoisonError::into_inner) = Some(publishing);
    }

    /// What keeps the bus from being connected, for people; none: nothing, or it is not known yet.
    pub fn trouble(&self) -> Option<String> {
        self.inward.trouble().or_else(|| self.outward.trouble())
    }

    /// Takes no more deliveries, waits until those under way are settled and acknowledged, and
    /// gives the rest back to the broker. Publishing goes on.
    pub async fn stop_consuming(&self, deadline: Duration) {
        self.advance(Phase::Draining);
        end(&self.consuming, deadline, "in").await;
    }

    /// Stops consuming, if that was not done, and closes publishing: calls that are still under
    /// way fail. Each of the two gets `deadline`.
    pub async fn close(&self, deadline: Duration) {
        self.stop_consuming(deadline).await;
        self.advance(Phase::Closed);
        end(&self.publishing, deadline, "out").await;
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let grows = *phase < to;
            *phase = to.max(*phase);
            grows
        });
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken on drop only")
    }
}

impl Bus for AmqpBus {
    fn publish(&self, message: Outgoing) -> Soon<Result<(), PublishFailed>> {
        let encoded = wire::encode(&message, &self.node, self.encoding);
        match self.publisher.publish(encoded) {
            Err(failed) => Box::pin(std::future::ready(Err(failed))),
            // Not a task of the bus: handing each message to its thread and the outcome back woke two
            // threads for nothing, since lapin writes on a thread of its own.
            Ok(publishing) => Box::pin(publishing),
        }
    }

    fn connected(&self) -> bool {
        let inward = self.inward.up() || *self.phase.borrow() > Phase::Running;
        inward && self.outward.up()
    }
}

impl Drop for AmqpBus {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("amqp")
        .enable_all()
        .build()
}

/// Declares everything once, and goes.
async fn fits(
    broker: Arc<Broker>,
    settings: Arc<AmqpSettings>,
    told: Arc<Told>,
) -> Result<(), Trouble> {
    let connection = broker.connect("start", Frames::Short).await.inspect_err(|trouble| {
        if told.is_news(trouble) {
            warn!(%trouble, "the broker is not there; it will be tried until it is");
        }
    })?;
    let declared = match topology::declare(&connection, &settings).await {
        Ok(()) => topology::declare_beats(&connection, &settings, broker.node()).await,
        Err(trouble) => Err(trouble),
    };
    link::close(&connection).await;
    declared
}

async fn end(task: &Mutex<Option<JoinHandle<()>>>, deadline: Duration, link: &str) {
    let Some(mut task) = task.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    if timeout(deadline, &mut task).await.is_err() {
        warn!(link, "the session did not end in time and is cut off");
        task.abort();
    }
}
