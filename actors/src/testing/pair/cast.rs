//! Who plays: the feed's reader, the lane, the connector, people on every side; and the store between.

use super::sides::{BY, Copy, Element, System, at_rest};
use super::{Broken, Met};
use crate::changes::{
    Admission, Applied, Change, ChangeSet, Conclude, Context, End, Guard, Intend, Message, Page,
    Record, Refusal, Sweep, TakeCommand, TakeLane, Where, Write,
};
use crate::logic::correlation::correlation_key;
use crate::logic::sync::{From, Plan, anew, before, next_place, wanted};
use crate::model::{
    BackendId, CommandId, Epoch, EventId, EventName, Fields, Found, Kind, Moment, Mono, Op, Origin,
    Reply, Request, RequestId, STATUS, Side, State, SyncAnswer, TicketKey, TicketName,
    TicketStatus, Timestamp, Told,
};
use crate::ports::{FreshIds, StoreError, SyncTx, Tx, Work};
use crate::testing::{Rows, a_sync};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Rows of a page: small, so that there are many.
const PAGE: u32 = 4;
/// How long the feed is read again.
pub(super) const OVERLAP: Duration = Duration::from_secs(600);
/// The longest late commit.
const LATE_MAX_MS: u64 = 500_000;
/// Rounds within which everybody must have come to rest.
const ROUNDS_MAX: u32 = 40;
/// More than that many pages, or requests, have no end.
const AT_ONCE_MAX: u32 = 500;
const FIELDS: [&str; 4] = ["a", "b", "c", "d"];
const WORDS: [&str; 5] = ["red", "green", "blue", "black", "white"];
const STATES: [TicketStatus; 3] =
    [TicketStatus::Acknowledged, TicketStatus::InProgress, TicketStatus::Closed];

/// A person's edit, for the checks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edit {
    pub by: &'static str,
    pub value: Value,
}

pub(super) struct Cast {
    pub rows: Rows,
    dice: fastrand::Rng,
    now_ms: i64,
    ids: u128,
    epoch: Epoch,
    pub feed: Arc<Plan>,
    pub line: Arc<Plan>,
    pub system: System,
    pub element: Element,
    /// A message under way that will come again, or late.
    astray: Vec<Message>,
    /// Pages that will come again, and how much had been written then.
    late_pages: Vec<(Page, u64)>,
    /// How far the feed was read: its watermark, and within a pass.
    reached: (Option<Timestamp>, Option<Timestamp>),
    /// Ids of records that could not be read.
    pub bad: BTreeSet<String>,
    /// One of them has not come at all.
    under_way: Option<String>,
    next_id: u32,
    pub met: Met,
    pub told: Option<Vec<String>>,
    shown: Vec<String>,
    /// What people last did to a field of a ticket, by their id of it.
    pub edits: BTreeMap<(String, String), Vec<Edit>>,
}

fn home() -> BackendId {
    BackendId::new("desk")
}

impl Cast {
    pub fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let three_way = dice.bool();
        // The system is master of `b`; towards the connector that makes it ours.
        let mut feed = a_sync("feed", From::Feed(BY, PAGE));
        let mut line = a_sync("line", From::Connector);
        for pair in line.rules.pairs.iter_mut().filter(|pair| pair.ours == "b") {
            pair.master = Some(Side::Ours);
        }
        (feed.rules.three_way, line.rules.three_way) = (three_way, three_way);
        let skew = |dice: &mut fastrand::Rng| dice.i64(-600_000..=600_000);
        let mut cast = Self {
            rows: Rows::default(),
            now_ms: 1_800_000_000_000,
            ids: 1,
            epoch: Epoch(0),
            feed: Arc::new(feed),
            line: Arc::new(line),
            system: System {
                ahead_ms: skew(&mut dice),
                shouts: [None, None, None, Some("a"), Some("c")][dice.usize(..5)],
                ..System::default()
            },
            element: Element {
                ahead_ms: skew(&mut dice),
                credit: dice.u32(1..6),
                careful: dice.bool(),
                ..Element::default()
            },
            astray: Vec::new(),
            under_way: None,
            late_pages: Vec::new(),
            reached: (None, None),
            bad: BTreeSet::new(),
            next_id: 1,
            met: Met::default(),
            told: None,
            shown: Vec::new(),
            edits: BTreeMap::new(),
            dice,
        };
        cast.take_lane();
        cast
    }

    /// What was met so far.
    pub fn met(&self) -> Met {
        let events = self.rows.all_events();
        Met {
            tickets: self.rows.all_tickets().count() as u64,
            conflicts: events.filter(|it| it.0.event == EventName::Conflict).count() as u64,
            ..self.met
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(told) = &mut self.told {
            told.push(format!("{now} {}", what()));
        }
    }

    fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn fresh(&mut self) -> FreshIds {
        FreshIds {
            ticket: TicketKey(self.uuid()),
            request: RequestId(self.uuid()),
            second: RequestId(self.uuid()),
            events: [EventId(self.uuid()), EventId(self.uuid())],
        }
    }

    /// One transaction; a crash takes it back.
    fn apply(&mut self, change: Change, may_crash: bool) -> Option<Result<Applied, StoreError>> {
        let now = Moment { wall: self.now(), mono: Mono(u64::try_from(self.now_ms).unwrap_or(0)) };
        let applied = self.rows.apply_now(&ChangeSet(vec![change]), Context { now, node: "n1" });
        if may_crash && self.dice.u8(..24) == 0 {
            self.rows.crash();
            self.met.crashes += 1;
            self.tell(|| "crash: the last transaction is lost".into());
            return None;
        }
        self.rows.sync();
        if self.told.is_some() {
            let words = |fields: &Fields| {
                let words = fields.iter().map(|(name, value)| format!("{name}={value}"));
                words.collect::<Vec<_>>().join(" ")
            };
            let rows = &self.rows;
            let state = |ticket: &crate::model::Ticket| {
                let ours = words(&crate::logic::sync::view(ticket));
                let twins = rows.clone_twins(ticket.key);
                let base =
                    |twin: &crate::model::Twin| format!(" | {} {}", twin.sync, words(&twin.agreed));
                let bases: String = twins.iter().map(base).collect();
                format!("{}: {ours}{bases}", ticket.backend_id.as_deref().unwrap_or("-"))
            };
            let all: Vec<_> = rows.all_tickets().map(state).collect();
            if all != self.shown {
                for line in all
                    .iter()
                    .filter(|line| !self.shown.contains(line))
                    .cloned()
                    .collect::<Vec<_>>()
                {
                    self.tell(|| format!("    now {line}"));
                }
                self.shown = all;
            }
        }
        Some(applied.map(|mut applied| applied.remove(0)))
    }

    fn take_lane(&mut self) {
        let take = TakeLane {
            backend: home(),
            settle: Duration::from_secs(1),
            event_id: EventId(self.uuid()),
        };
        if let Some(Ok(Applied::LaneTaken(epoch, _))) = self.apply(Change::TakeLane(take), false) {
            self.epoch = epoch;
        }
    }

    pub fn step(&mut self) -> Result<(), Broken> {
        self.now_ms += self.dice.i64(0..30_000);
        match self.dice.u8(..22) {
            // Some at once: they have one time.
            0..=3 => (0..self.dice.u32(1..4)).for_each(|_| self.edit_there()),
            4..=5 => self.edit_here(),
            6..=7 => self.edit_at_the_connector(),
            8..=11 => drop(self.read_page(true)?),
            12..=14 => drop(self.lane(true)),
            15..=17 => self.message(true),
            18 => self.held(),
            20 => self.late_page()?,
            21 if self.dice.u8(..4) == 0 => self.lose_the_place()?,
            _ => self.sweep(),
        }
        Ok(())
    }

    fn some_fields(&mut self, with_status: bool) -> Fields {
        let mut fields = Fields::new();
        for _ in 0..self.dice.u32(1..3) {
            let name = FIELDS[self.dice.usize(..FIELDS.len())];
            fields.insert(name.into(), WORDS[self.dice.usize(..WORDS.len())].into());
        }
        if with_status && self.dice.u8(..4) == 0 {
            let status = STATES[self.dice.usize(..STATES.len())];
            fields.insert(STATUS.into(), status.as_str().into());
        }
        fields
    }

    fn note(&mut self, id: &str, by: &'static str, fields: &Fields, had: &Fields) {
        self.met.edits += 1;
        // Who writes what is there already has changed nothing.
        for (name, value) in fields.iter().filter(|(name, value)| had.get(*name) != Some(value)) {
            let edit = Edit { by, value: value.clone() };
            self.edits.entry((id.to_owned(), name.clone())).or_default().push(edit);
        }
    }

    fn edit_there(&mut self) {
        let known: Vec<String> = self.system.rows.keys().cloned().collect();
        let new = known.is_empty() || known.len() < 6 && self.dice.u8(..4) == 0;
        let id = if new {
            self.next_id += 1;
            format!("T{}", self.next_id)
        } else {
            known[self.dice.usize(..known.len())].clone()
        };
        if self.system.rows.get(&id).is_some_and(|row| row.deleted) {
            return;
        }
        let mut fields = self.some_fields(true);
        if new {
            fields.insert(STATUS.into(), TicketStatus::Acknowledged.as_str().into());
        }
        let late = match self.dice.u8(..3) {
            0 => Duration::from_millis(self.dice.u64(..LATE_MAX_MS)),
            _ => Duration::ZERO,
        };
        let now = self.now();
        self.tell(|| format!("there: {id} {fields:?}, seen {late:?} later"));
        let had = self.system.rows.get(&id).map(|row| row.fields.clone()).unwrap_or_default();
        self.system.edit(&id, &fields, now, late);
        if self.dice.u8(..40) == 0 {
            self.tell(|| format!("there: {id} is of the future"));
            self.system.dream(&id, now);
        }
        self.note(&id, "there", &fields, &had);
    }

    /// A command of ours: an update of a ticket, or a create.
    fn edit_here(&mut self) {
        let tickets = self.rows.tickets_of_after(&home(), 0, 100).unwrap_or_default();
        let create = tickets.is_empty() || self.dice.u8(..6) == 0 && tickets.len() < 8;
        let id = CommandId(self.uuid());
        let fields = self.some_fields(false);
        let write = if create {
            Write::Create { backend: home(), kind: Kind::Incident, alarm: None }
        } else {
            let (_, ticket) = &tickets[self.dice.usize(..tickets.len())];
            Write::Change(Op::Update, TicketName::Key(ticket.key))
        };
        let ticket = TicketKey(self.uuid());
        let origin = Origin::Command { id: id.to_string() };
        let take = TakeCommand {
            id,
            body_hash: [0; 16],
            write,
            fields: fields.clone(),
            guard: Guard::None,
            reply: Reply::default(),
            request: RequestId(self.uuid()),
            ticket,
            correlation_key: correlation_key("pair", &home(), Kind::Incident, &origin),
            admission: Admission::default(),
        };
        let taken = self.apply(Change::Command(Box::new(take)), false);
        if let Some(Ok(Applied::Command(taken))) = taken {
            let name = taken.ticket.backend_id.clone();
            self.tell(|| format!("here: {} {name:?} {fields:?}", taken.ticket.key));
            // A create's edits are of the ticket that the system will name.
            let key = taken.ticket.correlation_key.0.clone();
            let made = self.system.rows.iter().find(|(_, row)| row.key == key);
            let id = name.or_else(|| made.map(|(id, _)| id.clone())).unwrap_or(key);
            // A command is written when its turn comes, whatever is there by then.
            self.note(&id, "here", &fields, &Fields::new());
        }
    }

    fn edit_at_the_connector(&mut self) {
        let known: Vec<String> = self.element.table.keys().cloned().collect();
        if known.is_empty() {
            return;
        }
        let id = known[self.dice.usize(..known.len())].clone();
        let fields = self.some_fields(true);
        let at = self.element.clock(self.now());
        self.tell(|| format!("connector: {id} {fields:?}"));
        let had = self.element.table.get(&id).map(|copy| copy.fields.clone()).unwrap_or_default();
        self.note(&id, "connector", &fields, &had);
        if let Some(copy) = self.element.table.get_mut(&id) {
            let changed = fields.iter().filter(|(name, value)| had.get(*name) != Some(value));
            copy.own.extend(changed.map(|(name, _)| (name.clone(), at)));
            copy.fields.extend(fields);
            copy.changed_at = at;
        }
    }

    /// Reads one page of the feed. What is lost on the way is read again.
    fn read_page(&mut self, faults: bool) -> Result<bool, Broken> {
        let Ok(row) = SyncTx::sync(&mut self.rows, "feed") else { return Ok(true) };
        let work = wanted(BY, &row.place, OVERLAP, PAGE);
        let now = self.now();
        let page = self.system.page(&work, now);
        let clock = self.system.clock(now);
        if faults && self.dice.u8(..10) == 0 {
            self.tell(|| "a page is lost".into());
            return Ok(true);
        }
        let slipped = before(BY, &row.place).is_some_and(|(work, last)| {
            let page = self.system.page(&work, now);
            page.tickets.first().is_none_or(|row| row.backend_id != last)
        });
        let turn = match slipped {
            true => anew(&row.place, &page),
            false => next_place(BY, &row.place, &page, (OVERLAP, clock)),
        };
        let mut records = Vec::new();
        for found in page.tickets {
            let told = crate::actors::told_of_feed(found, now, clock);
            records.push(Record { told, ids: self.fresh() });
        }
        if faults && self.dice.u8(..12) == 0 {
            let id = format!("bad{}", self.dice.u8(..3));
            let at = self.dice.usize(..=records.len());
            let told = Err((id, "cannot be read".to_owned()));
            records.insert(at, Record { told, ids: self.fresh() });
        }
        self.tell(|| format!("page {work:?}: {:?}", brief(&records)));
        let at = Where::Feed {
            begins: at_rest(&row.place),
            from: Box::new(row.place),
            to: Box::new(turn.place),
            ends: !turn.more,
            complete: false,
        };
        let page = Page { plan: self.feed.clone(), records, at };
        self.met.pages += 1;
        if faults && self.dice.u8(..6) == 0 {
            self.late_pages.push((page.clone(), self.system.written));
        }
        self.page_comes(page, faults)?;
        Ok(turn.more)
    }

    /// A page reaches the store: its place goes on, and never back.
    fn page_comes(&mut self, page: Page, faults: bool) -> Result<(), Broken> {
        let clock = self.system.clock(self.now());
        let bad = page.records.iter().filter_map(|it| Some(it.told.as_ref().err()?.0.clone()));
        let bad: Vec<_> = bad.collect();
        match self.apply(Change::SyncPage(Box::new(page)), faults) {
            Some(Err(StoreError::Refused(Refusal::StaleVersion))) | None => return Ok(()),
            Some(Err(error)) => {
                return Err(Broken { rule: "S6", what: format!("a page was refused: {error}") });
            }
            Some(Ok(_)) => self.bad.extend(bad),
        }
        let Ok(row) = SyncTx::sync(&mut self.rows, "feed") else { return Ok(()) };
        let reached = row.place.since.max(row.place.watermark);
        let broken = |rule, what: String| Err(Broken { rule, what });
        if row.place.watermark > Some(clock) {
            return broken("S7", format!("{:?} at {clock} there", row.place));
        }
        if row.place.watermark < self.reached.0
            || row.place.watermark == self.reached.0
                && reached < self.reached.1
                && !at_rest(&row.place)
        {
            return broken("S1", format!("{:?} after {:?}", row.place, self.reached));
        }
        self.reached = (row.place.watermark, if at_rest(&row.place) { None } else { reached });
        Ok(())
    }

    /// One that came before comes once more.
    fn late_page(&mut self) -> Result<(), Broken> {
        if self.late_pages.is_empty() {
            return Ok(());
        }
        let at = self.dice.usize(..self.late_pages.len());
        let (mut page, written) = self.late_pages.remove(at);
        // What was written meanwhile, the lane would have asked for after the page.
        if written != self.system.written {
            return Ok(());
        }
        for record in &mut page.records {
            record.ids = self.fresh();
        }
        self.met.astray += 1;
        self.tell(|| "a page comes once more".into());
        self.page_comes(page, true)
    }

    /// The source does not know its place any more: the feed is read from its beginning.
    fn lose_the_place(&mut self) -> Result<(), Broken> {
        self.tell(|| "the feed's place is lost".into());
        let reason = "410 Gone".to_owned();
        let failed = Change::SyncFailed { name: "feed".into(), reason, lost: true };
        self.apply(failed, false);
        self.reached = (None, None);
        self.late_pages.clear();
        let place = SyncTx::sync(&mut self.rows, "feed").map(|row| row.place).unwrap_or_default();
        match wanted(BY, &place, OVERLAP, PAGE) {
            Work::Changes { cursor: None, since: None, offset: 0, .. } => Ok(()),
            work => Err(Broken { rule: "S3", what: format!("no full pass, but {work:?}") }),
        }
    }

    /// A full pass over what both sides have says nothing, and writes nothing.
    pub fn full_pass(&mut self) -> Result<(), Broken> {
        // What was never compared since it was merged is verified by the first; and what a source writes in
        // its own way is written once more by some.
        for last in [false, false, false, false, true] {
            let before = (self.rows.all_events().count(), self.system.written);
            self.lose_the_place()?;
            self.all_of("pages", |cast| cast.read_page(false))?;
            self.all_of("requests", |cast| Ok(cast.lane(false)))?;
            let after = (self.rows.all_events().count(), self.system.written);
            if last && before != after {
                let what =
                    format!("{} events and {} writes", after.0 - before.0, after.1 - before.1);
                return Err(Broken { rule: "S3", what: format!("a full pass made {what}") });
            }
        }
        Ok(())
    }

    /// Two people change one field, one on each side, one later: the later one's value is kept, whatever
    /// the clocks say (rule S2). At one time, what is here stays (rule S4).
    pub fn duel(&mut self) -> Result<(), Broken> {
        let field = if self.system.shouts == Some("c") { "d" } else { "c" };
        let known: Vec<String> = self.element.table.keys().cloned().collect();
        if known.is_empty() {
            return Ok(());
        }
        let id = known[self.dice.usize(..known.len())].clone();
        let there_last = self.dice.bool();
        self.now_ms += 60_000;
        for there in [!there_last, there_last] {
            let value = if there { "there" } else { "connector" };
            let fields = Fields::from_iter([(field.to_owned(), Value::from(value))]);
            self.tell(|| format!("duel over {id}.{field}: {value}"));
            let now = self.now();
            if there {
                self.note(&id, "there", &fields, &Fields::new());
                self.system.edit(&id, &fields, now, Duration::ZERO);
            } else {
                let at = self.element.clock(now);
                self.set_at_the_connector(&id, fields, at);
            }
            self.now_ms += 30_000;
        }
        self.quiet()?;
        let won = if there_last { "there" } else { "connector" };
        self.has(&id, field, won, "S2", "was changed last")?;
        if there_last || self.feed.rules.three_way {
            return Ok(());
        }
        let key = self.rows.all_tickets().find(|it| it.backend_id.as_ref() == Some(&id));
        let edited = key.map(|ticket| ticket.edited()).unwrap_or_default();
        let ahead = self.element.ahead_ms;
        let at = Timestamp::from_millis(edited.as_nanos() / 1_000_000 + ahead);
        self.tell(|| format!("duel over {id}.{field}: at the time of the last change"));
        let fields = Fields::from_iter([(field.to_owned(), Value::from("tie"))]);
        self.set_at_the_connector(&id, fields, at);
        self.message(false);
        self.has(&id, field, won, "S4", "was here, at the same time")?;
        self.quiet()
    }

    fn set_at_the_connector(&mut self, id: &str, fields: Fields, at: Timestamp) {
        self.note(id, "connector", &fields, &Fields::new());
        if let Some(copy) = self.element.table.get_mut(id) {
            copy.own.extend(fields.keys().map(|name| (name.clone(), at)));
            copy.fields.extend(fields);
            copy.changed_at = at;
        }
    }

    fn has(
        &self,
        id: &str,
        field: &str,
        value: &str,
        rule: &'static str,
        why: &str,
    ) -> Result<(), Broken> {
        let ticket = self.rows.all_tickets().find(|it| it.backend_id.as_deref() == Some(id));
        let ours = ticket.and_then(|ticket| ticket.fields.get(field).cloned());
        match ours.as_ref().and_then(Value::as_str) == Some(value) {
            true => Ok(()),
            false => {
                Err(Broken { rule, what: format!("{id}.{field} is {ours:?}, but {value} {why}") })
            }
        }
    }

    /// The lane makes the call of the first request that waits, and knows what became of it; or the
    /// process dies in between, and the next one finds out.
    fn lane(&mut self, faults: bool) -> bool {
        if let Some(request) = self.in_state(State::InDoubt) {
            let found = self.found(&request);
            self.conclude(&request, End::Done(found));
            return true;
        }
        let Some(request) = self.in_state(State::Accepted) else { return false };
        let front = self.rows.first_open_request(request.ticket).ok().flatten();
        let request = front.unwrap_or(request);
        if request.state != State::Accepted {
            return true;
        }
        let intend = Intend {
            backend: home(),
            epoch: self.epoch,
            request: request.id,
            attempts: request.attempts,
            level: None,
        };
        let Some(Ok(Applied::Intended(request, ticket))) =
            self.apply(Change::Intend(Box::new(intend)), false)
        else {
            return true;
        };
        self.now_ms += self.dice.i64(1..2_000);
        let id = match request.op {
            Op::Create => {
                self.next_id += 1;
                format!("T{}", self.next_id)
            }
            _ => ticket.backend_id.clone().unwrap_or_default(),
        };
        let mut fields = request.fields.clone();
        match request.op {
            Op::Create => {
                let open = TicketStatus::Acknowledged.as_str();
                fields.insert(STATUS.into(), open.into());
            }
            Op::Close => {
                fields.insert(STATUS.into(), TicketStatus::Closed.as_str().into());
            }
            Op::Reopen => {
                fields.insert(STATUS.into(), TicketStatus::Acknowledged.as_str().into());
            }
            Op::Update => {}
        }
        let now = self.now();
        self.tell(|| format!("lane: {} {id} {fields:?}", request.op.as_str()));
        self.system.edit(&id, &fields, now, Duration::ZERO);
        self.system.written += 1;
        if request.op == Op::Create {
            if let Some(row) = self.system.rows.get_mut(&id) {
                row.key.clone_from(&ticket.correlation_key.0);
            }
            let key = ticket.correlation_key.0.clone();
            self.rename_edits(&key, &id);
        }
        if faults && self.dice.u8(..6) == 0 {
            self.met.crashes += 1;
            self.tell(|| "crash: the answer is lost".into());
            self.take_lane();
            return true;
        }
        let mut found = self.found(&request);
        found.backend_id = id;
        self.conclude(&request, End::Done(found));
        true
    }

    fn rename_edits(&mut self, from: &str, to: &str) {
        let of: Vec<_> = self.edits.keys().filter(|(id, _)| id == from).cloned().collect();
        for key in of {
            if let Some(mut edits) = self.edits.remove(&key) {
                let place = self.edits.entry((to.to_owned(), key.1)).or_default();
                edits.append(place);
                *place = edits;
            }
        }
    }

    /// What the system answers, or a look shows.
    fn found(&mut self, request: &Request) -> Found {
        let ticket = self.rows.ticket(request.ticket).ok().flatten();
        let key = ticket.as_ref().map(|ticket| ticket.correlation_key.0.clone());
        let ours = |row: &super::sides::Row| Some(&row.key) == key.as_ref();
        let by_key = self.system.rows.iter().find(|(_, row)| ours(row)).map(|(id, _)| id.clone());
        let id = ticket.and_then(|ticket| ticket.backend_id).or(by_key).unwrap_or_default();
        let status = self.system.rows.get(&id).and_then(|row| row.fields.get(STATUS).cloned());
        let status = status.as_ref().and_then(|it| it.as_str()).and_then(TicketStatus::parse);
        Found { backend_id: id, status, ..Found::default() }
    }

    fn conclude(&mut self, request: &Request, end: End) {
        let conclude = Conclude {
            backend: home(),
            epoch: self.epoch,
            request: request.id,
            attempt: request.attempts,
            end,
            event_ids: [EventId(self.uuid()), EventId(self.uuid())],
            by_later_answer: false,
            watch_looks: 0,
        };
        if let Some(Err(error)) = self.apply(Change::Conclude(Box::new(conclude)), false) {
            self.tell(|| format!("{} is not concluded: {error}", request.id));
        }
    }

    pub fn in_state(&mut self, state: State) -> Option<Request> {
        self.rows.requests_in(&home(), state).ok()?.into_iter().next()
    }

    /// The connector tells what changed in its table, and takes its answer.
    fn message(&mut self, faults: bool) {
        if faults && !self.astray.is_empty() && self.dice.u8(..2) == 0 {
            // One that came before, or is late.
            let at = self.dice.usize(..self.astray.len());
            let message = self.astray.remove(at);
            self.under_way = self.under_way.take().filter(|id| *id != message.id);
            self.met.astray += 1;
            self.tell(|| format!("message {} comes astray", message.id));
            let answered = self.apply(Change::SyncMessage(Box::new(message.clone())), false);
            if let Some(Ok(Applied::SyncAnswered(answered))) = answered
                && !answered.repeat
            {
                self.was_told(&message);
                self.take_answer(&answered.answer);
            }
            return;
        }
        let complete = self.dice.u8(..5) == 0 || !faults;
        let message = self.compose(complete);
        self.tell(|| {
            let what = brief(&message.records);
            format!("message {}{}: {what:?}", message.id, if complete { ", complete" } else { "" })
        });
        if faults {
            match self.dice.u8(..10) {
                // Delivered twice.
                0 => self.astray.push(message.clone()),
                // Overtaken by those after it.
                1 => {
                    let simple = !self.element.careful;
                    // One that says nothing of what it has taken has no two under way.
                    if !(simple && self.under_way.is_some()) {
                        self.under_way = Some(message.id.clone());
                        self.astray.push(message);
                        return;
                    }
                }
                _ => {}
            }
        }
        loop {
            self.met.messages += 1;
            match self.apply(Change::SyncMessage(Box::new(message.clone())), faults) {
                Some(Ok(Applied::SyncAnswered(answered))) => {
                    if faults && self.dice.u8(..6) == 0 {
                        self.tell(|| "its answer is lost: it comes again".into());
                        continue;
                    }
                    self.was_told(&message);
                    self.take_answer(&answered.answer);
                    let mut answer = answered.answer;
                    while answer.more && (!faults || self.dice.u8(..4) > 0) {
                        match self.ask_on(&answer.cursor) {
                            Some(next) => answer = next,
                            None => break,
                        }
                    }
                    return;
                }
                Some(other) => {
                    self.tell(|| format!("{other:?}"));
                    return;
                }
                None => {}
            }
        }
    }

    fn compose(&mut self, complete: bool) -> Message {
        let (now, clock) = (self.now(), self.element.clock(self.now()));
        self.element.messages += 1;
        let mut records = Vec::new();
        let ids: Vec<String> = self.element.table.keys().cloned().collect();
        for id in ids {
            let Some(copy) = self.element.table.get(&id) else { continue };
            if copy.own.is_empty() && !complete {
                continue;
            }
            let told = Told {
                backend_id: Some(id),
                key: None,
                correlation_key: Some(String::new()),
                kind: Kind::Incident,
                fields: copy.fields.clone(),
                backend_status: None,
                url: None,
                said_at: copy.changed_at,
                changed_at: by_ours(copy.changed_at, now, clock),
                deleted: false,
            };
            records.push(Record { told: Ok(told), ids: self.fresh() });
        }
        Message {
            plan: self.line.clone(),
            id: format!("m{}", self.element.messages),
            polled_at: Some(clock),
            records,
            credit: Some(self.element.credit),
            cursor: self.element.careful.then_some(self.element.cursor),
            pass: complete.then(|| format!("p{}", self.element.messages)),
            complete,
        }
    }

    fn ask_on(&mut self, cursor: &str) -> Option<SyncAnswer> {
        self.element.messages += 1;
        let message = Message {
            plan: self.line.clone(),
            id: format!("m{}", self.element.messages),
            polled_at: Some(self.element.clock(self.now())),
            records: Vec::new(),
            credit: Some(self.element.credit),
            cursor: cursor.parse().ok(),
            pass: None,
            complete: false,
        };
        let answered = self.apply(Change::SyncMessage(Box::new(message)), false);
        let Some(Ok(Applied::SyncAnswered(answered))) = answered else { return None };
        self.take_answer(&answered.answer);
        Some(answered.answer)
    }

    /// An edit is told once the message that carried it is answered.
    fn was_told(&mut self, message: &Message) {
        for told in message.records.iter().filter_map(|record| record.told.as_ref().ok()) {
            if let Some(copy) = self.element.table.get_mut(&told.id()) {
                copy.own.retain(|_, at| *at > told.said_at);
            }
        }
    }

    /// What it is sent is what it has; an edit that it has not told yet stays, and is told next.
    fn take_answer(&mut self, answer: &SyncAnswer) {
        let clock = self.element.clock(self.now());
        self.element.cursor = self.element.cursor.max(answer.cursor.parse().unwrap_or(0));
        for event in &answer.events {
            let Some(id) = event.ticket.backend_id.clone() else { continue };
            let mut fields = event.ticket.fields.clone();
            fields.insert(STATUS.into(), event.ticket.status.as_str().into());
            self.tell(|| format!("connector takes {} {id} {fields:?}", event.event.as_str()));
            let copy = self.element.table.entry(id).or_insert_with(|| Copy {
                fields: Fields::new(),
                changed_at: clock,
                own: BTreeMap::new(),
            });
            for name in copy.own.keys() {
                if let Some(value) = copy.fields.get(name) {
                    fields.insert(name.clone(), value.clone());
                }
            }
            if copy.own.is_empty() && copy.fields != fields {
                copy.changed_at = clock;
            }
            copy.fields = fields;
        }
    }

    fn held(&mut self) {
        let records = (0..16)
            .map(|_| Record { told: Err((String::new(), String::new())), ids: self.fresh() });
        let records = records.collect();
        let at = Where::Held { after: String::new(), limit: 16 };
        let page = Page { plan: self.feed.clone(), records, at };
        self.apply(Change::SyncPage(Box::new(page)), false);
    }

    fn sweep(&mut self) {
        for plan in [self.feed.clone(), self.line.clone()] {
            let ids = (0..32).map(|_| self.fresh()).collect();
            self.apply(Change::SyncSweep(Box::new(Sweep { plan, ids })), false);
        }
    }

    /// Does something until there is no more of it to do.
    fn all_of(
        &mut self,
        what: &str,
        mut one: impl FnMut(&mut Self) -> Result<bool, Broken>,
    ) -> Result<(), Broken> {
        for _ in 0..AT_ONCE_MAX {
            if !one(self)? {
                return Ok(());
            }
        }
        Err(Broken { rule: "S5", what: format!("no end of {what} though nobody edits") })
    }

    /// Nobody edits any more: everything is carried to its end.
    pub fn quiet(&mut self) -> Result<(), Broken> {
        self.tell(|| "quiet".into());
        self.astray.clear();
        self.late_pages.clear();
        let mut at_rest_for = 0;
        for _ in 0..ROUNDS_MAX {
            let before =
                (self.system.written, self.element.table.clone(), self.system.rows.clone());
            self.now_ms += 700_000;
            self.all_of("pages", |cast| cast.read_page(false))?;
            self.all_of("requests", |cast| Ok(cast.lane(false)))?;
            self.held();
            self.all_of("requests", |cast| Ok(cast.lane(false)))?;
            self.sweep();
            self.message(false);
            self.message(false);
            let after = (self.system.written, self.element.table.clone(), self.system.rows.clone());
            at_rest_for = if before == after { at_rest_for + 1 } else { 0 };
            if at_rest_for == 4 {
                return Ok(());
            }
        }
        Err(Broken { rule: "S5", what: format!("not at rest after {ROUNDS_MAX} quiet rounds") })
    }
}

fn by_ours(at: Timestamp, now: Timestamp, clock: Timestamp) -> Timestamp {
    match clock > now {
        true => at.minus(clock.since(now)),
        false => at.plus(now.since(clock)),
    }
    .min(now)
}

fn brief(records: &[Record]) -> Vec<String> {
    let one = |record: &Record| match &record.told {
        Ok(told) => format!("{} {:?} at {}", told.id(), told.fields, told.said_at),
        Err((id, why)) => format!("{id}: {why}"),
    };
    records.iter().map(one).collect()
}
