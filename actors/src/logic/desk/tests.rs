use super::*;
use crate::logic::occurrence::{Absorbed, absorb};
use crate::logic::policy::Routing;
use crate::model::{BackendId, TicketKey};
use crate::testing::alarm_event;
use proptest::prelude::*;

const SHARE: usize = 4;
const ROOM: u64 = 1_000;

fn noc() -> BackendId {
    BackendId::new("noc")
}

fn alarm(n: i64, kind: Kind) -> Alarm {
    let routing = Routing { backend: Some(noc()), ..Routing::default() };
    let event = alarm_event("probe", &n.to_string());
    let Absorbed::Opened(mut alarm) = absorb(None, &event, &routing, Timestamp::from_millis(n))
    else {
        panic!("it is its first")
    };
    alarm.ticket = (kind == Kind::Known).then(|| TicketKey(uuid::Uuid::from_u128(1)));
    alarm
}

fn due(n: i64) -> DueAlarm {
    alone(alarm(n, Kind::New))
}

fn work(n: i64, kind: Kind, whole: bool) -> Work {
    let alarm = alarm(n, kind);
    let at = alarm.due_at.unwrap();
    Work { backend: noc(), at, kind, whole: whole.then(|| Box::new(alarm)) }
}

fn news(works: impl IntoIterator<Item = Work>) -> News {
    let mut news = News::default();
    works.into_iter().for_each(|work| news.add(work));
    news
}

fn new(n: i64) -> News {
    news([work(n, Kind::New, true)])
}

fn page(rows: impl IntoIterator<Item = i64>) -> Option<Page> {
    Some(Page { rows: rows.into_iter().map(due).collect(), room: ROOM })
}

/// One that has just read that nothing is due.
fn at_rest() -> Desk {
    let mut desk = Desk::default();
    desk.look();
    assert_eq!(desk.read(SHARE), Some(DueMost::of_each(QUEUE_MAX)));
    desk.found(page([]));
    desk
}

fn begun(desk: &mut Desk, share: usize) -> Vec<i64> {
    let number = |due: DueAlarm| due.alarm.at.alarm.id.parse().unwrap();
    std::iter::from_fn(|| desk.begin(share)).map(number).collect()
}

const NEW: Option<DueMost> = Some(DueMost { new: QUEUE_MAX, known: 0 });
const KNOWN: Option<DueMost> = Some(DueMost { new: 0, known: QUEUE_MAX });
const BOTH: Option<DueMost> = Some(DueMost { new: QUEUE_MAX, known: QUEUE_MAX });

#[test]
fn what_is_handed_over_goes_to_its_flow_without_a_read() {
    let mut desk = at_rest();
    desk.hand(news([work(1, Kind::New, true), work(2, Kind::New, true)]));
    assert_eq!(begun(&mut desk, SHARE), [1, 2]);
    assert_eq!(desk.read(SHARE), None);
}

#[test]
fn nothing_is_taken_by_a_desk_that_has_not_read_yet() {
    let mut desk = Desk::default();
    desk.hand(new(1));
    assert_eq!(desk.begin(SHARE), None);
    assert_eq!(desk.read(SHARE), NEW);
    desk.found(page([0, 1]));
    assert_eq!(begun(&mut desk, SHARE), [0, 1]);
}

#[test]
fn one_that_must_be_read_takes_those_beside_it_along() {
    for first in [true, false] {
        let mut desk = at_rest();
        desk.hand(news([work(1, Kind::New, first), work(2, Kind::New, !first)]));
        assert_eq!(desk.begin(SHARE), None);
        assert_eq!(desk.read(SHARE), BOTH);
    }
}

#[test]
fn an_alarm_that_has_a_ticket_does_not_hold_up_the_new_ones() {
    let mut desk = at_rest();
    desk.hand(news([work(1, Kind::Known, false), work(2, Kind::New, true)]));
    assert_eq!(begun(&mut desk, SHARE), [2]);
    assert_eq!(desk.read(SHARE), KNOWN);
    desk.hand(new(3));
    assert_eq!(begun(&mut desk, SHARE), [3]);
}

#[test]
fn what_comes_during_a_read_waits_for_it_and_goes_behind_what_it_found() {
    let mut desk = at_rest();
    desk.look();
    assert_eq!(desk.read(SHARE), BOTH);
    // The read saw the first of them, or did not.
    desk.hand(news([work(7, Kind::New, true), work(8, Kind::New, true)]));
    assert_eq!(desk.begin(SHARE), None);
    desk.found(page([5, 7]));
    assert_eq!(begun(&mut desk, SHARE), [5, 7, 8]);
    assert_eq!(desk.read(SHARE), None);
}

#[test]
fn behind_a_full_page_there_may_be_others() {
    let mut desk = at_rest();
    desk.look();
    desk.read(SHARE);
    desk.hand(new(500));
    desk.found(page(0..i64::from(QUEUE_MAX)));
    desk.hand(new(501));
    let most = i64::from(QUEUE_MAX);
    let all: Vec<i64> = (0..most).collect();
    assert_eq!(begun(&mut desk, 1_000), all);
    assert_eq!(desk.read(1_000), NEW);
    desk.found(page([most, 500, 501]));
    assert_eq!(begun(&mut desk, 1_000), [most, 500, 501]);
}

#[test]
fn a_wake_up_during_a_read_is_not_forgotten() {
    let mut desk = at_rest();
    desk.look();
    desk.read(SHARE);
    desk.hand(new(7));
    desk.look();
    desk.hand(new(8));
    desk.found(page([]));
    assert_eq!(desk.begin(SHARE), None);
    assert_eq!(desk.read(SHARE), BOTH);
}

#[test]
fn a_read_that_failed_leaves_nothing_behind_and_does_not_repeat_itself() {
    let mut desk = at_rest();
    desk.look();
    desk.read(SHARE);
    desk.found(None);
    assert_eq!(desk.read(SHARE), None);
    // Others may wait that it would have found.
    desk.hand(new(7));
    assert_eq!(desk.begin(SHARE), None);
    assert_eq!(desk.read(SHARE), NEW);
    desk.hand(new(8));
    desk.found(None);
    assert_eq!(desk.read(SHARE), NEW);
}

#[test]
fn what_was_read_before_it_is_handed_over_is_not_taken_twice() {
    let mut desk = at_rest();
    desk.look();
    desk.read(SHARE);
    desk.found(page([1]));
    desk.hand(new(1));
    assert_eq!(begun(&mut desk, SHARE), [1]);
    desk.hand(new(1));
    assert_eq!(desk.begin(SHARE), None);
    desk.finished(&due(1).alarm.at, false);
    assert_eq!((desk.read(SHARE), desk.begin(SHARE)), (None, None));
}

#[test]
fn one_whose_flow_was_refused_is_read_again() {
    let mut desk = at_rest();
    desk.hand(new(1));
    assert_eq!(begun(&mut desk, SHARE), [1]);
    desk.finished(&due(1).alarm.at, true);
    desk.hand(new(2));
    assert_eq!(desk.read(SHARE), BOTH);
    desk.found(page([1, 2]));
    assert_eq!(begun(&mut desk, SHARE), [1, 2]);
}

#[test]
fn a_line_that_has_enough_takes_nothing() {
    let mut desk = at_rest();
    desk.full(Kind::New, true);
    desk.hand(new(1));
    assert_eq!((desk.begin(SHARE), desk.read(SHARE)), (None, None));
    desk.full(Kind::New, false);
    assert_eq!((desk.begin(SHARE), desk.read(SHARE)), (None, NEW));
}

#[test]
fn of_a_backlog_no_more_is_held_than_a_page() {
    let mut desk = at_rest();
    desk.hand(news((0..1_000).map(|n| work(n, Kind::New, true))));
    assert_eq!(desk.new.queue.len(), 0);
    assert_eq!(desk.read(SHARE), BOTH);
    (0..1_000).for_each(|n| desk.hand(new(n)));
    assert_eq!(desk.handed.len(), QUEUE_MAX as usize);

    let mut desk = at_rest();
    (0..1_000).for_each(|n| desk.hand(new(n)));
    assert_eq!(desk.new.queue.len(), QUEUE_MAX as usize);
    let all: Vec<i64> = (0..i64::from(QUEUE_MAX)).collect();
    assert_eq!(begun(&mut desk, 1_000), all);
    assert_eq!(desk.read(1_000), NEW);
}

#[test]
fn no_more_is_handed_over_than_admission_has_left() {
    let mut desk = at_rest();
    desk.look();
    desk.read(SHARE);
    desk.found(Some(Page { rows: vec![due(1)], room: 2 }));
    desk.hand(new(2));
    desk.hand(new(3));
    assert_eq!(begun(&mut desk, SHARE), [1, 2]);
    assert_eq!(desk.read(SHARE), NEW);
    desk.found(Some(Page { rows: Vec::new(), room: 0 }));
    desk.hand(news([work(4, Kind::Known, false)]));
    assert_eq!(desk.read(SHARE), KNOWN);
    // That there is room again does not say that nobody waits for it.
    desk.found(page([]));
    desk.hand(new(5));
    assert_eq!((desk.begin(SHARE), desk.read(SHARE)), (None, NEW));
}

/// Something that happens around a desk.
#[derive(Clone, Debug)]
enum Step {
    /// So many alarms are committed, one by one; handed over, or to be read.
    Commit(u8, Kind, bool),
    /// The desk is told of so many commits.
    Tell(u8),
    /// The reader sees the rows.
    See(u64),
    /// Its answer arrives, or that it failed.
    Answer(bool),
    /// A flow ends: its decision was committed or not.
    End(u8, bool),
    Full(Kind, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![4 => Just(Kind::New), 1 => Just(Kind::Known)];
    let many = prop_oneof![6 => 1..4_u8, 1 => 100..200_u8];
    let step = prop_oneof![
        4 => (many, kind.clone(), proptest::bool::weighted(0.9)).prop_map(|(n, kind, whole)| Step::Commit(n, kind, whole)),
        4 => (1..9_u8).prop_map(Step::Tell),
        4 => prop_oneof![5 => Just(ROOM), 1 => 0..3_u64].prop_map(Step::See),
        4 => proptest::bool::weighted(0.9).prop_map(Step::Answer),
        8 => (any::<u8>(), proptest::bool::weighted(0.8)).prop_map(|(n, done)| Step::End(n, done)),
        1 => (kind, any::<bool>()).prop_map(|(kind, full)| Step::Full(kind, full)),
    ];
    proptest::collection::vec(step, 1..150)
}

/// A row as it is stored.
struct Row {
    kind: Kind,
    /// Somebody has told the desk of it.
    told: bool,
    /// A flow has begun for it before.
    begun: bool,
    done: bool,
}

/// A desk with a store, and flows that take their time.
#[derive(Default)]
struct Around {
    desk: Desk,
    rows: Vec<Row>,
    /// Commits of which the desk has not been told.
    untold: VecDeque<(usize, bool)>,
    reading: Option<(DueMost, Option<Page>)>,
    flows: Vec<(usize, OccurrenceRef)>,
    /// Since a read that failed, or that admission has cut short, only the clock finds all.
    needs_clock: bool,
}

impl Around {
    fn row(&self, n: usize) -> DueAlarm {
        alone(alarm(i64::try_from(n).unwrap(), self.rows[n].kind))
    }

    fn see(&self, most: DueMost, room: u64) -> Page {
        let of = |kind, limit: u32| {
            let limit = if room > 0 { limit as usize } else { 0 };
            let open = (0..self.rows.len()).filter(move |n| self.rows[*n].kind == kind);
            open.filter(|n| !self.rows[*n].done).take(limit)
        };
        let mut rows: Vec<usize> =
            of(Kind::New, most.new).chain(of(Kind::Known, most.known)).collect();
        rows.sort_unstable();
        Page { rows: rows.into_iter().map(|n| self.row(n)).collect(), room }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Commit(many, kind, whole) => {
                for _ in 0..many {
                    let row = Row { kind, told: false, begun: false, done: false };
                    self.untold.push_back((self.rows.len(), whole && kind == Kind::New));
                    self.rows.push(row);
                }
            }
            Step::Tell(many) => {
                let many = usize::from(many).min(self.untold.len());
                let told: Vec<_> = self.untold.drain(..many).collect();
                let works = told
                    .iter()
                    .map(|(n, whole)| work(i64::try_from(*n).unwrap(), self.rows[*n].kind, *whole));
                self.desk.hand(news(works));
                told.iter().for_each(|(n, _)| self.rows[*n].told = true);
            }
            Step::See(room) => {
                if let Some((most, None)) = self.reading {
                    self.needs_clock |= room < ROOM;
                    self.reading = Some((most, Some(self.see(most, room))));
                }
            }
            Step::Answer(true) => {
                if let Some((_, page)) = self.reading.take_if(|(_, page)| page.is_some()) {
                    self.desk.found(page);
                }
            }
            Step::Answer(false) => {
                if self.reading.take().is_some() {
                    self.needs_clock = true;
                    self.desk.found(None);
                }
            }
            Step::End(which, done) => {
                if !self.flows.is_empty() {
                    let which = usize::from(which) % self.flows.len();
                    self.end(which, done);
                }
            }
            Step::Full(kind, full) => self.desk.full(kind, full),
        }
        self.go_on();
    }

    fn end(&mut self, which: usize, done: bool) {
        let (n, at) = self.flows.swap_remove(which);
        // What was decided already is refused.
        let again = self.rows[n].done || !done;
        self.rows[n].done |= done;
        self.desk.finished(&at, again);
    }

    /// As the dispatcher does after each message.
    fn go_on(&mut self) {
        while let Some(due) = self.desk.begin(SHARE) {
            let n: usize = due.alarm.at.alarm.id.parse().unwrap();
            assert!(self.flows.iter().all(|(other, _)| *other != n), "two flows for {n}");
            let waits =
                |row: &Row| row.told && !row.begun && !row.done && row.kind == self.rows[n].kind;
            // One that was decided already does nobody harm.
            if !self.rows[n].done {
                let longer = self.rows[..n].iter().position(waits);
                assert_eq!(longer, None, "goes after {n}, and has been due for longer");
            }
            self.rows[n].begun = true;
            self.flows.push((n, due.alarm.at));
        }
        if let Some(most) = self.desk.read(SHARE) {
            assert!(self.reading.is_none(), "two reads at once");
            self.reading = Some((most, None));
        }
        for line in [&self.desk.new, &self.desk.known] {
            assert!(line.queue.len() < SHARE + QUEUE_MAX as usize);
        }
        assert!(self.desk.handed.len() <= QUEUE_MAX as usize);
    }

    /// From now on nothing goes wrong.
    fn comes_to_rest(&mut self) {
        for kind in Kind::ALL {
            self.step(&Step::Full(kind, false));
        }
        while !self.untold.is_empty() {
            self.step(&Step::Tell(u8::MAX));
        }
        if self.needs_clock {
            self.step(&Step::See(ROOM));
            self.step(&Step::Answer(true));
            self.desk.look();
            self.go_on();
        }
        while self.reading.is_some() || !self.flows.is_empty() {
            self.step(&Step::See(ROOM));
            self.step(&Step::Answer(true));
            self.step(&Step::End(0, true));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Hand-overs and reads cross in every way: nothing has two flows, nobody is overtaken, and nothing is
    /// forgotten, without the clock unless a read had failed or was cut short.
    #[test]
    fn each_alarm_gets_its_flow_in_its_turn(steps in steps()) {
        let mut around = Around::default();
        around.desk.look();
        around.go_on();
        steps.iter().for_each(|step| around.step(step));
        around.comes_to_rest();
        prop_assert_eq!(around.rows.iter().position(|row| !row.done), None);
    }
}
