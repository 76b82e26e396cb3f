//! The element by example: each test is the gateway.

use super::element::{Element, Machine};
use super::faults::ElementFaults;
use super::message::{Answer, Event, EventTicket, SyncMessage};
use super::table::{Edit, Fields};
use serde_json::{Value, json};

const EVERY_MS: u64 = 10_000;
const PATIENCE_MS: u64 = 2_000;
/// 2026-11-21T10:00:00Z
const BEGAN_MS: i64 = 1_795_255_200_000;

struct Bench {
    machine: Machine,
    now_ms: u64,
}

impl Bench {
    fn with(faults: ElementFaults, complete_every: u64) -> Self {
        let element = Element {
            backend: "dm".to_owned(),
            name: "7/42".to_owned(),
            every_ms: EVERY_MS,
            complete_every,
            patience_ms: PATIENCE_MS,
            began_ms: BEGAN_MS,
            seed: 1,
        };
        let mut machine = Machine::new(element, faults);
        machine.connected(true);
        Self { machine, now_ms: 0 }
    }

    fn new() -> Self {
        Self::with(ElementFaults::default(), 0)
    }

    fn make(&mut self, summary: &str) {
        self.machine.make(edit(summary), self.now_ms);
    }

    fn change(&mut self, id: &str, summary: &str) {
        self.machine.edit(id, edit(summary), self.now_ms).unwrap();
    }

    fn pass(&mut self, span_ms: u64) -> Vec<SyncMessage> {
        self.now_ms += span_ms;
        self.machine.tick(self.now_ms)
    }

    fn next_pass(&mut self) -> Vec<SyncMessage> {
        self.pass(EVERY_MS)
    }

    fn answer(&mut self, to: &SyncMessage, events: Vec<Event>) -> Vec<SyncMessage> {
        let answer = Answer { id: to.id.clone(), events, ..Answer::default() };
        self.machine.answered(&answer, self.now_ms)
    }

    /// Answers all that is sent with nothing, and gives the messages of the pass.
    fn whole_pass(&mut self) -> Vec<SyncMessage> {
        let (mut all, mut out) = (Vec::new(), self.next_pass());
        while !out.is_empty() {
            all.extend(out.clone());
            out = out.iter().flat_map(|message| self.answer(message, Vec::new())).collect();
        }
        all
    }

    fn field(&self, id: &str, name: &str) -> Value {
        self.machine
            .table()
            .row(id)
            .map(|row| row.shown()["fields"][name].clone())
            .unwrap_or_default()
    }

    fn count(&self, name: &str) -> u64 {
        self.machine.report()["counts"][name].as_u64().unwrap()
    }
}

fn edit(summary: &str) -> Edit {
    Edit { fields: Fields::from_iter([("summary".to_owned(), summary.into())]), ..Edit::default() }
}

fn event(event: &str, id: Option<&str>, key: &str, summary: &str) -> Event {
    let ticket = EventTicket {
        key: Some(key.to_owned()),
        backend_id: id.map(str::to_owned),
        status: Some("inProgress".to_owned()),
        fields: edit(summary).fields,
        ..EventTicket::default()
    };
    Event { event: event.to_owned(), at: Some("2026-11-21T10:00:00.000Z".to_owned()), ticket }
}

fn ids(message: &SyncMessage) -> Vec<&str> {
    message.tickets.iter().map(|told| told.ticket.backend_id.as_str()).collect()
}

#[test]
fn each_pass_tells_what_has_changed_and_asks_with_nothing_where_nothing_has() {
    let mut bench = Bench::new();
    bench.make("a");
    bench.make("b");
    let first = bench.whole_pass();
    assert_eq!(first.len(), 1);
    assert_eq!((ids(&first[0]), first[0].complete), (vec!["7/1", "7/2"], false));
    assert_eq!((first[0].backend.as_str(), first[0].element.as_str()), ("dm", "7/42"));
    bench.change("7/1", "a2");
    let second = bench.whole_pass();
    assert_eq!((ids(&second[0]), second.len()), (vec!["7/1"], 1));
    let third = bench.whole_pass();
    assert_eq!((third.len(), third[0].tickets.len(), third[0].complete), (1, 0, false));
    let mut all: Vec<_> = [first, second, third].concat().iter().map(|m| m.id.clone()).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3, "each message has an id of its own");
    assert!(bench.pass(EVERY_MS - 1).is_empty(), "not before its time");
}

#[test]
fn every_nth_pass_names_all_and_says_so_on_its_last_page_only() {
    let mut bench = Bench::with(ElementFaults::default(), 3);
    for number in 0..250 {
        bench.make(&number.to_string());
    }
    let first = bench.whole_pass();
    let complete: Vec<_> = first.iter().map(|page| (page.tickets.len(), page.complete)).collect();
    assert_eq!(complete, [(100, false), (100, false), (50, false)]);
    assert!(first.iter().all(|page| page.pass == first[0].pass));
    bench.whole_pass();
    let third = bench.whole_pass();
    let complete: Vec<_> = third.iter().map(|page| (page.tickets.len(), page.complete)).collect();
    assert_eq!(complete, [(100, false), (100, false), (50, true)]);
    assert_ne!(third[0].pass, first[0].pass);
    let mut empty = Bench::with(ElementFaults::default(), 1);
    let page = &empty.whole_pass()[0];
    assert!(page.complete && page.tickets.is_empty(), "it has no tickets, and says so");
}

#[test]
fn the_next_page_waits_for_the_answer_and_credit_bounds_it() {
    let mut bench = Bench::new();
    for number in 0..5 {
        bench.make(&number.to_string());
    }
    bench.machine.credited(Some(2));
    let first = bench.next_pass();
    assert_eq!((first.len(), first[0].tickets.len()), (1, 2));
    assert!(bench.pass(10).is_empty());
    let less = Answer { id: first[0].id.clone(), credit: Some(1), ..Answer::default() };
    let second = bench.machine.answered(&less, bench.now_ms);
    assert_eq!(second[0].tickets.len(), 1);
    let none = Answer { id: second[0].id.clone(), credit: Some(0), ..Answer::default() };
    assert!(bench.machine.answered(&none, bench.now_ms).is_empty());
    assert!(bench.next_pass().is_empty(), "without credit nothing is told");
    bench.machine.credited(Some(100));
    let rest = bench.next_pass();
    assert_eq!(ids(&rest[0]), ["7/4", "7/5"]);
}

#[test]
fn what_was_merged_is_taken_over_told_once_more_and_never_looks_like_an_edit() {
    let mut bench = Bench::new();
    bench.make("a");
    let told = bench.next_pass();
    bench.answer(&told[0], vec![event("merged", Some("7/1"), "k", "both")]);
    assert_eq!(bench.field("7/1", "summary"), "both");
    let again = bench.next_pass();
    assert_eq!(ids(&again[0]), ["7/1"]);
    assert_eq!(again[0].tickets[0].changed_at, told[0].tickets[0].changed_at);
    assert_eq!(again[0].tickets[0].ticket.key.as_deref(), Some("k"));
    assert_eq!(again[0].tickets[0].ticket.status, "inProgress");
    bench.answer(&again[0], vec![event("verified", Some("7/1"), "k", "both")]);
    assert!(bench.next_pass()[0].tickets.is_empty(), "equal: silence");
    let shown = bench.machine.table().row("7/1").unwrap().shown();
    assert_eq!(shown["verified_at"], "2026-11-21T10:00:00.000Z");
}

#[test]
fn a_ticket_of_the_gateways_gets_an_id_here_which_the_next_pass_tells() {
    let mut bench = Bench::new();
    let asked = bench.next_pass();
    bench.answer(
        &asked[0],
        vec![event("created", None, "k1", "theirs"), event("verified", None, "k2", "old")],
    );
    let told = bench.next_pass();
    assert_eq!(ids(&told[0]), ["7/1", "7/2"]);
    assert_eq!(told[0].tickets[0].ticket.key.as_deref(), Some("k1"));
    assert_eq!(told[0].tickets[0].changed_at, asked[0].polled_at, "not newer than the question");
    bench.answer(&told[0], vec![event("deleted", Some("7/1"), "k1", "")]);
    assert!(bench.machine.table().row("7/1").is_none());
    assert!(bench.next_pass()[0].tickets.is_empty());
}

#[test]
fn an_edit_while_a_page_is_on_its_way_is_kept_and_told() {
    let mut bench = Bench::new();
    bench.make("a");
    let told = bench.next_pass();
    bench.change("7/1", "by hand");
    bench.answer(&told[0], vec![event("merged", Some("7/1"), "k", "merged")]);
    assert_eq!((bench.field("7/1", "summary"), bench.count("kept")), (json!("by hand"), 1));
    let next = bench.next_pass();
    assert_eq!(next[0].tickets[0].ticket.fields["summary"], "by hand");
    // What is not on its way is as safe.
    bench.answer(&next[0], Vec::new());
    let asked = bench.next_pass();
    bench.change("7/1", "by hand again");
    bench.answer(&asked[0], vec![event("merged", Some("7/1"), "k", "merged")]);
    assert_eq!(bench.field("7/1", "summary"), "by hand again");
}

#[test]
fn a_page_whose_answer_is_lost_goes_again_under_its_id() {
    let mut bench =
        Bench::with(ElementFaults { lost_answer_rate: 1.0, ..ElementFaults::default() }, 0);
    bench.make("a");
    let told = bench.next_pass();
    bench.answer(&told[0], vec![event("merged", Some("7/1"), "k", "merged")]);
    assert_eq!(bench.field("7/1", "summary"), "a", "nothing was heard");
    assert!(bench.pass(PATIENCE_MS - 1).is_empty());
    let again = bench.pass(1);
    assert_eq!((again.len(), again[0].id == told[0].id), (1, true));
    assert_eq!(again[0].tickets, told[0].tickets);
    assert_ne!(again[0].polled_at, told[0].polled_at, "it says when it asks now");
    bench.machine.set_faults(ElementFaults::default());
    bench.answer(&again[0], vec![event("merged", Some("7/1"), "k", "merged")]);
    assert_eq!(bench.field("7/1", "summary"), "merged");
    // The first answer, late.
    assert!(bench.answer(&told[0], vec![event("deleted", Some("7/1"), "k", "")]).is_empty());
    assert_eq!((bench.count("strays"), bench.field("7/1", "summary")), (1, json!("merged")));
}

#[test]
fn a_page_can_come_twice_and_two_in_the_wrong_order_but_never_the_last_one() {
    let doubled = ElementFaults { doubled_rate: 1.0, ..ElementFaults::default() };
    let mut bench = Bench::with(doubled, 0);
    bench.make("a");
    let told = bench.next_pass();
    assert_eq!((told.len(), &told[0]), (2, &told[1]));

    let reordered = ElementFaults { reordered_rate: 1.0, ..ElementFaults::default() };
    let mut bench = Bench::with(reordered, 1);
    for number in 0..5 {
        bench.make(&number.to_string());
    }
    bench.machine.credited(Some(1));
    let all: Vec<_> = bench.whole_pass();
    let order: Vec<_> = all.iter().flat_map(|page| ids(page)).collect();
    assert_eq!(order, ["7/2", "7/1", "7/4", "7/3", "7/5"]);
    let complete: Vec<_> = all.iter().map(|page| page.complete).collect();
    assert_eq!(complete, [false, false, false, false, true]);
    assert_eq!(bench.count("reordered"), 2);
}

#[test]
fn a_restart_forgets_what_was_told_and_who_has_died_and_keeps_the_table() {
    let mut bench = Bench::new();
    for summary in ["a", "b"] {
        bench.make(summary);
    }
    bench.whole_pass();
    assert!(bench.machine.remove("7/1", bench.now_ms));
    let told = bench.next_pass();
    assert!(told[0].tickets[0].deleted);
    bench.machine.restart();
    assert!(bench.answer(&told[0], Vec::new()).is_empty(), "of another life");
    let next = bench.next_pass();
    assert_eq!(ids(&next[0]), ["7/2"], "only its absence tells of the other one");
    assert!(!next[0].tickets[0].deleted);
    bench.answer(&next[0], Vec::new());
    bench.machine.remove("7/2", bench.now_ms);
    let told = bench.next_pass();
    assert!(told[0].tickets[0].deleted);
    bench.answer(&told[0], Vec::new());
    assert!(bench.next_pass()[0].tickets.is_empty(), "told once");
}

#[test]
fn while_there_is_more_it_asks_on_with_the_cursor_and_without_tickets() {
    let mut bench = Bench::new();
    bench.machine.credited(Some(1));
    bench.make("a");
    bench.make("b");
    let told = bench.next_pass();
    let more = |id: &str, cursor: Value| Answer {
        id: id.to_owned(),
        more: true,
        cursor: Some(cursor),
        events: vec![event("created", None, id, "theirs")],
        ..Answer::default()
    };
    let asks = bench.machine.answered(&more(&told[0].id, json!("c1")), bench.now_ms);
    assert_eq!((asks.len(), asks[0].tickets.len(), &asks[0].cursor), (1, 0, &Some(json!("c1"))));
    assert_eq!((&asks[0].pass, told[0].pass.is_some()), (&None, true));
    let asks_on = bench.machine.answered(&more(&asks[0].id, json!("c2")), bench.now_ms);
    assert_eq!(asks_on[0].cursor, Some(json!("c2")));
    let goes_on = bench.answer(&asks_on[0], Vec::new());
    assert_eq!(
        (ids(&goes_on[0]), &goes_on[0].cursor),
        (vec!["7/2"], &None),
        "then its own next page"
    );
    assert_eq!(goes_on[0].pass, told[0].pass);
    assert_eq!(bench.count("made"), 2);
}

#[test]
fn its_clock_may_be_wrong_and_it_may_be_silent_or_without_a_line() {
    let faults = ElementFaults { clock_offset_ms: -600_000, ..ElementFaults::default() };
    let mut bench = Bench::with(faults, 0);
    bench.make("a");
    let told = bench.next_pass();
    assert_eq!(told[0].polled_at, "2026-11-21T09:50:10.000Z");
    assert_eq!(told[0].tickets[0].changed_at, "2026-11-21T09:50:00.000Z");
    bench.machine.set_faults(ElementFaults { silent: true, ..ElementFaults::default() });
    assert!(bench.next_pass().is_empty());
    bench.machine.set_faults(ElementFaults::default());
    bench.machine.connected(false);
    assert!(bench.next_pass().is_empty());
    bench.machine.connected(true);
    let again = bench.pass(0);
    assert_eq!(again[0].id, told[0].id, "what was on its way is sent again");
    let odd = ElementFaults { doubled_rate: 2.0, ..ElementFaults::default() };
    assert!(odd.check().unwrap_err().contains("doubled_rate"));
}

#[test]
fn it_is_quiet_once_all_is_told_and_nothing_is_on_its_way() {
    let mut bench = Bench::new();
    let quiet = |bench: &Bench| bench.machine.report()["quiet"].as_bool().unwrap();
    assert!(quiet(&bench));
    bench.make("a");
    assert!(!quiet(&bench));
    let told = bench.next_pass();
    assert!(!quiet(&bench));
    bench.answer(&told[0], vec![event("merged", Some("7/1"), "k", "m")]);
    assert!(!quiet(&bench), "it is still to be told once more");
    bench.whole_pass();
    assert!(quiet(&bench));
}
