//! Single steps of a sync over rows in memory: what the simulated pair plays by chance, by name.

use super::spread::line_up;
use super::{Message, Page, PersonSync, Record, Steer, Sweep, Where};
use crate::changes::{Applied, Change, ChangeSet, Conclude, Context, End, Intend, TakeLane};
use crate::logic::sync::{From, Plan};
use crate::model::{
    BackendId, EventId, EventName, Fields, Found, Moment, Mono, Place, Request, RequestId, STATUS,
    SyncRow, Ticket, TicketStatus, Timestamp, Told, Twin,
};
use crate::ports::{ChangesBy, FreshIds, SyncTx, Tx};
use crate::testing::{Rows, a_sync, an_update, at, fresh_ids, told};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

struct Desk {
    rows: Rows,
    plan: Arc<Plan>,
    now: i64,
    ids: u128,
}

fn fields(value: Value) -> Fields {
    Fields::of(value)
}

impl Desk {
    fn new(from: From) -> Self {
        Self { rows: Rows::default(), plan: Arc::new(a_sync("it", from)), now: 1_000_000, ids: 1 }
    }

    fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn fresh(&mut self) -> FreshIds {
        fresh_ids(|| self.uuid())
    }

    fn wall(&self) -> Timestamp {
        at(self.now)
    }

    fn apply(&mut self, change: Change) -> Applied {
        self.now += 1_000;
        let now = Moment { wall: self.wall(), mono: Mono(self.now.unsigned_abs()) };
        let context = Context { now, node: "n1" };
        let applied = self.rows.apply_now(&ChangeSet(vec![change]), context);
        applied.expect("nothing is refused").remove(0)
    }

    fn told(&self, id: &str, said: i64, value: Value) -> Told {
        told(id, at(said), fields(value))
    }

    fn record(&mut self, told: Told) -> Record {
        Record { told: Ok(told), ids: self.fresh() }
    }

    /// A page of a scan: these, from there.
    fn scanned(&mut self, ids: &[&str], (from, to): (u32, u32)) {
        let said = self.now;
        let open = || json!({"status": "acknowledged"});
        let told: Vec<_> = ids.iter().map(|id| self.told(id, said, open())).collect();
        let records = told.into_iter().map(|told| self.record(told)).collect();
        self.page(records, (from, to));
    }

    fn page(&mut self, records: Vec<Record>, (from, to): (u32, u32)) {
        self.now += 1;
        let stored = self.row().place;
        let place = |offset| Place { offset, ..Place::default() };
        let at = Where::Feed {
            from: Box::new(stored),
            to: Box::new(place(to)),
            begins: from == 0,
            ends: to == 0,
            complete: self.plan.from == From::Feed(ChangesBy::Scan, 2),
            asked_at: self.wall(),
        };
        let page = Page { plan: self.plan.clone(), records, at };
        self.apply(Change::SyncPage(Box::new(page)));
        self.sweep();
    }

    /// A page that was asked for at that time.
    fn asked(&mut self, told: Told, asked_at: Timestamp) {
        let records = vec![self.record(told)];
        let place = Box::new(self.row().place);
        let (from, to) = (place.clone(), place);
        let (begins, ends, complete) = (true, true, false);
        let at = Where::Feed { from, to, begins, ends, complete, asked_at };
        let page = Page { plan: self.plan.clone(), records, at };
        self.apply(Change::SyncPage(Box::new(page)));
    }

    fn steer(&mut self, steer: Steer) {
        let ids = vec![self.fresh()];
        let (who, reason) = ("a person".to_owned(), "by hand".to_owned());
        let order = PersonSync { plan: self.plan.clone(), steer, who, reason, ids };
        self.apply(Change::SyncSteer(Box::new(order)));
    }

    fn row(&mut self) -> SyncRow {
        SyncTx::sync(&mut self.rows, "it").expect("it is there")
    }

    fn sweep(&mut self) {
        let ids = (0..8).map(|_| self.fresh()).collect();
        self.apply(Change::SyncSweep(Box::new(Sweep { plan: self.plan.clone(), ids })));
    }

    fn ticket(&self, id: &str) -> Ticket {
        let mut all = self.rows.all_tickets();
        all.find(|it| it.backend_id.as_deref() == Some(id)).expect("it is known").clone()
    }

    fn twin(&self, id: &str) -> Twin {
        self.rows.clone_twins(self.ticket(id).key).remove(0)
    }

    /// A command's update, sent; the request is on its way.
    fn send(&mut self, id: &str, value: Value) -> Request {
        let key = self.ticket(id).key;
        let take = an_update(key, fields(value), || self.uuid());
        let request = take.request;
        self.apply(Change::Command(Box::new(take)));
        self.intend(request, 0)
    }

    /// The process died while it was on its way: it is in doubt, and is sent again.
    fn send_again(&mut self, request: &Request) -> Request {
        self.intend(request.id, request.attempts)
    }

    fn intend(&mut self, request: RequestId, attempts: u32) -> Request {
        let backend = BackendId::new("desk");
        let event_id = EventId(self.uuid());
        let take = TakeLane { backend: backend.clone(), settle: Duration::ZERO, event_id };
        let Applied::LaneTaken(epoch, _) = self.apply(Change::TakeLane(take)) else {
            panic!("no lane")
        };
        let intend =
            Intend { backend, epoch, request, attempts, level: None, with_decision: false };
        match self.apply(Change::Intend(Box::new(intend))) {
            Applied::Intended(request, _) => *request,
            other => panic!("{other:?}"),
        }
    }

    fn done(&mut self, request: &Request, found: Found) {
        let backend = BackendId::new("desk");
        let conclude = Conclude {
            epoch: Tx::lane(&mut self.rows, &backend).expect("a lane").epoch,
            backend,
            request: request.id,
            attempt: request.attempts,
            end: End::Done(found),
            event_ids: [EventId(self.uuid()), EventId(self.uuid())],
            by_later_answer: false,
            watch_looks: 0,
        };
        self.apply(Change::Conclude(Box::new(conclude)));
    }

    fn wrote(&mut self, id: &str, value: Value) {
        let request = self.send(id, value);
        self.done(&request, Found::default());
    }
}

fn scan() -> Desk {
    let mut desk = Desk::new(From::Feed(ChangesBy::Scan, 2));
    desk.scanned(&["1", "2"], (0, 2));
    desk.scanned(&["3"], (2, 0));
    desk
}

fn feed() -> Desk {
    let mut desk = Desk::new(From::Feed(ChangesBy::Time, 2));
    Arc::make_mut(&mut desk.plan).rules.three_way = true;
    let told = desk.told("1", 900_000, json!({"c": "old", "status": "acknowledged"}));
    let record = desk.record(told);
    desk.page(vec![record], (0, 0));
    desk
}

#[test]
fn what_two_whole_scans_do_not_find_is_gone() {
    let mut desk = scan();
    desk.scanned(&["1", "2"], (0, 0));
    assert_eq!(desk.ticket("3").status, TicketStatus::Acknowledged, "it may have moved");
    desk.scanned(&["1", "2"], (0, 0));
    assert_eq!(desk.ticket("3").status, TicketStatus::Cancelled);
    assert_eq!(desk.ticket("2").status, TicketStatus::Acknowledged);
}

#[test]
fn a_scan_that_was_torn_has_not_looked_at_all() {
    let mut desk = scan();
    for _ in 0..5 {
        desk.scanned(&["1", "2"], (0, 2));
    }
    assert_eq!(desk.row().pass, 2, "it is one pass, begun five times");
    assert_eq!(desk.ticket("3").status, TicketStatus::Acknowledged);
    desk.scanned(&["3"], (2, 0));
    assert_eq!(desk.ticket("3").status, TicketStatus::Acknowledged, "and then it is found");
}

#[test]
fn what_is_left_alone_or_cannot_be_read_is_there_all_the_same() {
    let mut desk = scan();
    desk.steer(Steer::Skip(vec!["2".into()]));
    let open = desk.send("1", json!({"c": "new"}));
    for _ in 0..3 {
        let said = desk.now;
        let mut records = Vec::new();
        for id in ["1", "2"] {
            let told = desk.told(id, said, json!({"c": "other", "status": "acknowledged"}));
            records.push(desk.record(told));
        }
        let told = Err(("3".to_owned(), "cannot be read".to_owned()));
        records.push(Record { told, ids: desk.fresh() });
        desk.page(records, (0, 0));
    }
    for id in ["1", "2", "3"] {
        assert_eq!(desk.ticket(id).status, TicketStatus::Acknowledged, "{id}");
    }
    desk.done(&open, Found::default());
}

#[test]
fn what_was_left_alone_does_not_undo_what_was_written_meanwhile() {
    let mut desk = feed();
    desk.steer(Steer::Skip(vec!["1".into()]));
    let value = json!({"c": "old", "d": "edited", "status": "acknowledged"});
    let told = desk.told("1", 1_100_000, value);
    let record = desk.record(told);
    desk.page(vec![record], (0, 0));
    desk.wrote("1", json!({"c": null}));
    desk.steer(Steer::Unskip(vec!["1".into()]));
    assert_eq!(desk.ticket("1").fields, fields(json!({"d": "edited"})));
}

/// What is sent again overwrites what was said before: both sides have it then.
#[test]
fn what_was_said_before_a_write_was_sent_again_does_not_stand_against_it() {
    let mut desk = feed();
    let request = desk.send("1", json!({"c": null}));
    // Somebody there sets it, and then it is sent again.
    let told = desk.told("1", 1_100_000, json!({"c": "theirs", "status": "acknowledged"}));
    let record = desk.record(told);
    desk.page(vec![record], (0, 0));
    let request = desk.send_again(&request);
    desk.done(&request, Found::default());
    let blank = Record { told: Err((String::new(), String::new())), ids: desk.fresh() };
    let at = Where::Held { after: String::new(), limit: 1 };
    let page = Page { plan: desk.plan.clone(), records: vec![blank], at };
    desk.apply(Change::SyncPage(Box::new(page)));
    assert!(desk.rows.held_of("it", "1").is_none(), "it is merged");
    assert_eq!(desk.ticket("1").fields.get("c"), None, "as it is there");
}

/// The backend has what was written, and an answer that says nothing of the status leaves ours.
#[test]
fn a_status_that_was_written_is_known_of_the_backend_from_then_on() {
    let mut desk = feed();
    desk.wrote("1", json!({"status": "inProgress"}));
    let twin = desk.twin("1");
    let known = [twin.status, Some(desk.ticket("1").status)];
    assert_eq!(known, [Some(TicketStatus::InProgress); 2]);
    assert_eq!(
        (&twin.theirs[STATUS], &twin.agreed[STATUS]),
        (&json!("inProgress"), &json!("inProgress"))
    );
    // A write of something else, whose answer shows an older status.
    let request = desk.send("1", json!({"c": "new"}));
    desk.done(&request, Found { status: Some(TicketStatus::Acknowledged), ..Found::default() });
    assert_eq!(
        desk.ticket("1").status,
        TicketStatus::InProgress,
        "the feed says it, not an answer"
    );
    assert_eq!(desk.twin("1").status, Some(TicketStatus::InProgress));
}

#[test]
fn what_was_emptied_is_empty_in_the_base() {
    let mut desk = feed();
    desk.wrote("1", json!({"c": null}));
    let twin = desk.twin("1");
    assert_eq!((twin.agreed.get("c"), twin.theirs.get("c")), (None, None));
    assert_eq!(desk.ticket("1").fields.get("c"), None);
    let told = desk.told("1", 1_100_000, json!({"c": "back", "status": "acknowledged"}));
    let record = desk.record(told);
    desk.page(vec![record], (0, 0));
    assert_eq!(desk.ticket("1").fields["c"], "back", "they alone have changed it since");
}

#[test]
fn a_page_that_was_asked_for_before_a_write_does_not_undo_it() {
    let mut desk = feed();
    let asked_at = desk.wall();
    let told = desk.told("1", 900_000, json!({"c": "old", "d": "new", "status": "acknowledged"}));
    desk.wrote("1", json!({"c": null}));
    desk.asked(told, asked_at);
    assert_eq!(desk.ticket("1").fields, fields(json!({"d": "new"})));
}

impl Desk {
    /// Ours has changed since, and waits for the connector.
    fn line_up(&mut self, id: &str, c: &str) {
        let mut ticket = self.ticket(id);
        ticket.fields.insert("c".into(), c.into());
        ticket.edited_at = at(950_000);
        Tx::put_ticket(&mut self.rows, &ticket).unwrap();
        let (mut twin, mut row) = (self.twin(id), self.row());
        let event_id = EventId(self.uuid());
        line_up(&mut row, &mut twin, EventName::Merged, event_id);
        self.rows.put_sync(&row).unwrap();
        self.rows.put_twin(&twin).unwrap();
    }

    /// A connector's message; says what it is sent.
    fn message(
        &mut self,
        polled: i64,
        told: Vec<Told>,
        pass: Option<(&str, bool)>,
    ) -> Vec<EventName> {
        let id = self.uuid().to_string();
        let records = told.into_iter().map(|told| self.record(told)).collect();
        let message = Message {
            plan: self.plan.clone(),
            id,
            polled_at: Some(at(polled)),
            records,
            credit: Some(10),
            cursor: None,
            pass: pass.map(|(name, _)| name.to_owned()),
            complete: pass.is_some_and(|(_, complete)| complete),
        };
        match self.apply(Change::SyncMessage(Box::new(message))) {
            Applied::SyncAnswered(it) => it.answer.events.iter().map(|it| it.event).collect(),
            other => panic!("{other:?}"),
        }
    }
}

/// A connector that has told of two tickets and taken what it was answered.
fn connector() -> (Desk, Told, Told) {
    let mut desk = Desk::new(From::Connector);
    let one = desk.told("1", 900_000, json!({"c": "x", "status": "acknowledged"}));
    let two = desk.told("2", 900_000, json!({"c": "x", "status": "acknowledged"}));
    desk.message(1_000, vec![one.clone(), two.clone()], None);
    assert_eq!(desk.message(2_000, Vec::new(), None), []);
    (desk, one, two)
}

#[test]
fn absence_counts_over_a_whole_set_and_over_no_part_of_one() {
    let (mut desk, one, two) = connector();
    assert_eq!(desk.message(3_000, vec![one.clone()], Some(("p1", false))), [EventName::Verified]);
    desk.sweep();
    assert_eq!(desk.message(4_000, Vec::new(), None), [], "the pass has not ended");
    desk.message(5_000, vec![two.clone()], Some(("p1", true)));
    desk.sweep();
    assert_eq!(desk.message(6_000, Vec::new(), None), [], "both were named");
    desk.message(7_000, vec![one], Some(("p2", true)));
    desk.message(8_000, vec![two], Some(("p3", false)));
    desk.sweep();
    assert_eq!(desk.message(9_000, Vec::new(), None), [], "the next pass has named it meanwhile");
    desk.message(10_000, Vec::new(), Some(("p4", true)));
    desk.sweep();
    let both = [EventName::Verified; 2];
    assert_eq!(desk.message(11_000, Vec::new(), None), both, "it has neither");
}

#[test]
fn a_page_that_was_overtaken_neither_begins_nor_ends_a_pass() {
    let (mut desk, one, two) = connector();
    desk.message(5_000, vec![one], Some(("p2", false)));
    let pass = desk.row().pass;
    desk.message(4_000, Vec::new(), Some(("p1", true)));
    desk.sweep();
    assert_eq!(desk.row().pass, pass);
    desk.message(6_000, vec![two], Some(("p2", true)));
    desk.sweep();
    assert_eq!(desk.message(7_000, Vec::new(), None), []);
}

#[test]
fn what_was_overtaken_does_not_undo_what_its_sender_has_taken_since() {
    let (mut desk, old, _) = connector();
    desk.line_up("1", "ours");
    assert_eq!(desk.message(5_000, Vec::new(), None), [EventName::Merged]);
    assert_eq!(desk.message(6_000, Vec::new(), None), []);
    // One that it had sent before comes only now, with an edit of another field.
    let mut late = old;
    late.fields.insert("d".into(), "edited".into());
    (late.said_at, late.changed_at) = (at(960_000), at(960_000));
    desk.message(4_000, vec![late], None);
    assert_eq!(desk.ticket("1").fields, fields(json!({"c": "ours", "d": "edited"})));
}

/// Seed 6732: it said what it had taken before, and what we have since was on its way to it.
#[test]
fn what_was_said_before_our_newest_was_got_is_no_news() {
    let (mut desk, old, _) = connector();
    desk.line_up("1", "ours");
    assert_eq!(desk.message(5_000, Vec::new(), None), [EventName::Merged], "it is sent");
    // It took the old value later than we had ours; without a base the more recent ticket wins.
    let mut late = Told { said_at: at(990_000), changed_at: at(990_000), ..old };
    desk.message(4_000, vec![late.clone()], None);
    assert_eq!(desk.ticket("1").fields, fields(json!({"c": "ours"})));
    late.fields.insert("d".into(), "edited".into());
    desk.message(4_500, vec![late], None);
    assert_eq!(desk.ticket("1").fields, fields(json!({"c": "ours", "d": "edited"})));
}

/// Seed 16393: of two that were sent before it got our newest, neither says that it has that already.
#[test]
fn of_two_that_were_said_before_our_newest_was_got_the_second_undoes_nothing_either() {
    let (mut desk, old, _) = connector();
    desk.line_up("1", "ours");
    assert_eq!(desk.message(5_000, Vec::new(), None), [EventName::Merged], "it is sent");
    for (said, polled) in [(985_000, 4_000), (990_000, 4_500)] {
        let mut late = Told { said_at: at(said), changed_at: at(said), ..old.clone() };
        late.fields.insert("d".into(), "edited".into());
        desk.message(polled, vec![late], None);
        assert_eq!(desk.ticket("1").fields, fields(json!({"c": "ours", "d": "edited"})), "{said}");
    }
}

/// Seed 16811: somebody there edited a field before it was emptied, or after that. The page that tells of it
/// was asked for before.
#[test]
fn what_a_page_says_neither_as_before_a_write_nor_as_written_is_read_once_more() {
    for (is, ours) in
        [(json!({"c": null}), json!({})), (json!({"c": "edited"}), json!({"c": "edited"}))]
    {
        let mut desk = feed();
        let asked_at = desk.wall();
        let told = desk.told("1", 900_500, json!({"c": "edited", "status": "acknowledged"}));
        desk.wrote("1", json!({"c": null}));
        desk.asked(told, asked_at);
        assert!(desk.rows.held_of("it", "1").is_some(), "nobody can know");
        let mut read = fields(is);
        read.insert(STATUS.into(), "acknowledged".into());
        let told = desk.told("1", 900_500, read.into());
        let records = vec![desk.record(told)];
        let page = Page { plan: desk.plan.clone(), records, at: Where::Again };
        desk.apply(Change::SyncPage(Box::new(page)));
        assert!(desk.rows.held_of("it", "1").is_none());
        assert_eq!(desk.ticket("1").fields, fields(ours));
    }
}

/// Seed 24881: a page that was asked for before a write names a ticket that is left alone.
#[test]
fn what_was_asked_for_before_a_write_and_left_alone_does_not_undo_it() {
    let mut desk = feed();
    desk.steer(Steer::Skip(vec!["1".into()]));
    let asked_at = desk.wall();
    let told = desk.told("1", 900_000, json!({"c": "old", "d": "new", "status": "acknowledged"}));
    desk.wrote("1", json!({"c": null}));
    desk.asked(told, asked_at);
    desk.steer(Steer::Unskip(vec!["1".into()]));
    assert_eq!(desk.ticket("1").fields, fields(json!({"d": "new"})));
}
