//! What is done about one ticket that the other side told of.
//!
//! Rows in, rows out; who calls this stores them in one transaction. Always: what was said before is
//! merged once; a state that is older than the last one is passed over; nothing is written to a side for
//! a value that was written there before and that it has not changed since (rule S5).

use super::{From, Merged, Plan, Sides, merge};
use crate::model::{
    AsOf, Conflict, EventName, Fields, Origin, STATUS, Stubborn, Tally, Ticket, TicketKey,
    TicketStatus, Timestamp, Told, Turned, Twin,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// One value is written so often to a side that keeps saying another one.
const WRITES_MAX: u32 = 3;

/// What is known of the ticket.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// It itself.
    pub ticket: Option<Ticket>,
    /// What this sync remembers of it.
    pub twin: Option<Twin>,
    /// A request of it is under way, or nobody knows what became of it.
    pub busy: bool,
    /// What that request writes; null: it empties.
    pub writing: Fields,
    /// It was told before its sender got what we know it has by now.
    pub overtaken: bool,
}

/// What is to be stored, said and written.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The ticket as it is then.
    pub ticket: Ticket,
    /// What is remembered of it then.
    pub twin: Twin,
    /// What the ticket's connector is told.
    pub event: EventName,
    /// Subscribers are told too.
    pub news: bool,
    /// Fields of ours that change: name, value since (null: none), how.
    pub changes: Vec<(String, Value, Turned)>,
    /// What the home backend is to be written.
    pub write: Option<Fields>,
    /// It is not there yet: with these it is made.
    pub make: Option<Fields>,
    /// Fields that both sides had changed.
    pub conflicts: Vec<Conflict>,
    /// For the books.
    pub tally: Tally,
}

/// A ticket's fields with its status among them.
pub fn view(ticket: &Ticket) -> Fields {
    let mut fields = ticket.fields.clone();
    fields.retain(|_, value| !value.is_null());
    fields.insert(STATUS.into(), ticket.status.as_str().into());
    fields
}

/// What is remembered of a ticket of which its own backend says something for the first time. We made it
/// there, so what we have is what we wrote, and the base of the first merge; but for what another side has
/// given us that is not written yet: that is a change of ours.
pub fn first_twin(plan: &Plan, ticket: &Ticket, told: &Told, unwritten: &Fields) -> Twin {
    let mut twin = Twin::new(&plan.name, ticket.key);
    if !plan.is_home_itself() || !plan.home_writes || ticket.adopted {
        return twin;
    }
    twin.agreed = view(ticket);
    for name in unwritten.keys() {
        match told.fields.get(name) {
            Some(theirs) => twin.agreed.insert(name.clone(), theirs.clone()),
            None => twin.agreed.remove(name),
        };
    }
    twin.theirs.clone_from(&twin.agreed);
    twin
}

/// What was told while a request was under way, as it reads now: a field that they had not changed when
/// they said it has the value that was written there since, and any that was surely written after that.
/// `now`: what is known of them by now.
pub fn since_told(mut told: Told, as_of: &AsOf, now: &Fields) -> Told {
    for name in as_before(&told, as_of, now) {
        match now.get(&name) {
            Some(value) => told.fields.insert(name, value.clone()),
            None => told.fields.remove(&name),
        };
    }
    for (name, value) in &as_of.written {
        match value {
            Value::Null => told.fields.remove(name),
            value => told.fields.insert(name.clone(), value.clone()),
        };
    }
    told
}

/// Fields that were written since.
fn written_since<'a>(as_of: &'a AsOf, now: &'a Fields) -> impl Iterator<Item = &'a String> {
    let before = &as_of.theirs;
    let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != now.get(*name))
}

/// Fields that were written since, and that they had not changed when they said it.
pub fn as_before(told: &Told, as_of: &AsOf, now: &Fields) -> Vec<String> {
    let same = |name: &&String| told.fields.get(*name) == as_of.theirs.get(*name);
    written_since(as_of, now).filter(same).cloned().collect()
}

/// Of these fields nobody knows whether they said them before they were written, or have changed them since:
/// those that they say as before, where nobody has looked after the write, and those that they say neither as
/// before nor as written. Only reading the ticket once more can say.
pub fn open_fields(told: &Told, as_of: &AsOf, now: &Fields) -> Vec<String> {
    if mutant!(NeverReadAgain) {
        return Vec::new();
    }
    let open = |name: &&String| {
        let said = told.fields.get(*name);
        let as_before = said == as_of.theirs.get(*name);
        !as_of.written.contains_key(*name) && said != now.get(*name) && (as_of.unsure || !as_before)
    };
    let names: BTreeSet<_> = written_since(as_of, now).chain(&as_of.over).collect();
    names.into_iter().filter(open).cloned().collect()
}

/// Decides. None: not now, a request of the ticket is under way and they differ; hold what was told.
pub fn decide(
    plan: &Plan,
    told: &Told,
    known: Known,
    new_key: TicketKey,
    node: &str,
    now: Timestamp,
) -> Option<Outcome> {
    let busy = known.busy && plan.is_home_itself();
    // Made by us, and its create is still being found out.
    if busy && known.ticket.as_ref().is_some_and(|ticket| ticket.backend_id.is_none()) {
        return None;
    }
    let new = known.ticket.is_none();
    let ticket = known.ticket.unwrap_or_else(|| unknown(plan, told, new_key, node, now));
    let twin = known.twin.unwrap_or_else(|| Twin::new(&plan.name, ticket.key));
    let busy = busy.then_some(&known.writing);
    let overtaken = known.overtaken;
    let mut step = Step { plan, told, now, out: unchanged(ticket, twin) };
    step.out.tally.read = 1;
    if !step.is_old() {
        step.out.twin.status = status_in(&told.fields).or(step.out.twin.status);
    }
    if told.deleted {
        step.delete(new);
    } else if new {
        step.create();
    } else if !step.is_old() {
        step.merge(busy, overtaken)?;
    }
    let out = &mut step.out;
    out.ticket.synced = true;
    if !out.changes.is_empty() {
        out.ticket.changed_at = now;
    }
    if out.tally == (Tally { read: 1, ..Tally::default() }) && out.write.is_none() {
        out.tally.unchanged = 1;
    }
    Some(step.out)
}

/// A whole pass of the other side has ended and did not name this ticket (rule S8). A connector is sent
/// it, verified; what a scan of a ticketing system does not find is gone there.
pub fn absent(plan: &Plan, ticket: Ticket, twin: Twin, now: Timestamp) -> Outcome {
    let told = Told {
        backend_id: ticket.backend_id.clone(),
        key: Some(ticket.key),
        correlation_key: None,
        kind: ticket.kind,
        fields: Fields::new(),
        backend_status: None,
        url: None,
        said_at: twin.said_at.unwrap_or_default(),
        changed_at: now,
        deleted: true,
    };
    let mut step = Step { plan, told: &told, now, out: unchanged(ticket, twin) };
    match plan.from {
        From::Connector => {
            step.out.event = EventName::Verified;
            step.out.news = step.out.twin.verified_at.is_none();
            step.out.twin.verified_at = Some(now);
        }
        From::Feed(..) => step.delete(false),
    }
    step.out
}

fn unchanged(ticket: Ticket, twin: Twin) -> Outcome {
    Outcome {
        ticket,
        twin,
        event: EventName::Verified,
        news: false,
        changes: Vec::new(),
        write: None,
        make: None,
        conflicts: Vec::new(),
        tally: Tally::default(),
    }
}

/// A ticket that they had first.
fn unknown(plan: &Plan, told: &Told, key: TicketKey, node: &str, now: Timestamp) -> Ticket {
    let origin = Origin::Sync { sync: plan.name.clone(), id: told.id() };
    let place = (plan.home.clone(), told.kind);
    let mut ticket = Ticket::pending(key, place, plan.correlation_key(told), origin, node, now);
    ticket.status = TicketStatus::Acknowledged;
    if !plan.own_ids {
        ticket.backend_id.clone_from(&told.backend_id);
        ticket.adopted = true;
    }
    ticket
}

struct Step<'a> {
    plan: &'a Plan,
    told: &'a Told,
    now: Timestamp,
    out: Outcome,
}

impl Step<'_> {
    /// Said before they said what we know already.
    fn is_old(&self) -> bool {
        self.out.twin.said_at.is_some_and(|at| self.told.is_old_beside(at, self.now))
    }

    /// Do they say just what we sent them last? Then nobody there has changed anything (rule S5).
    fn is_echo(&self, theirs: &Fields) -> bool {
        let sent = &self.out.twin.sent;
        let rules = &self.plan.rules;
        let covered = |name: &&String| rules.covers(name);
        let names = sent.keys().chain(theirs.keys()).filter(covered);
        !sent.is_empty()
            && !self.out.twin.moved_on
            && names.into_iter().all(|name| sent.get(name) == theirs.get(name))
    }

    fn delete(&mut self, new: bool) {
        if new || self.out.twin.gone {
            return;
        }
        self.out.twin.gone = true;
        self.out.twin.verified_at = None;
        self.out.event = EventName::Deleted;
        self.out.news = true;
        self.out.tally.deleted = 1;
        let why = format!("sync {}", self.plan.name);
        if self.plan.own_ids {
            // Gone is what they had of it; its backend has it as before.
            let story = &mut self.out.ticket.story;
            story.add_because(self.now, "is not at the other side any more", why);
            self.out.news = false;
            return;
        }
        if !self.out.ticket.status.ended() {
            let status = TicketStatus::Cancelled;
            let value = status.as_str().into();
            self.out.changes.push((STATUS.into(), value, Turned::Changed));
            self.out.ticket.status = status;
        }
        let story = &mut self.out.ticket.story;
        story.add_because(self.now, "is gone at the other side", why);
    }

    fn create(&mut self) {
        let empty = Fields::new();
        let fields = self.told.fields.clone();
        self.take_over(&empty, &fields);
        self.out.ticket.edited_at = self.told.changed_at;
        self.out.event = EventName::Created;
        self.out.news = true;
        self.out.tally.created = 1;
        self.remember(&fields, &fields);
        self.out.twin.verified_at = Some(self.now);
        let story = &mut self.out.ticket.story;
        story.add(self.now, format!("taken over by sync {} as {}", self.plan.name, self.told.id()));
        if self.plan.own_ids {
            // Told to everybody once it is made.
            self.out.news = false;
            self.out.make = Some(fields);
        } else if !self.plan.is_home() {
            self.write_home(fields);
        }
    }

    /// `busy`: what a request under way writes.
    fn merge(&mut self, busy: Option<&Fields>, overtaken: bool) -> Option<()> {
        let ours = view(&self.out.ticket);
        let mut theirs = self.told.fields.clone();
        if let (None, Some(status)) = (theirs.get(STATUS), ours.get(STATUS)) {
            theirs.insert(STATUS.into(), status.clone());
        }
        let twin = &self.out.twin;
        let same = twin.said_at == Some(self.told.said_at) && twin.theirs == self.told.fields;
        let echo = self.is_echo(&theirs) && !mutant!(EchoIsNews);
        let again = (same || echo) && !twin.gone;
        let moved_on = twin.moved_on || !same && !echo && !overtaken && twin.sent_as.is_none();
        let base = self.base();
        let merged = merge(
            &self.plan.rules,
            Sides {
                ours: &ours,
                ours_at: self.out.ticket.edited(),
                theirs: &theirs,
                theirs_at: self.told.changed_at,
                agreed: base.as_ref(),
            },
        );
        if merged.is_equal() && busy.is_some_and(|writing| self.contradicts(writing)) {
            // As we have it, and not as we are writing it: from before that, or changed back since.
            return None;
        } else if merged.is_equal() {
            self.equal(&merged, &theirs);
        } else if again {
            // Merged before, or sent by us: what came of it is on its way, or was refused.
            self.out.event = EventName::Merged;
            self.out.twin.said_at = Some(self.told.said_at);
            self.out.twin.theirs.clone_from(&self.told.fields);
            self.out.twin.verified_at = None;
        } else if busy.is_some() {
            return None;
        } else {
            self.differ(&ours, &theirs, merged);
        }
        self.out.twin.moved_on = moved_on;
        self.facts();
        Some(())
    }

    /// Do they say something else than what is being written?
    fn contradicts(&self, writing: &Fields) -> bool {
        let said = |name: &String| self.told.fields.get(name).unwrap_or(&Value::Null);
        writing.iter().any(|(name, value)| self.plan.rules.covers(name) && said(name) != value)
    }

    /// What both had in common last; none: they never had.
    ///
    /// A connector that says of a field just what it said before has not taken over what it was sent
    /// since: somebody there was changing the ticket, and it left our event out, as it had not told of
    /// that change yet. Its value is the old one then, and no change of theirs.
    fn base(&self) -> Option<Fields> {
        let twin = &self.out.twin;
        if twin.said_at.is_none() {
            return Some(twin.agreed.clone()).filter(|agreed| !agreed.is_empty());
        }
        let mut base = twin.agreed.clone();
        if self.plan.from == From::Connector {
            for name in twin.sent.keys().chain(twin.theirs.keys()) {
                let (before, now) = (twin.theirs.get(name), self.told.fields.get(name));
                match (before == now, now) {
                    (true, Some(value)) => drop(base.insert(name.clone(), value.clone())),
                    (true, None) => drop(base.remove(name)),
                    (false, _) => {}
                }
            }
        }
        Some(base)
    }

    fn equal(&mut self, merged: &Merged, theirs: &Fields) {
        let verified = self.out.twin.verified_at;
        self.remember(&merged.fields, theirs);
        self.out.twin.stubborn.clear();
        self.out.news = verified.is_none() || mutant!(FullPassIsNews);
        self.out.twin.verified_at = Some(self.now);
    }

    fn differ(&mut self, ours: &Fields, theirs: &Fields, merged: Merged) {
        let mut tally = Tally::default();
        if !merged.from_theirs.is_empty() {
            self.take_over(ours, &merged.fields);
            let edited = self.out.ticket.edited();
            self.out.ticket.edited_at = edited.max(self.told.changed_at);
            tally.merged = 1;
        }
        self.remember(&merged.fields, theirs);
        let differing = |names: &[String]| -> Fields {
            let value = |name: &String| merged.fields.get(name).cloned().unwrap_or_default();
            names.iter().map(|name| (name.clone(), value(name))).collect()
        };
        let to_write = if self.plan.is_home_itself() {
            let mut ours_stay = differing(&merged.from_ours);
            // What they refuse to take, or write otherwise, is not written for ever.
            ours_stay.retain(|name, value| self.is_worth(name, value));
            if self.plan.writes_back { ours_stay } else { Fields::new() }
        } else {
            differing(&merged.from_theirs)
        };
        self.write_home(to_write);
        // What they have taken, they may change and have it written again.
        self.out.twin.stubborn.retain(|name, _| merged.from_ours.contains(name));
        self.out.twin.verified_at = None;
        self.out.event = EventName::Merged;
        tally.conflicts = merged.conflicts.len() as u64;
        self.out.news = tally.merged > 0 || tally.conflicts > 0 || self.out.write.is_some();
        tally.read = 1;
        if !merged.from_theirs.is_empty() {
            let what = format!("merged with the other side: {}", merged.from_theirs.join(", "));
            let why = format!("sync {}", self.plan.name);
            self.out.ticket.story.add_because(self.now, what, why);
        }
        self.out.tally = tally;
        self.out.conflicts = merged.conflicts;
    }

    /// Is a value of ours written there once more? Not where it was, often enough, and they say the same
    /// as before: somebody there may have changed it back, but not every time.
    fn is_worth(&mut self, name: &str, ours: &Value) -> bool {
        let theirs = self.told.fields.get(name).cloned().unwrap_or_default();
        let twin = &mut self.out.twin;
        let again = twin.written.get(name) == Some(ours);
        let stubborn = twin.stubborn.entry(name.to_owned()).or_default();
        if !again || stubborn.theirs != theirs {
            *stubborn = Stubborn { theirs, writes: 0 };
        }
        stubborn.writes < WRITES_MAX || mutant!(WrittenForEver)
    }

    /// Our fields become these.
    fn take_over(&mut self, before: &Fields, after: &Fields) {
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for name in names {
            let how = match (before.get(name), after.get(name)) {
                (None, Some(_)) => Turned::Added,
                (Some(_), None) => Turned::Deleted,
                (Some(one), Some(other)) if one != other => Turned::Changed,
                _ => continue,
            };
            let value = after.get(name).cloned().unwrap_or_default();
            self.out.changes.push((name.clone(), value, how));
        }
        let ticket = &mut self.out.ticket;
        ticket.fields.clone_from(after);
        ticket.fields.remove(STATUS);
        ticket.status = status_in(after).unwrap_or(ticket.status);
    }

    /// What both have in common now is the base of the next merge.
    fn remember(&mut self, merged: &Fields, theirs: &Fields) {
        let twin = &mut self.out.twin;
        let names: Vec<_> = twin.agreed.keys().chain(merged.keys()).cloned().collect();
        for name in names {
            match (merged.get(&name), theirs.get(&name)) {
                (Some(one), Some(other)) if one == other => {
                    twin.agreed.insert(name, one.clone());
                }
                (None, None) => {
                    twin.agreed.remove(&name);
                }
                _ => {}
            }
        }
        twin.theirs.clone_from(&self.told.fields);
        twin.said_at = Some(self.told.said_at);
        twin.gone = false;
    }

    /// Facts that are theirs alone.
    fn facts(&mut self) {
        let (ticket, told) = (&mut self.out.ticket, self.told);
        if self.plan.is_home() && !self.plan.own_ids {
            if ticket.backend_id.is_none() {
                ticket.backend_id.clone_from(&told.backend_id);
            }
            if told.url.is_some() {
                ticket.url.clone_from(&told.url);
            }
            if told.backend_status.is_some() {
                ticket.backend_status.clone_from(&told.backend_status);
            }
        }
    }

    /// The home backend is to have these.
    fn write_home(&mut self, fields: Fields) {
        if !self.plan.home_writes || fields.is_empty() {
            return;
        }
        self.out.twin.written.extend(fields.clone());
        if self.plan.contacts && fields.contains_key(&self.plan.contact_field) {
            self.out.tally.contacts = 1;
        }
        self.out.write = Some(fields);
    }
}

fn status_in(fields: &Fields) -> Option<TicketStatus> {
    TicketStatus::parse(fields.get(STATUS)?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::correlation::correlation_key;
    use crate::model::{Kind, RequestId};
    use crate::ports::ChangesBy;
    use crate::testing::{a_sync, at};
    use serde_json::json;
    use uuid::Uuid;

    const KEY: TicketKey = TicketKey(Uuid::from_u128(7));

    fn feed() -> Plan {
        a_sync("feed", From::Feed(ChangesBy::Time, 100))
    }

    fn fields(value: Value) -> Fields {
        Fields::of(value)
    }

    fn told(seconds: i64, value: Value) -> Told {
        crate::testing::told("T1", at(seconds * 1_000), fields(value))
    }

    fn now() -> Timestamp {
        at(1_000_000)
    }

    fn tell(plan: &Plan, known: Known, told: &Told) -> Option<Outcome> {
        decide(plan, told, known, KEY, "n1", now())
    }

    /// What is known after the other side has told of a ticket for the first time.
    fn taken_over(plan: &Plan, value: Value) -> Known {
        let first = tell(plan, Known::default(), &told(100, value)).expect("nothing is under way");
        after(first)
    }

    fn after(outcome: Outcome) -> Known {
        Known { ticket: Some(outcome.ticket), twin: Some(outcome.twin), ..Known::default() }
    }

    #[test]
    fn a_ticket_that_they_had_first_is_taken_over_and_told() {
        let value = json!({"a": "x", "status": "inProgress"});
        let outcome = tell(&feed(), Known::default(), &told(100, value)).unwrap();
        assert_eq!((outcome.event, outcome.news), (EventName::Created, true));
        assert_eq!(outcome.ticket.status, TicketStatus::InProgress);
        assert_eq!(outcome.ticket.fields, fields(json!({"a": "x"})));
        assert_eq!(outcome.ticket.edited_at, at(100_000), "when they say");
        assert_eq!(outcome.tally, Tally { read: 1, created: 1, ..Tally::default() });
        assert!(outcome.write.is_none(), "they have it");
    }

    #[test]
    fn what_was_said_before_says_nothing_new() {
        let value = json!({"c": "x", "status": "inProgress"});
        let known = taken_over(&feed(), value.clone());
        for said in [100, 99] {
            let again = tell(&feed(), known.clone(), &told(said, value.clone())).unwrap();
            assert!(!again.news && again.write.is_none() && again.changes.is_empty());
            assert_eq!(again.tally, Tally { read: 1, unchanged: 1, ..Tally::default() });
        }
        let old = told(99, json!({"c": "older", "status": "inProgress"}));
        assert!(tell(&feed(), known, &old).unwrap().changes.is_empty(), "it is passed over");
    }

    #[test]
    fn a_time_in_their_future_makes_nothing_old() {
        let mut first = told(5_000, json!({"c": "x", "status": "inProgress"}));
        first.changed_at = now();
        let known = after(tell(&feed(), Known::default(), &first).unwrap());
        let next = told(900, json!({"c": "y", "status": "inProgress"}));
        let merged = tell(&feed(), known.clone(), &next).unwrap();
        assert_eq!(merged.twin.said_at, Some(at(900_000)), "their clock was put right");
        let older = after(merged);
        let before = told(899, json!({"c": "z", "status": "inProgress"}));
        assert_eq!(tell(&feed(), older, &before).unwrap().twin.said_at, Some(at(900_000)));
    }

    #[test]
    fn our_value_is_written_back_and_not_for_ever() {
        let plan = feed();
        let mut known = taken_over(&plan, json!({"a": "ours", "status": "inProgress"}));
        for said in 0..i64::from(WRITES_MAX) + 3 {
            let value = json!({"a": "OURS", "status": "inProgress"});
            let outcome = tell(&plan, known, &told(200 + said, value)).unwrap();
            let writes = said < i64::from(WRITES_MAX);
            assert_eq!(outcome.write, writes.then(|| fields(json!({"a": "ours"}))), "{said}");
            known = after(outcome);
            // As the end of its request counts.
            let twin = known.twin.as_mut().unwrap();
            twin.stubborn.values_mut().for_each(|stubborn| stubborn.writes += 1);
            twin.theirs.insert("a".into(), "ours".into());
        }
        let other = told(300, json!({"a": "another", "status": "inProgress"}));
        let outcome = tell(&plan, known, &other).unwrap();
        assert_eq!(outcome.write, Some(fields(json!({"a": "ours"}))), "they say something else");
    }

    #[test]
    fn a_connector_that_says_what_it_was_sent_has_changed_nothing() {
        let plan = a_sync("line", From::Connector);
        let mut known = taken_over(&plan, json!({"c": "x", "status": "inProgress"}));
        let ticket = known.ticket.as_mut().unwrap();
        ticket.fields.insert("c".into(), "ours".into());
        ticket.edited_at = at(50_000);
        let twin = known.twin.as_mut().unwrap();
        twin.sent = fields(json!({"c": "sent", "status": "inProgress"}));
        let echo = told(200, json!({"c": "sent", "status": "inProgress"}));
        let outcome = tell(&plan, known.clone(), &echo).unwrap();
        assert!(outcome.changes.is_empty(), "ours has moved on");
        let edit = told(200, json!({"c": "theirs", "status": "inProgress"}));
        assert!(!tell(&plan, known, &edit).unwrap().changes.is_empty());
    }

    /// Seed 18015: it had told of something else in between.
    #[test]
    fn a_connector_that_says_again_what_it_was_sent_long_ago_has_changed_it_back() {
        let plan = a_sync("line", From::Connector);
        let mut known = taken_over(&plan, json!({"c": "x", "status": "inProgress"}));
        known.twin.as_mut().unwrap().sent = fields(json!({"c": "x", "status": "inProgress"}));
        for (said, c) in [(200, "y"), (300, "x")] {
            let edit = told(said, json!({"c": c, "status": "inProgress"}));
            let outcome = tell(&plan, known, &edit).unwrap();
            assert_eq!(outcome.ticket.fields["c"], c);
            known = after(outcome);
        }
        // What it is sent then is an echo once more.
        let twin = known.twin.as_mut().unwrap();
        twin.is_sent(fields(json!({"c": "x", "status": "inProgress"})), Some(7), None);
        known.ticket.as_mut().unwrap().fields.insert("c".into(), "ours".into());
        let echo = told(400, json!({"c": "x", "status": "inProgress"}));
        assert!(tell(&plan, known, &echo).unwrap().changes.is_empty());
    }

    #[test]
    fn while_a_request_is_under_way_only_what_is_equal_is_taken() {
        let plan = feed();
        let known = taken_over(&plan, json!({"c": "x", "status": "inProgress"}));
        let known = Known { busy: true, ..known };
        let equal = told(200, json!({"c": "x", "status": "inProgress"}));
        assert!(tell(&plan, known.clone(), &equal).is_some());
        let other = told(200, json!({"c": "y", "status": "inProgress"}));
        assert!(tell(&plan, known.clone(), &other).is_none(), "it is held");
        let line = a_sync("line", From::Connector);
        assert!(tell(&line, known, &other).is_some(), "a connector does not see our writes");
    }

    /// A ticket that we made with `c` there.
    fn made_here(c: &str) -> Ticket {
        let origin = Origin::Command { id: "1".into() };
        let plan = feed();
        let key = correlation_key("test", &plan.home, Kind::Incident, &origin);
        let place = (plan.home.clone(), Kind::Incident);
        let mut ticket = Ticket::pending(KEY, place, key, origin, "n1", at(10_000));
        ticket.backend_id = Some("T1".into());
        ticket.status = TicketStatus::Acknowledged;
        ticket.fields.insert("c".into(), c.into());
        ticket
    }

    /// The first thing that a ticket's own backend says of it is merged against what we wrote there.
    #[test]
    fn what_they_alone_have_changed_of_a_ticket_of_ours_is_theirs_from_the_first_telling_on() {
        let mut plan = feed();
        plan.rules.three_way = true;
        let mut ticket = made_here("ours");
        // We have written something else there since they changed it.
        ticket.edited_at = at(500_000);
        let told = told(400, json!({"c": "theirs", "d": "new", "status": "acknowledged"}));
        let twin = first_twin(&plan, &ticket, &told, &Fields::new());
        let known = Known { ticket: Some(ticket), twin: Some(twin), ..Known::default() };
        let outcome = tell(&plan, known, &told).unwrap();
        assert_eq!(outcome.ticket.fields, fields(json!({"c": "theirs", "d": "new"})));
        assert!(outcome.write.is_none() && outcome.conflicts.is_empty());
    }

    #[test]
    fn what_another_side_has_changed_and_nobody_has_written_is_a_change_of_ours() {
        let mut plan = feed();
        plan.rules.three_way = true;
        let ticket = made_here("of another side");
        let told = told(900, json!({"c": "as it was made", "status": "acknowledged"}));
        let unwritten = fields(json!({"c": "of another side"}));
        let twin = first_twin(&plan, &ticket, &told, &unwritten);
        let known = Known { ticket: Some(ticket), twin: Some(twin), ..Known::default() };
        let outcome = tell(&plan, known, &told).unwrap();
        assert_eq!(outcome.write, Some(unwritten));
    }

    #[test]
    fn nothing_is_known_of_what_an_adopted_ticket_had() {
        let ticket = Ticket { adopted: true, ..made_here("wished") };
        let told = told(1, json!({}));
        assert!(first_twin(&feed(), &ticket, &told, &Fields::new()).agreed.is_empty());
        let line = a_sync("line", From::Connector);
        let twin = first_twin(&line, &made_here("x"), &told, &Fields::new());
        assert!(twin.agreed.is_empty(), "a connector has not been told of it");
    }

    #[test]
    fn what_was_held_says_nothing_of_what_was_written_since() {
        let held = told(1, json!({"c": "old", "d": "edited", "b": "old"}));
        let theirs = fields(json!({"c": "old", "d": "old", "b": "old"}));
        // While it was held `c` and `d` were written, and `b` was emptied.
        let now = fields(json!({"c": "written", "d": "written"}));
        let as_of = AsOf { theirs, ..AsOf::default() };
        let read = since_told(held.clone(), &as_of, &now);
        assert_eq!(read.fields, fields(json!({"c": "written", "d": "edited"})));
        // `d` was emptied by a request that was sent after that.
        let as_of = AsOf { written: fields(json!({"d": null})), ..as_of };
        let read = since_told(held, &as_of, &now);
        assert_eq!(read.fields, fields(json!({"c": "written"})));
    }

    #[test]
    fn what_is_gone_is_told_once_and_its_ticket_is_over() {
        let plan = feed();
        let known = taken_over(&plan, json!({"status": "inProgress"}));
        let gone = Told { deleted: true, ..told(200, json!({})) };
        let outcome = tell(&plan, known, &gone).unwrap();
        assert_eq!((outcome.event, outcome.news), (EventName::Deleted, true));
        assert_eq!(outcome.ticket.status, TicketStatus::Cancelled);
        let again = tell(&plan, after(outcome), &gone).unwrap();
        assert!(!again.news, "once");
        let unknown = tell(&plan, Known::default(), &gone).unwrap();
        assert!(!unknown.news, "of a ticket that nobody knew nothing is said");
    }

    /// Rule S8: what a whole pass did not name a connector is sent, and a scan has lost.
    #[test]
    fn absence_is_for_a_connector_to_hear_and_of_a_scan_to_tell() {
        let line = a_sync("line", From::Connector);
        let twin = Twin { request: Some(RequestId(KEY.0)), ..Twin::new("line", KEY) };
        let outcome = absent(&line, made_here("x"), twin, now());
        assert_eq!((outcome.event, outcome.ticket.status.ended()), (EventName::Verified, false));
        let scan = a_sync("scan", From::Feed(ChangesBy::Scan, 100));
        let outcome = absent(&scan, made_here("x"), Twin::new("scan", KEY), now());
        assert_eq!((outcome.event, outcome.ticket.status.ended()), (EventName::Deleted, true));
    }
}
