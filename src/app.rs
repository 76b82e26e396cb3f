//! Wiring: opens what is configured, starts the cast, and stops it in order.
//!
//! The order of starting: store, port, bus, backends, actors, face. Of stopping (rule G16): no more
//! deliveries, no more intents, 20 s for calls, 5 s for confirms, then everything else; what is
//! still under way then is an open intent, and in doubt at the next start.

use crate::amqp::{self, AmqpBus, Inlets};
use crate::archive::FileArchive;
use crate::backends::{self, Description};
use crate::callbacks;
use crate::clock::{RandomIds, SystemClock};
use crate::config::{Config, Loaded, backend_ids};
use crate::http::{self, Access, Face, Streams};
use crate::inproc::InprocBus;
use crate::metrics::Metrics;
use crate::notices;
use crate::reload::Reloader;
use crate::series::{self, Series};
use crate::sources::ByQueue;
use crate::stores::{SqliteSettings, SqliteStore, Watched};
use crate::telemetry::LogLevel;
use crate::topology;
use crate::tripwire::FileTripwire;
use crate::wire::{self, Decoder, Encoding};
use actix_web::dev::ServerHandle;
use anyhow::{Context, anyhow};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;
use ticketgate_actors::actors::{
    AnswerInlet, BackendSeat, Backends, Cast, CastSettings, CommandInlet, ConnectorInlet, Notices,
    OffloadPlan, OffloadTo, Outside, ParkedInlet, StoreLeases, Views,
};
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::{Bus, Clock, Delivery, Ids, Inlet, Reads, Soon, Store, Verdict};
use tokio::sync::watch;

/// Deliveries that are under way when the service stops are settled within this time.
const DELIVERIES_GRACE: Duration = Duration::from_secs(5);

/// A running service.
pub struct Service {
    /// The actors.
    pub cast: Cast,
    /// Where HTTP listens.
    pub address: SocketAddr,
    /// The bus, if it is the in-process one.
    pub inproc: Option<Arc<InprocBus>>,
    amqp: Option<Arc<AmqpBus>>,
    streams: Streams,
    server: ServerHandle,
}

/// Opens the way for deliveries once the intake stands: the bus is needed before it.
#[derive(Default)]
struct LateInlet(OnceLock<Arc<dyn Inlet>>);

impl Inlet for LateInlet {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        match self.0.get() {
            Some(inlet) => inlet.take(batch),
            None => Box::pin(async move { vec![Verdict::GiveBack; batch.len()] }),
        }
    }
}

/// Takes beats where nobody listens.
struct Nobody;

impl Inlet for Nobody {
    fn take(&self, batch: Vec<Delivery>) -> Soon<Vec<Verdict>> {
        Box::pin(async move { vec![Verdict::Settled; batch.len()] })
    }
}

/// Makes the seat of each described backend.
pub fn seats(
    described: &[Description],
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<HashMap<BackendId, BackendSeat>> {
    let mut seats = HashMap::new();
    for description in described {
        let settings = description.lane_settings();
        let port = description.connect(clock.clone()).map_err(|faults| {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("backend {}: {}", description.id, lines.join("; "))
        })?;
        seats.insert(description.id.clone(), BackendSeat { port, settings });
    }
    Ok(seats)
}

/// How long what is over stays, and where it goes.
fn offload_plan(config: &Config) -> anyhow::Result<OffloadPlan> {
    let section = &config.offload;
    let to = if section.enabled {
        let settings = section.settings();
        let settings = settings.map_err(|faults| anyhow!("offload: {faults:?}"))?;
        let archive = FileArchive::open(&section.path).with_context(|| {
            format!("the offload's folder {} cannot be written", section.path.display())
        })?;
        Some(OffloadTo { archive: Arc::new(archive), settings })
    } else {
        None
    };
    Ok(OffloadPlan { to, limits: config.history.limits(), keep: Some(config.store.keep) })
}

/// Starts a service inside a running actix system.
pub async fn start(loaded: &Loaded, log_level: LogLevel) -> anyhow::Result<Service> {
    let Loaded { config, backends: described, sources, .. } = loaded;
    backends::install_tls();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    let mut store = SqliteSettings::new(&config.store.dir);
    store.readers = config.store.readers;
    let store = Arc::new(SqliteStore::open(store, clock.clone(), config.node.clone())?);
    let tripwire =
        FileTripwire::open_in(&config.store.dir).context("the intake tripwire cannot be opened")?;
    // Before the bus and the actors: a service that cannot have its port has taken no alarm, written
    // no intent and sent nothing when it gives up.
    let cannot_listen = || format!("cannot listen on {}", config.http.listen);
    let listener = TcpListener::bind(config.http.listen).with_context(cannot_listen)?;
    let tokens = config.http.required_tokens().map_err(|(key, what)| anyhow!("{key}: {what}"))?;
    let tls = config.http.tls().map_err(|(key, what)| anyhow!("{key}: {what}"))?;
    let known: Vec<BackendId> = backend_ids(described);

    let [alarms, commands, answers, sync, parked, heartbeats] =
        [(); 6].map(|()| Arc::new(LateInlet::default()));
    let (mut amqp, mut inproc) = (None, None);
    let bus: Arc<dyn Bus> = match &config.amqp {
        Some(settings) => {
            let inlets = Inlets {
                alarms: alarms.clone(),
                commands: commands.clone(),
                answers: answers.clone(),
                sync: sync.clone(),
                parked: parked.clone(),
                heartbeats: heartbeats.clone(),
            };
            let bus = AmqpBus::start(settings.clone(), &config.node, inlets, ids.clone()).await?;
            let bus = Arc::new(bus);
            amqp = Some(bus.clone());
            bus
        }
        None => {
            let bus = InprocBus::new(&config.node, Encoding::default(), alarms.clone())
                .with_heartbeats(heartbeats.clone());
            let bus = Arc::new(bus);
            inproc = Some(bus.clone());
            bus
        }
    };
    for (key, what) in config.warnings() {
        tracing::warn!(key, what, "the config is odd");
    }
    let topology = topology::first(&config.topology).await;
    let mut policy =
        config.policy.policy(topology).map_err(|faults| anyhow!("policy: {faults:?}"))?;
    policy.mastered = Arc::new(config.mastered_by_theirs());
    let watched = Arc::new(Watched::new(store.clone(), clock.clone()));
    let writer: Arc<dyn Store> = watched.clone();
    let reads: Arc<dyn Reads> = store;
    let outside = Arc::new(Outside {
        leases: Arc::new(StoreLeases {
            store: writer.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        }),
        backends: Backends::new(seats(described, &clock)?),
        clock,
        ids,
        store: writer,
        reads,
        bus,
        policy: RwLock::new(Arc::new(policy)),
        instance: config.instance.clone(),
        routes: RwLock::new(config.routes()),
        notices: Notices::default(),
        views: Views::default(),
    });
    let settings = CastSettings {
        clients: config.clients.number,
        flow_timeout: config.clients.flow_timeout,
        heartbeat: config.heartbeats.settings(&config.node),
        offload: offload_plan(config)?,
        syncs: config.syncs(described),
        canary: config.canary.plan(&config.node, config.clients.flow_timeout),
    };
    let queues = config.amqp.iter().flat_map(|amqp| amqp.source_queues());
    let of_queue = |(queue, name): (String, &str)| {
        sources.iter().find(|source| source.name == name).map(|source| (queue, source.clone()))
    };
    let decoder = Arc::new(ByQueue {
        ours: Decoder { known_backends: known.clone() },
        sources: queues.filter_map(of_queue).collect(),
        known_backends: known.clone(),
    });
    let cast = Cast::start(outside, &settings, decoder, Arc::new(tripwire));
    // These are set here and nowhere else.
    let _ = alarms.0.set(Arc::new(cast.intake.clone()));
    let _ = commands.0.set(Arc::new(CommandInlet(cast.commands.clone())));
    let _ = answers.0.set(Arc::new(AnswerInlet(cast.answers.clone())));
    let _ = sync.0.set(Arc::new(ConnectorInlet(cast.connectors.clone())));
    let _ = parked.0.set(Arc::new(ParkedInlet(cast.intake.clone())));
    let _ = heartbeats.0.set(match &cast.beats {
        Some(beats) => Arc::new(beats.clone()),
        None => Arc::new(Nobody),
    });

    let callbacks = callbacks::by_backend(&config.callbacks, described)
        .map_err(|(key, what)| anyhow!("callbacks.{key}: {what}"))?;
    let callbacks = Arc::new(callbacks);
    let notices = notices::by_backend(&config.notices)
        .map_err(|(key, what)| anyhow!("notices.{key}: {what}"))?;

    let streams = Streams::default();
    let (section, sections) = watch::channel(config.topology.clone());
    topology::keep_fresh(sections, cast.outside.clone());
    let reloader = Reloader::new(loaded, &cast, log_level.clone(), section);
    // Weak: what takes figures must not keep a stopped service's store open.
    let outside = Arc::downgrade(&cast.outside);
    let limited_to = tokens.limited_to();
    let figures = move || outside.upgrade().map(|outside| series::figures(&outside.views));
    let prefix = config.amqp.as_ref().map(|amqp| amqp.prefix.as_str());
    let of_bus = amqp.clone();
    let face = Face {
        callbacks,
        notices: Arc::new(notices),
        reloader: Arc::new(reloader),
        store: watched,
        sources: sources.clone(),
        cast: cast.clone(),
        known_backends: Arc::new(known),
        metrics: Arc::new(Metrics::default()),
        log_level,
        streams: streams.clone(),
        access: Arc::new(Access::new(tokens, tls.is_some())),
        bus_trouble: Arc::new(move || of_bus.as_ref().and_then(|bus| bus.trouble())),
        node: config.node.clone(),
        series: Series::start(figures, limited_to, cast.outside.clock.clone()),
        debug_page: config.http.debug_page,
        asyncapi: wire::yaml(&wire::asyncapi(&amqp::places(prefix))).into(),
    };
    let (address, server) = http::start(face, listener, tls).with_context(cannot_listen)?;
    let handle = server.handle();
    actix::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server failed");
        }
    });
    tracing::info!(%address, node = %config.node, backends = described.len(), "ready");
    Ok(Service { cast, address, inproc, amqp, streams, server: handle })
}

impl Service {
    /// Stops in order.
    pub async fn stop(self) {
        if let Some(amqp) = &self.amqp {
            amqp.stop_consuming(DELIVERIES_GRACE).await;
        }
        self.cast.stop().await;
        if let Some(amqp) = &self.amqp {
            amqp.close(DELIVERIES_GRACE).await;
        }
        // A graceful stop waits for what is open, and a stream has no end of its own.
        self.streams.close();
        self.server.stop(true).await;
        tracing::info!("stopped");
    }
}

/// Runs a service until SIGTERM or SIGINT.
pub async fn serve(loaded: &Loaded, log_level: LogLevel) -> anyhow::Result<()> {
    let service = start(loaded, log_level).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = tokio::signal::ctrl_c() => tracing::info!("SIGINT: stopping"),
    }
    service.stop().await;
    Ok(())
}
