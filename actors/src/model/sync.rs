//! Two-way sync: what another side says of a ticket, and what is remembered of it (docs/sync.md).

use super::{
    BackendId, Conflict, EventId, EventName, Fields, Kind, RequestId, TicketEvent, TicketKey,
    TicketStatus, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Under this name a ticket's status stands among its fields while two sides are merged.
pub const STATUS: &str = "status";

/// One side of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Our store.
    Ours,
    /// The other system.
    Theirs,
}

impl Side {
    /// The word in config and on faces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

/// What the other side says of one ticket, by our names of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Theirs; a connector's ticket that was made here may have none yet.
    pub backend_id: Option<String>,
    /// Ours, where they know it.
    pub key: Option<TicketKey>,
    /// What we wrote into it to find it again; empty: it carries none; none: they did not say.
    #[serde(default)]
    pub correlation_key: Option<String>,
    /// Incident, change or problem.
    pub kind: Kind,
    /// All that they say, the status among it ([`STATUS`]).
    pub fields: Fields,
    /// Their own word for the status.
    pub backend_status: Option<String>,
    /// Where people look at it.
    pub url: Option<String>,
    /// When it changed there, by their clock: orders what one side says.
    pub said_at: Timestamp,
    /// The same by our clock, as far as theirs is known: compares the two sides.
    pub changed_at: Timestamp,
    /// It is there no more.
    pub deleted: bool,
}

impl Told {
    /// What it is listed under: theirs, else ours.
    pub fn id(&self) -> String {
        let ours = || self.key.map(|key| key.to_string());
        self.backend_id.clone().or_else(ours).unwrap_or_default()
    }

    /// Said before that was said which stands at `at` by their clock. A time that lies in their own future
    /// orders nothing: what they say after they have put it right would be old until then (rule S7).
    pub fn is_old_beside(&self, at: Timestamp, now: Timestamp) -> bool {
        let (said, by_ours) = (self.said_at, self.changed_at);
        let their_now = match said > by_ours {
            true => now.plus(said.since(by_ours)),
            false => now.minus(by_ours.since(said)),
        };
        said < at && at <= their_now
    }
}

/// What goes to a connector with its next answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    /// Its place in the line of that sync.
    pub n: u64,
    /// What it is told.
    pub event: EventName,
    /// Stable while it waits.
    pub event_id: EventId,
}

/// A field that the other side does not take as it is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stubborn {
    /// What they say instead; null: nothing.
    pub theirs: Value,
    /// How often it was written all the same.
    pub writes: u32,
}

/// One ticket as one sync knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    /// Its row's number, given by the store; 0 before.
    #[serde(skip)]
    pub n: u64,
    /// Which sync.
    pub sync: String,
    /// Which ticket.
    pub ticket: TicketKey,
    /// What they said last, and what has been written there since.
    pub theirs: Fields,
    /// When that changed, by their clock; none: they never said anything.
    pub said_at: Option<Timestamp>,
    /// What both sides had in common last: the base of a three-way merge.
    pub agreed: Fields,
    /// What we last wrote there: it is not written again while they do not change it (rule S5).
    pub written: Fields,
    /// The status that it has there: as they said it last, or as we wrote it since.
    #[serde(default)]
    pub status: Option<TicketStatus>,
    /// What they kept making of it, though it was written.
    #[serde(default)]
    pub stubborn: BTreeMap<String, Stubborn>,
    /// The other side is the ticket's own backend: what is written there, it has.
    #[serde(default)]
    pub itself: bool,
    /// Both sides were equal then, and neither has changed since.
    pub verified_at: Option<Timestamp>,
    /// It is there no more.
    pub gone: bool,
    /// The last pass that named it.
    pub seen: u64,
    /// The last request that this sync made for it.
    pub request: Option<RequestId>,
    /// Waits for its connector.
    pub out: Option<Out>,
    /// What its connector was sent last.
    pub sent: Fields,
    /// Under this place of the line; none: it is known to have it.
    pub sent_as: Option<u64>,
    /// With the answer to a message that it had sent then, by its clock.
    #[serde(default)]
    pub sent_for: Option<Timestamp>,
    /// It had that, and has said something else since: that it says the same again is a change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved_on: bool,
    /// What it was sent before that, under which place, with the answer to which message, while nobody knows
    /// whether it has taken even that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<(Fields, (u64, Option<Timestamp>))>,
    /// What it has taken last: under which place of the line, with the answer to which message.
    #[serde(default)]
    pub taken: (u64, Option<Timestamp>),
    /// What it had before that, and since when.
    #[serde(default)]
    pub before: (Fields, (u64, Option<Timestamp>)),
    /// Fields that were written there lately: a page that was asked for before may come after that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overwritten: BTreeMap<String, Overwritten>,
}

/// A field that was written at the other side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overwritten {
    /// What it had before; null: nothing.
    pub had: Value,
    /// When its write ended, by our clock.
    pub at: Timestamp,
    /// Nobody had looked at it since it was on its way.
    pub unseen: bool,
}

/// A page is under way no longer than this: it is waited for 180 s, and so is what is asked for after it.
const PAGE_UNDER_WAY_MAX: Duration = Duration::from_secs(600);

impl Twin {
    /// One of which the other side has said nothing yet.
    pub fn new(sync: &str, ticket: TicketKey) -> Self {
        Self {
            n: 0,
            sync: sync.to_owned(),
            ticket,
            theirs: Fields::new(),
            said_at: None,
            agreed: Fields::new(),
            written: Fields::new(),
            status: None,
            stubborn: BTreeMap::new(),
            itself: false,
            verified_at: None,
            gone: false,
            seen: 0,
            request: None,
            out: None,
            sent: Fields::new(),
            sent_as: None,
            sent_for: None,
            moved_on: false,
            earlier: None,
            taken: (0, None),
            before: (Fields::new(), (0, None)),
            overwritten: BTreeMap::new(),
        }
    }

    /// A field has this value there now, null: none, since its write ended at that time.
    pub fn was_written(&mut self, name: &str, value: Value, unseen: bool, at: Timestamp) {
        self.overwritten.retain(|_, it| it.at.plus(PAGE_UNDER_WAY_MAX) > at);
        self.agreed.remove(name);
        let was = self.theirs.remove(name).unwrap_or_default();
        // A status is written, and said by the answer: it had one value before that.
        let had = self.overwritten.get(name).filter(|it| it.at == at);
        let had = had.map_or(was, |it| it.had.clone());
        // What was emptied there is not there.
        if !value.is_null() {
            self.agreed.insert(name.to_owned(), value.clone());
            self.theirs.insert(name.to_owned(), value);
        }
        self.overwritten.insert(name.to_owned(), Overwritten { had, at, unseen });
    }

    /// How that side stood when it was asked at that time, where something was written there since.
    pub fn stood(&self, asked_at: Timestamp) -> Option<AsOf> {
        let mut as_of = AsOf::default();
        let since = self.overwritten.iter().filter(|(_, it)| it.at >= asked_at);
        let since: Vec<_> = since.collect();
        if since.is_empty() {
            return None;
        }
        as_of.theirs.clone_from(&self.theirs);
        for (name, it) in since {
            as_of.unsure |= it.unseen;
            as_of.over.insert(name.clone());
            match &it.had {
                Value::Null => drop(as_of.theirs.remove(name)),
                had => drop(as_of.theirs.insert(name.clone(), had.clone())),
            }
        }
        Some(as_of)
    }

    /// Was a message composed before its sender took what it has taken of this ticket since? `cursor`: up to
    /// where it had taken then, if it said so; `polled_at`: when, by its clock.
    pub fn was_overtaken(&self, cursor: Option<u64>, polled_at: Option<Timestamp>) -> bool {
        is_before((cursor, polled_at), self.taken)
    }

    /// Was a message composed before its sender got what it was sent of this ticket last, which nobody has
    /// confirmed yet?
    pub fn was_sent_since(&self, cursor: Option<u64>, polled_at: Option<Timestamp>) -> bool {
        self.sent_as.is_some_and(|n| is_before((cursor, polled_at), (n, self.sent_for)))
    }

    /// Has its sender even taken something else in between? What it had then nobody knows any more.
    pub fn was_overtaken_twice(&self, cursor: Option<u64>, polled_at: Option<Timestamp>) -> bool {
        is_before((cursor, polled_at), self.before.1)
    }

    /// Has the store a row of it?
    pub fn is_stored(&self) -> bool {
        self.n > 0
    }

    /// Its connector is sent this, under that place, with the answer to what it had sent then.
    pub fn is_sent(&mut self, fields: Fields, n: Option<u64>, with: Option<Timestamp>) {
        if let Some(before) = self.sent_as.filter(|before| Some(*before) < n && self.sent != fields)
        {
            self.earlier = Some((std::mem::take(&mut self.sent), (before, self.sent_for)));
        }
        (self.sent, self.sent_as, self.moved_on) = (fields, n, false);
        self.sent_for = with.max(self.sent_for);
    }

    /// What its connector has taken, up to this place of the line, is what both have in common.
    pub fn has_taken(&mut self, upto: u64) {
        let first = self.earlier.take_if(|(_, (n, _))| *n <= upto);
        if let Some((fields, at)) = first.filter(|(fields, _)| self.agreed != *fields) {
            self.before = (std::mem::replace(&mut self.agreed, fields), self.taken);
            self.taken = at;
        }
        if let Some(n) = self.sent_as.filter(|n| *n <= upto) {
            self.sent_as = None;
            if self.agreed != self.sent {
                self.before = (std::mem::take(&mut self.agreed), self.taken);
                self.taken = (n, self.sent_for);
            }
            self.agreed.clone_from(&self.sent);
        }
    }
}

fn is_before(
    (cursor, polled_at): (Option<u64>, Option<Timestamp>),
    (place, with): (u64, Option<Timestamp>),
) -> bool {
    match (cursor, polled_at, with) {
        (Some(cursor), ..) => cursor < place,
        (None, Some(at), Some(with)) => at < with,
        _ => false,
    }
}

/// Where a feed goes on. Moves with what was read, in one transaction (rule S1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The source's own, opaque to us.
    pub cursor: Option<String>,
    /// Everything that changed before it was read, by the source's clock.
    pub watermark: Option<Timestamp>,
    /// Within a pass: changed at or after this time.
    pub since: Option<Timestamp>,
    /// Within a pass: rows of that answer that were read.
    pub offset: u32,
    /// Within a pass: the newest change that was read.
    pub newest: Option<Timestamp>,
    /// Within a pass: when its first page was read, by the source's clock.
    #[serde(default)]
    pub begun: Option<Timestamp>,
    /// Within a pass by offset: the id of the last row before it. It must still stand there when the
    /// next page was read, or rows have moved meanwhile.
    #[serde(default)]
    pub last: Option<String>,
    /// Within a pass: how often the rows of this time were begun anew because they had moved.
    #[serde(default)]
    pub anew: u32,
}

/// What a sync has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Tickets that the other side told of.
    pub read: u64,
    /// Tickets written to a backend, done.
    pub written: u64,
    /// Tickets that needed nothing.
    pub unchanged: u64,
    /// Tickets on the skip list.
    pub skipped: u64,
    /// Tickets that could not be read, and writes that a backend refused.
    pub failed: u64,
    /// Contacts that were asked for.
    pub contacts: u64,
    /// Tickets changed here.
    pub merged: u64,
    /// Tickets not known here before.
    pub created: u64,
    /// Tickets gone there.
    pub deleted: u64,
    /// Fields that both sides had changed.
    pub conflicts: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.read += more.read;
        self.written += more.written;
        self.unchanged += more.unchanged;
        self.skipped += more.skipped;
        self.failed += more.failed;
        self.contacts += more.contacts;
        self.merged += more.merged;
        self.created += more.created;
        self.deleted += more.deleted;
        self.conflicts += more.conflicts;
    }
}

/// The last run over a feed, or the last message of a connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When it began.
    pub begun_at: Option<Timestamp>,
    /// When it ended; none: it is under way, or was torn.
    pub ended_at: Option<Timestamp>,
    /// What it did.
    pub tally: Tally,
    /// Why it stopped early.
    pub error: Option<String>,
}

/// What is stored of a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRow {
    /// Its name.
    pub name: String,
    /// Where its feed goes on.
    pub place: Place,
    /// The number of its passes; twins remember the last one that named them.
    pub pass: u64,
    /// What a connector calls the pass that is open.
    pub pass_name: Option<String>,
    /// Absence counts for the pass that has ended: twins up to this row are done.
    pub sweeping: Option<u64>,
    /// The number of that pass; another one may have begun meanwhile.
    #[serde(default)]
    pub swept: u64,
    /// Tickets of its backend up to this row have their twin.
    pub walked: u64,
    /// The last place given in the line to its connector.
    pub out: u64,
    /// Up to here its connector has been sent everything.
    pub sent: u64,
    /// Up to here it has taken that.
    pub taken: u64,
    /// When its connector sent the newest message that came, by its clock.
    #[serde(default)]
    pub polled_at: Option<Timestamp>,
    /// How much its connector can take at once, as it said.
    pub credit: Option<u32>,
    /// Ids that people want left alone.
    pub skip: Vec<String>,
    /// Since it exists.
    pub total: Tally,
    /// The last one.
    pub last: LastRun,
    /// The newest fields that both sides had changed, the newest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub conflicts: VecDeque<KeptConflict>,
}

/// Conflicts that are shown with a sync; the events tell of all.
pub const CONFLICTS_KEPT: usize = 50;
/// Characters of a value that are shown with it; its event has the whole.
const CONFLICT_CHARS: usize = 500;

impl SyncRow {
    /// Keeps what both sides had changed; the oldest goes if there are too many.
    pub fn keep_conflicts(
        &mut self,
        at: Timestamp,
        (ticket, backend_id): (TicketKey, Option<&str>),
        conflicts: &[Conflict],
    ) {
        for conflict in conflicts {
            let kept = KeptConflict {
                at,
                ticket,
                backend_id: backend_id.map(str::to_owned),
                field: conflict.field.clone(),
                ours: shortened(&conflict.ours),
                theirs: shortened(&conflict.theirs),
                kept: conflict.kept,
            };
            // Until the other side has taken our value it says the same with every pass.
            self.conflicts.retain(|other| KeptConflict { at, ..other.clone() } != kept);
            self.conflicts.truncate(CONFLICTS_KEPT - 1);
            self.conflicts.push_front(kept);
        }
    }
}

/// What is long is cut, as text: the row is written with every page.
fn shortened(value: &Value) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(CONFLICT_CHARS) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => value.clone(),
    }
}

/// A field that both sides had changed, as a person is shown it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptConflict {
    /// When it was merged.
    pub at: Timestamp,
    /// Of which ticket.
    pub ticket: TicketKey,
    /// Its name there.
    pub backend_id: Option<String>,
    /// Which field.
    pub field: String,
    /// What it was here.
    pub ours: Value,
    /// What it was there.
    pub theirs: Value,
    /// Whose value was kept.
    pub kept: Side,
}

/// Why something that was told waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBecause {
    /// Its id is on the skip list.
    Skipped,
    /// A request of its ticket is under way: what was read may be older than that.
    UnderWay,
    /// It cannot be taken as it is.
    Unreadable,
}

/// Something that was told and not merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Which sync.
    pub sync: String,
    /// The ticket, as [`Told::id`] lists it.
    pub id: String,
    /// Why.
    pub because: HeldBecause,
    /// For people.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// What was said last; none: it could not be read.
    pub told: Option<Told>,
    /// How things stood when it was said.
    #[serde(default)]
    pub as_of: Option<AsOf>,
}

/// How things stood when something was said that waits: what it does not change of that says nothing about
/// what has been written there since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AsOf {
    /// What was known of that side.
    pub theirs: Fields,
    /// The request that was on its way there: it may have been done before it was said.
    pub under: Option<RequestId>,
    /// Which of its calls; what is sent again since overwrites what was said before.
    #[serde(default)]
    pub attempt: u32,
    /// What was written there since, by requests that were sent after it was said; null: emptied.
    pub written: Fields,
    /// Fields that were written while it was said: what they say of them otherwise was said before that, or
    /// changed since. The ticket is read once more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub over: BTreeSet<String>,
    /// That request has ended, and nobody looked at the ticket after it: even a field that they say as before
    /// may have been changed back since. The ticket is read once more.
    #[serde(default)]
    pub unsure: bool,
}

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Turned {
    /// It was not there before.
    Added,
    /// It had another value.
    Changed,
    /// It is not there any more.
    Deleted,
}

/// One line of a ticket's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketChange {
    /// Which ticket.
    pub ticket: TicketKey,
    /// Grows with each change of that ticket.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// Who: a sync, a command, an alarm.
    pub user: String,
    /// Which field.
    pub field: String,
    /// Its value since.
    pub value: Value,
    /// What became of it.
    pub how: Turned,
}

/// What a connector is answered (CONTRACT 1.7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// Of the message that is answered.
    pub id: String,
    /// Whose tickets.
    pub backend: BackendId,
    /// How many changes we can take at once.
    pub credit: u32,
    /// What waits for it, these included.
    pub waiting: u64,
    /// What it is sent now, in the order of the line.
    pub events: Vec<TicketEvent>,
    /// There is more: asked for by an empty message with this cursor.
    pub more: bool,
    /// Up to here it has been sent everything.
    pub cursor: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_conflicts_are_kept_and_long_values_are_cut() {
        assert_eq!(shortened(&json!("short")), json!("short"));
        assert_eq!(shortened(&json!({"a": 1})), json!({"a": 1}), "what is short stays what it is");
        let cut = shortened(&json!("ä".repeat(CONFLICT_CHARS + 1)));
        assert_eq!(cut.as_str().map(|it| it.chars().count()), Some(CONFLICT_CHARS + 1));
        let mut row = SyncRow::default();
        let ticket = (TicketKey(uuid::Uuid::nil()), Some("7/1"));
        for n in 0..CONFLICTS_KEPT + 3 {
            let (ours, theirs) = (json!(n), json!("theirs"));
            let conflict = Conflict { field: "note".into(), ours, theirs, kept: Side::Ours };
            row.keep_conflicts(Timestamp::default(), ticket, &[conflict]);
        }
        assert_eq!(row.conflicts.len(), CONFLICTS_KEPT);
        assert_eq!(row.conflicts[0].ours, json!(CONFLICTS_KEPT + 2), "the newest first");
        let (ours, theirs) = (json!(CONFLICTS_KEPT), json!("theirs"));
        let again = Conflict { field: "note".into(), ours, theirs, kept: Side::Ours };
        row.keep_conflicts(Timestamp::from_millis(9), ticket, &[again]);
        let found = row.conflicts.iter().filter(|it| it.ours == json!(CONFLICTS_KEPT));
        assert_eq!(found.map(|it| it.at).collect::<Vec<_>>(), [Timestamp::from_millis(9)]);
    }

    #[test]
    fn a_message_was_overtaken_by_what_its_sender_has_taken_since() {
        let at = |seconds: i64| Some(Timestamp::from_millis(seconds * 1_000));
        let mut twin = Twin::new("line", TicketKey(uuid::Uuid::nil()));
        let mut take = |n: u64, with: i64| {
            twin.sent = Fields::from_iter([("c".to_owned(), json!(n))]);
            (twin.sent_as, twin.sent_for) = (Some(n), at(with));
            twin.has_taken(n - 1);
            assert_eq!(twin.sent_as, Some(n), "not yet");
            twin.has_taken(n);
        };
        take(3, 30);
        take(5, 50);
        let table = [
            // Its cursor, when it was sent: overtaken, and by two.
            (Some(5), None, (false, false)),
            (Some(4), None, (true, false)),
            (Some(3), at(99), (true, false)),
            (Some(2), at(99), (true, true)),
            (None, at(50), (false, false)),
            (None, at(49), (true, false)),
            (None, at(29), (true, true)),
            // Nobody can know.
            (None, None, (false, false)),
        ];
        for (cursor, polled_at, expected) in table {
            let once = twin.was_overtaken(cursor, polled_at);
            let found = (once, twin.was_overtaken_twice(cursor, polled_at));
            assert_eq!(found, expected, "{cursor:?} {polled_at:?}");
        }
        assert_eq!(twin.before.0, Fields::from_iter([("c".to_owned(), json!(3))]));
    }

    /// It was sent two, and had said nothing of the first: each is known until it has taken it.
    #[test]
    fn what_was_sent_twice_is_known_both_times() {
        let had = |c: u64| Fields::from_iter([("c".to_owned(), json!(c))]);
        let mut first = Twin::new("line", TicketKey(uuid::Uuid::nil()));
        first.is_sent(had(3), Some(3), None);
        first.is_sent(had(5), Some(5), None);
        let mut both = first.clone();
        first.has_taken(4);
        assert_eq!((&first.agreed, first.taken.0, first.sent_as), (&had(3), 3, Some(5)));
        both.has_taken(5);
        assert_eq!((&both.agreed, &both.before.0, both.sent_as), (&had(5), &had(3), None));
        assert!(both.was_overtaken(Some(4), None) && !both.was_overtaken_twice(Some(4), None));
    }

    #[test]
    fn what_a_field_had_before_it_was_written_is_kept_while_a_page_may_be_under_way() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let mut twin = Twin::new("feed", TicketKey(uuid::Uuid::nil()));
        twin.theirs = Fields::from_iter([("c".to_owned(), json!("old"))]);
        twin.agreed.clone_from(&twin.theirs);
        for _ in 0..2 {
            twin.was_written("c", json!("new"), false, at(100));
        }
        twin.was_written("d", json!("first"), true, at(101));
        assert_eq!(
            twin.theirs,
            Fields::from_iter([("c".into(), "new".into()), ("d".into(), "first".into())])
        );
        assert_eq!(twin.agreed, twin.theirs);
        let stood = twin.stood(at(100)).expect("it was asked before");
        assert_eq!(stood.theirs, Fields::from_iter([("c".to_owned(), json!("old"))]));
        assert!(stood.unsure, "one of them nobody has seen");
        let stood = twin.stood(at(101)).expect("one was written since");
        assert_eq!(stood.theirs, Fields::from_iter([("c".to_owned(), json!("new"))]));
        assert_eq!(twin.stood(at(102)), None);
        twin.was_written("c", Value::Null, false, at(701));
        assert_eq!(twin.overwritten.keys().collect::<Vec<_>>(), ["c"]);
        assert_eq!((twin.theirs.get("c"), twin.agreed.get("c")), (None, None));
    }
}
