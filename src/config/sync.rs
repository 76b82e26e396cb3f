//! `[[sync]]`: with whom tickets are kept in step, and what the logic makes of it.

use super::sections::Config;
use crate::backends::Description;
use crate::{notices, wire, words};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::actors::{Launch, SyncSettings};
use ticketgate_actors::logic::sync::{From, Pair, Plan, Rules};
use ticketgate_actors::model::{BackendId, STATUS, Side, TicketStatus, Timestamp};

/// Syncs of one service.
const SYNCS_MAX: usize = 64;
/// Fields of one sync.
const FIELDS_MAX: usize = 256;
/// Rows of one page, and changes of one answer.
const BATCH_MAX: u32 = 10_000;
/// A feed asked more often would be all that its lane does.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// What is committed later than this is not waited for.
const OVERLAP_MAX: Duration = Duration::from_secs(24 * 3_600);

/// `[[sync]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncSection {
    /// Its name; unique, and never changed once it is in use.
    pub name: String,
    /// Whose changes come in.
    pub backend: BackendId,
    /// `feed`: read from the backend's `[changes]`; `connector`: sync messages. Absent: the feed, where
    /// the backend's description has one.
    pub from: Option<FromWord>,
    /// Which organizer at that source; with it the source is unique.
    pub organizer: String,
    /// A connector's element; absent: any.
    pub element: Option<String>,
    /// The system whose tickets, by the same ids, get what changed; absent: the source's own.
    pub target: Option<BackendId>,
    /// Out of use: it keeps what it knows and does nothing.
    pub masked: bool,
    /// `automatic`, or `manual`: only when somebody says so.
    pub launch: LaunchWord,
    /// From one run's beginning to the next, at least 1 s.
    #[serde(with = "words::duration")]
    pub every: Duration,
    /// No automatic run before this time.
    pub start: Option<Timestamp>,
    /// No automatic run after this time.
    pub end: Option<Timestamp>,
    /// Changes that are read in one page, 1 to 10,000.
    pub batch: u32,
    /// A feed by time is read again from so long before its last end, at most 1 d.
    #[serde(with = "words::duration")]
    pub overlap: Duration,
    /// Changes that a connector may send, and is sent, at once.
    pub credit: u32,
    /// A field that only one side has changed is that side's, whatever the times say.
    pub three_way: bool,
    /// What they have and we have not is taken over.
    pub take_over: bool,
    /// A connector's ids are its own and not the backend's: tickets are known by our key, and what it
    /// has first is made at the backend.
    pub own_ids: bool,
    /// What is kept from our side is written back to the source; absent: where its description can
    /// update.
    pub write_back: Option<bool>,
    /// Owners become contacts in the target.
    pub contacts: bool,
    /// The field that names an owner's address; given on only with `contacts`.
    pub contact_field: String,
    /// Their words for a status, by TMF621's.
    pub states: BTreeMap<String, String>,
    /// The fields that are kept in step; none: all, by the same names.
    pub field: Vec<FieldSection>,
}

impl Default for SyncSection {
    fn default() -> Self {
        Self {
            name: String::new(),
            backend: BackendId::new(""),
            from: None,
            organizer: String::new(),
            element: None,
            target: None,
            masked: false,
            launch: LaunchWord::Automatic,
            every: Duration::from_secs(300),
            start: None,
            end: None,
            batch: 1_000,
            overlap: Duration::from_secs(600),
            credit: 500,
            three_way: false,
            take_over: true,
            own_ids: false,
            write_back: None,
            contacts: false,
            contact_field: "owner_email".to_owned(),
            states: BTreeMap::new(),
            field: Vec::new(),
        }
    }
}

/// `feed` or `connector`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromWord {
    /// Its feed of changes.
    Feed,
    /// Messages of a connector.
    Connector,
}

/// `automatic` or `manual`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaunchWord {
    /// By the clock.
    Automatic,
    /// By hand.
    Manual,
}

/// `[[sync.field]]`: one field on both sides. Its master is said once, or, as in DataMiner, on both
/// sides' descriptions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldSection {
    /// Its name here.
    pub name: String,
    /// Its name there; absent: the same.
    pub theirs: Option<String>,
    /// `ours` or `theirs`; absent: the more recent ticket's value is kept.
    pub master: Option<Side>,
    /// Our description says that we are master.
    pub ours_is_master: bool,
    /// Our description says that they are.
    pub theirs_is_master: bool,
    /// Their description says that we are master.
    pub there_ours_is_master: bool,
    /// Their description says that they are.
    pub there_theirs_is_master: bool,
}

impl FieldSection {
    /// Who is master; or that both are.
    fn master(&self) -> Result<Option<Side>, &'static str> {
        let ours = self.ours_is_master || self.there_ours_is_master;
        let theirs = self.theirs_is_master || self.there_theirs_is_master;
        match (self.master, ours, theirs) {
            (_, true, true) => Err("says that both sides are master: only one can be"),
            (Some(Side::Ours), _, true) | (Some(Side::Theirs), true, _) => {
                Err("names one master, and its descriptions the other")
            }
            (Some(master), ..) => Ok(Some(master)),
            (None, true, false) => Ok(Some(Side::Ours)),
            (None, false, true) => Ok(Some(Side::Theirs)),
            (None, false, false) => Ok(None),
        }
    }

    /// Only one of the two descriptions names the master.
    fn one_sided(&self) -> bool {
        self.ours_is_master != self.there_ours_is_master
            || self.theirs_is_master != self.there_theirs_is_master
    }
}

impl SyncSection {
    fn from(&self, source: &Description) -> From {
        match (self.from, source.changes()) {
            (Some(FromWord::Feed) | None, Some(page)) => From::Feed(page.by, page.size),
            _ => From::Connector,
        }
    }

    /// Does it read that backend's feed?
    pub(super) fn reads(&self, backend: &str, backends: &[Description]) -> bool {
        let source = backends.iter().find(|one| one.id == self.backend);
        self.backend.as_str() == backend
            && source.is_some_and(|source| matches!(self.from(source), From::Feed(..)))
    }

    /// Whose tickets it is about.
    pub(super) fn home(&self) -> &BackendId {
        self.target.as_ref().unwrap_or(&self.backend)
    }

    /// The fields of which its other side is master.
    pub(super) fn theirs(&self) -> impl Iterator<Item = (usize, &FieldSection)> {
        let fields = self.field.iter().enumerate();
        fields.filter(|(_, field)| field.master() == Ok(Some(Side::Theirs)))
    }

    /// The fields, with the one that makes a contact: nobody switches contacts on to leave that out.
    fn pairs(&self) -> Vec<Pair> {
        let pair = |field: &FieldSection| Pair {
            ours: field.name.clone(),
            theirs: field.theirs.clone().unwrap_or_else(|| field.name.clone()),
            master: field.master().ok().flatten(),
        };
        let mut pairs: Vec<Pair> = self.field.iter().map(pair).collect();
        let contact = &self.contact_field;
        let named = pairs.iter().any(|pair| pair.ours == *contact || pair.theirs == *contact);
        if self.contacts && !pairs.is_empty() && !named {
            let (ours, theirs) = (contact.clone(), contact.clone());
            pairs.push(Pair { ours, theirs, master: Some(Side::Theirs) });
        }
        pairs
    }

    /// What the logic needs.
    fn settings(
        &self,
        backends: &[Description],
        instance: &str,
        elsewhere: BTreeSet<String>,
        notice_pause: Duration,
    ) -> Option<SyncSettings> {
        let find = |id: &BackendId| backends.iter().find(|one| one.id == *id);
        let source = find(&self.backend)?;
        let home = find(self.home())?;
        let from = self.from(source);
        let home_writes = home.writes();
        let plan = Plan {
            name: self.name.clone(),
            source: self.backend.clone(),
            organizer: self.organizer.clone(),
            home: home.id.clone(),
            from,
            rules: Rules {
                pairs: self.pairs(),
                three_way: self.three_way,
                whole: from == From::Connector,
                states: self.states.clone(),
                elsewhere,
            },
            takes_over: self.take_over,
            own_ids: self.own_ids,
            home_writes,
            writes_back: self.write_back.unwrap_or(home_writes) && from != From::Connector,
            contact_field: self.contact_field.clone(),
            contacts: self.contacts,
            credit: self.credit,
            overlap: self.overlap,
            admission: home.lane_settings().admission,
            instance: instance.to_owned(),
        };
        Some(SyncSettings {
            plan: Arc::new(plan),
            launch: Launch {
                automatic: self.launch == LaunchWord::Automatic,
                every: self.every,
                notice_pause,
                start: self.start,
                end: self.end,
            },
            batch: self.batch,
            masked: self.masked,
            element: self.element.clone(),
        })
    }

    /// What is wrong with it: key below `sync[n]`, and what is allowed.
    fn faults(&self, backends: &[Description]) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut wrong = |key: &str, what: String| faults.push((key.to_owned(), what));
        if self.name.trim().is_empty() || self.name.chars().count() > 64 {
            wrong("name", "must have 1 to 64 characters".into());
        }
        let find = |id: &BackendId| backends.iter().find(|one| one.id == *id);
        let known = || backends.iter().map(|one| one.id.as_str()).collect::<Vec<_>>().join(", ");
        let unknown =
            |id: &BackendId| format!("unknown backend {:?}; known: {}", id.as_str(), known());
        match find(&self.backend) {
            None => wrong("backend", unknown(&self.backend)),
            Some(source) => {
                if self.from == Some(FromWord::Feed) && source.changes().is_none() {
                    let what = "this backend's description has no [changes] to be read";
                    wrong("from", what.into());
                }
            }
        }
        if let Some(target) = &self.target {
            match find(target) {
                None => wrong("target", unknown(target)),
                Some(home) if *target != self.backend && !home.writes() => {
                    wrong("target", format!("{target} cannot be updated by its description"));
                }
                Some(_) => {}
            }
        }
        if self.own_ids {
            let writes = find(&self.backend).is_some_and(Description::writes);
            let is_connector =
                find(&self.backend).is_some_and(|it| self.from(it) == From::Connector);
            if !is_connector || !writes || self.target.is_some() {
                let what = "is for a connector that shares the tickets of a ticketing system which we write to";
                wrong("own_ids", what.into());
            }
        }
        if self.every < EVERY_MIN {
            wrong("every", "must be at least 1s".into());
        }
        if self.start.zip(self.end).is_some_and(|(start, end)| end <= start) {
            wrong("end", "must be after start".into());
        }
        if !(1..=BATCH_MAX).contains(&self.batch) {
            wrong("batch", format!("must be 1 to {BATCH_MAX}"));
        }
        if !(1..=BATCH_MAX).contains(&self.credit) {
            wrong("credit", format!("must be 1 to {BATCH_MAX}"));
        }
        if self.overlap > OVERLAP_MAX {
            wrong("overlap", "must be at most 1d".into());
        }
        for (theirs, ours) in &self.states {
            if TicketStatus::parse(ours).is_none() {
                let what = format!(
                    "{ours:?} is no status of TMF621: acknowledged, rejected, pending, held, \
                     inProgress, cancelled, closed, resolved"
                );
                wrong(&format!("states.{theirs}"), what);
            }
        }
        if !self.states.is_empty()
            && !self.field.is_empty()
            && !self.field.iter().any(|field| field.name == STATUS)
        {
            let what =
                "words for a status are given, and no [[sync.field]] named status keeps it in step";
            wrong("states", what.into());
        }
        if self.field.len() > FIELDS_MAX {
            wrong("field", format!("there may be {FIELDS_MAX}"));
        }
        for (n, field) in self.field.iter().enumerate() {
            let theirs = field.theirs.as_ref().unwrap_or(&field.name);
            for (key, name) in [("name", &field.name), ("theirs", theirs)] {
                if let Err(what) = wire::field_name(name) {
                    wrong(&format!("field[{n}].{key}"), what);
                }
            }
            let before = &self.field[..n];
            if before.iter().any(|other| other.name == field.name) {
                wrong(&format!("field[{n}].name"), format!("{:?} is there twice", field.name));
            }
            if before.iter().any(|it| it.theirs.as_ref().unwrap_or(&it.name) == theirs) {
                wrong(&format!("field[{n}].theirs"), format!("{theirs:?} is there twice"));
            }
            if let Err(what) = field.master() {
                wrong(&format!("field[{n}].master"), what.into());
            }
        }
        faults
    }
}

impl Config {
    /// With whom tickets are kept in step.
    pub fn syncs(&self, backends: &[Description]) -> Vec<SyncSettings> {
        let settings = |sync: &SyncSection| {
            let section = self.notices.iter().find(|notices| notices.backend == sync.backend);
            let pause = section.map_or(notices::PAUSE, |notices| notices.pause);
            sync.settings(backends, &self.instance, self.mastered_elsewhere(sync, backends), pause)
        };
        self.sync.iter().filter_map(settings).collect()
    }

    /// What is odd about the syncs, and not wrong: key, and why.
    pub fn sync_warnings(&self) -> Vec<(String, String)> {
        let of = |(n, sync): (usize, &SyncSection)| {
            let warn = move |(m, field): (usize, &FieldSection)| {
                let key = format!("sync[{n}].field[{m}].name");
                let what = "only one side's description names the master: it counts".to_owned();
                field.one_sided().then_some((key, what))
            };
            sync.field.iter().enumerate().filter_map(warn).collect::<Vec<_>>()
        };
        self.sync.iter().enumerate().flat_map(of).collect()
    }

    /// Fields that an alarm's update never writes, by backend: the other side is their master.
    pub fn mastered_by_theirs(&self) -> HashMap<BackendId, HashSet<String>> {
        let mut all: HashMap<BackendId, HashSet<String>> = HashMap::new();
        for sync in self.sync.iter().filter(|sync| !sync.masked) {
            let names = sync.theirs().map(|(_, field)| field.name.clone());
            all.entry(sync.home().clone()).or_default().extend(names);
        }
        all.retain(|_, names| !names.is_empty());
        all
    }

    pub(super) fn sync_faults(&self, backends: &[Description]) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.sync.len() > SYNCS_MAX {
            faults.push(("sync".to_owned(), format!("there may be {SYNCS_MAX}")));
        }
        for (n, sync) in self.sync.iter().enumerate() {
            let below = |(key, what): (String, String)| (format!("sync[{n}].{key}"), what);
            faults.extend(sync.faults(backends).into_iter().map(below));
            let before = &self.sync[..n];
            if before.iter().any(|other| other.name == sync.name) {
                let what = format!("{:?} is there twice", sync.name);
                faults.push((format!("sync[{n}].name"), what));
            }
            let same = |other: &&SyncSection| {
                other.backend == sync.backend
                    && other.organizer == sync.organizer
                    && other.from == sync.from
                    && other.element == sync.element
                    && !other.masked
                    && !sync.masked
            };
            if let Some(other) = before.iter().find(same) {
                let what = format!(
                    "{:?} is active for this source and organizer already: only one can be",
                    other.name
                );
                faults.push((format!("sync[{n}].organizer"), what));
            }
        }
        faults.extend(self.faults_between_syncs(backends));
        faults
    }
}
