//! A changed config file is applied whole or not at all, while the service runs.
//!
//! What always holds: everything is read, checked and built before anything is put in its place; what
//! cannot change without a restart refuses the whole file. A request that was accepted goes on; a call
//! under way ends as it began.

use crate::app::seats;
use crate::config::{self, Changed, ConfigErrors, Loaded, difference};
use crate::telemetry::LogLevel;
use crate::topology::TopologySection;
use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use ticketgate_actors::actors::{Cast, Gateway, Outside, Post, Reseat, SyncSettings, Syncs};
use ticketgate_actors::changes::Change;
use ticketgate_actors::logic::sync::From as Comes;
use ticketgate_actors::ports::StoreError;
use tokio::sync::{Mutex, watch};
use toml::Table;

/// Sections that a reload changes; the log's form is not among them.
const LIVE: [&str; 6] = ["policy", "topology", "routes", "backend", "sync", "log.level"];
/// Keys of a sync that say between whom it is: all that it remembers is of those two.
const SIDES: [&str; 5] = ["name", "backend", "from", "organizer", "target"];

/// Why a file was not applied. Nothing of it is in force.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// The service was started without a file.
    #[error("this service was not started from a config file")]
    NoFile,
    /// The file is wrong.
    #[error("{0}")]
    Wrong(ConfigErrors),
    /// It changes what only a restart can.
    #[error("only a restart can change {}", .0.join(", "))]
    NeedsRestart(Vec<String>),
    /// Something that the file names cannot be had.
    #[error("{0}")]
    Failed(String),
    /// The store did not take the audit.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reloads the config.
pub struct Reloader {
    file: Option<PathBuf>,
    effective: Mutex<Table>,
    outside: Arc<Outside>,
    gateway: Post<Gateway>,
    syncs: Syncs,
    log_level: LogLevel,
    topology: watch::Sender<TopologySection>,
}

impl Reloader {
    /// For a service that runs with this.
    pub fn new(
        loaded: &Loaded,
        cast: &Cast,
        log_level: LogLevel,
        topology: watch::Sender<TopologySection>,
    ) -> Self {
        let effective = Mutex::new(loaded.effective.clone());
        let file = loaded.file.clone();
        let (outside, gateway, syncs) =
            (cast.outside.clone(), cast.gateway.clone(), cast.syncs.clone());
        Self { file, effective, outside, gateway, syncs, log_level, topology }
    }

    /// The file that is read, as it was named at the start.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The config in force, without its secrets.
    pub async fn shown(&self) -> serde_json::Value {
        config::shown(&*self.effective.lock().await)
    }

    /// Reads the file anew and, unless it is only to be looked at, applies it; says what it changes.
    ///
    /// # Errors
    /// Why nothing of it was applied.
    pub async fn reload(
        &self,
        dry_run: bool,
        who: &str,
        reason: &str,
    ) -> Result<Vec<Changed>, NotReloaded> {
        let file = self.file.as_deref().ok_or(NotReloaded::NoFile)?;
        // One at a time, from reading on: else an older file could be applied after a newer one.
        let mut effective = self.effective.lock().await;
        let loaded = config::load(file).map_err(NotReloaded::Wrong)?;
        let changes = difference(&effective, &loaded.effective);
        let syncs = loaded.config.syncs(&loaded.backends);
        let others = self.other_syncs(&syncs);
        let of_others = |key: &str| others.iter().any(|other| key.starts_with(other.as_str()));
        let keys = changes.iter().map(|it| it.key.as_str());
        let mut dead: Vec<String> =
            keys.filter(|key| !is_live(key) && !of_others(key)).map(str::to_owned).collect();
        dead.extend(others.iter().cloned());
        dead.extend(self.turned_syncs(&syncs));
        let new = loaded.backends.iter().any(|it| !self.outside.backends.has(&it.id));
        if !dead.is_empty() || new || loaded.backends.len() != self.outside.backends.now().len() {
            let which =
                if dead.is_empty() { vec!["which backends there are".into()] } else { dead };
            return Err(NotReloaded::NeedsRestart(which));
        }
        let failed = |error: String| NotReloaded::Failed(error);
        let seats = seats(&loaded.backends, &self.outside.clock);
        let seats = seats.map_err(|error| failed(error.to_string()))?;
        let topology = loaded.config.topology.load().await.map_err(failed)?;
        let policy = loaded.config.policy.policy(topology);
        let mut policy = policy.map_err(|faults| failed(format!("policy: {faults:?}")))?;
        policy.mastered = Arc::new(loaded.config.mastered_by_theirs());
        if dry_run {
            return Ok(changes);
        }
        let keys: Vec<&str> = changes.iter().map(|it| it.key.as_str()).collect();
        let audit = Change::Audit {
            who: who.to_owned(),
            what: format!("config reloaded: {}", keys.join(", ")),
            why: reason.to_owned(),
        };
        self.outside.store.apply(audit.into()).await?;
        if changes.iter().any(|it| it.key == "log.level") {
            // The level was checked with the file; a process that does not log has none.
            self.log_level.set(&loaded.config.log.level).ok();
        }
        // Backends that are as they were keep their connections and tokens.
        let is_changed = |id: &str| {
            let key = format!("backend[{id}].");
            changes.iter().any(|it| it.key.starts_with(&key))
        };
        let seats = seats.into_iter().filter(|(id, _)| is_changed(id.as_str())).collect();
        self.outside.backends.replace(seats);
        self.gateway.tell(Reseat);
        *self.outside.routes.write().unwrap_or_else(PoisonError::into_inner) =
            loaded.config.routes();
        self.outside.change_policy(|place| *place = policy);
        self.syncs.replace(syncs);
        self.topology.send_replace(loaded.config.topology.clone());
        *effective = loaded.effective;
        tracing::info!(changed = changes.len(), "the config was reloaded");
        Ok(changes)
    }
}

impl Reloader {
    /// Syncs that come or go.
    fn other_syncs(&self, new: &[SyncSettings]) -> Vec<String> {
        let name = |sync: &SyncSettings| format!("sync[{}]", sync.plan.name);
        let old: Vec<_> = self.syncs.iter().map(|seat| name(&seat.settings())).collect();
        let new: Vec<_> = new.iter().map(name).collect();
        let gone = old.iter().filter(|it| !new.contains(it));
        let come = new.iter().filter(|it| !old.contains(it));
        gone.chain(come).cloned().collect()
    }

    /// Syncs whose source, by its new description, tells of changes in another way: their place in it
    /// would mean nothing.
    fn turned_syncs(&self, new: &[SyncSettings]) -> Vec<String> {
        let way = |from: Comes| match from {
            Comes::Feed(by, _) => (discriminant(&from), Some(by)),
            Comes::Connector => (discriminant(&from), None),
        };
        let turned = |new: &&SyncSettings| {
            let old = self.syncs.find(&new.plan.name).map(|seat| seat.settings());
            old.is_some_and(|old| {
                old.plan.source == new.plan.source && way(old.plan.from) != way(new.plan.from)
            })
        };
        let key = |sync: &SyncSettings| {
            format!("backend[{}].changes (sync {} reads it)", sync.plan.source, sync.plan.name)
        };
        new.iter().filter(turned).map(key).collect()
    }
}

fn is_live(key: &str) -> bool {
    if let Some((of, rest)) = key.strip_prefix("sync[").and_then(|key| key.split_once("].")) {
        return !of.contains(']') && !SIDES.contains(&rest);
    }
    if key.starts_with("notices[") {
        return key.ends_with("].pause");
    }
    // How callbacks are read is built once.
    !key.contains("].callback")
        && LIVE.iter().any(|live| {
            key.strip_prefix(live)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
}
