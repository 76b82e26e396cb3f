//! A lane, between its store and its backend: both answer at once, with what was prepared.

use crate::committed::at_most;
use crate::heap::settled;
use gungraun::{library_benchmark, library_benchmark_group};
use std::hint::black_box;
use ticketgate_actors::changes::{Applied, Concluded};
use ticketgate_actors::logic::lane::{
    CLASSES, Capability, Dice, Effect, HEADS_MAX, Input, Lane, LaneSettings, Turn,
};
use ticketgate_actors::model::{
    AlarmRef, BackendId, CorrelationKey, Epoch, EventId, Fields, Found, Kind, MadeBy, Moment, Mono,
    OccurrenceRef, Op, Origin, Request, RequestId, State, Ticket, TicketKey, TicketStatus,
    Timestamp,
};
use ticketgate_actors::ports::{Answer, Heard};
use uuid::Uuid;

const NOW: Moment = Moment { wall: Timestamp::from_millis(1_795_255_200_000), mono: Mono(500_000) };

/// Identities that count.
struct Counting(u128);

impl Dice for Counting {
    fn event_id(&mut self) -> EventId {
        self.0 += 1;
        EventId(Uuid::from_u128(self.0))
    }
    fn chance(&mut self) -> f64 {
        0.5
    }
}

/// A create of its own ticket, as it waits.
fn create(n: u64) -> Request {
    let number = u128::from(n);
    let alarm = AlarmRef { source: "bench".into(), id: n.to_string() };
    let made_by = MadeBy::Level { at: OccurrenceRef { alarm, occurrence: 1 }, version: 1 };
    let place = (BackendId::new("crm"), TicketKey(Uuid::from_u128(number)));
    let fields = Fields::from_iter(
        ["summary", "description", "severity", "object"].map(|it| (it.to_owned(), it.into())),
    );
    let id = RequestId(Uuid::from_u128(1_000 + number));
    Request { n, ..Request::accepted(id, place, Op::Create, made_by, fields, NOW.wall) }
}

/// The ticket of that create.
fn ticket(n: u64) -> Ticket {
    let key = TicketKey(Uuid::from_u128(u128::from(n)));
    let place = (BackendId::new("crm"), Kind::Incident);
    let origin = Origin::Command { id: n.to_string() };
    Ticket::pending(key, place, CorrelationKey(format!("tg{n}")), origin, "node-1", NOW.wall)
}

/// What the store says once the intent is kept.
fn intended(n: u64) -> Applied {
    let request = Request { state: State::Intent, attempts: 1, ..create(n) };
    Applied::Intended(Box::new(request), Box::new(ticket(n)))
}

/// What the backend says.
fn made(n: u64) -> Heard {
    Answer::Done(Found { backend_id: format!("INC{n}"), ..Found::default() }).into()
}

/// What the store says once the outcome is kept.
fn concluded(n: u64) -> Applied {
    let made = ticket(n);
    let ticket =
        Ticket { backend_id: Some(format!("INC{n}")), status: TicketStatus::Acknowledged, ..made };
    let request = Request { state: State::Done, attempts: 1, ..create(n) };
    Applied::Concluded(Box::new(Concluded { request, ticket, next: None, due: None, events: true }))
}

/// A lane at work: what it wanted so far, and whom it asks for chance.
struct AtWork {
    lane: Lane,
    dice: Counting,
    wanted: Vec<Vec<Effect>>,
}

impl AtWork {
    /// Taken over, with these requests waiting.
    fn with(waiting: Vec<Request>) -> Self {
        let settings = LaneSettings { capability: Capability::Searchable, ..Default::default() };
        let lane = Lane::new(BackendId::new("crm"), settings);
        let mut at_work = Self { lane, dice: Counting(0), wanted: Vec::with_capacity(16) };
        let (doubts, unconfirmed, held) = (vec![], vec![], vec![]);
        at_work.step(Input::Taken { epoch: Epoch(1), pause: None, doubts, unconfirmed, held });
        let mut waiting = Some(waiting);
        for class in 0..CLASSES {
            let class = u8::try_from(class).expect("there are three");
            let requests = Some(waiting.take().unwrap_or_default());
            at_work.step(Input::Loaded { class, requests, all: true, next_ready: None });
        }
        at_work
    }

    fn step(&mut self, input: Input) {
        self.wanted.push(self.lane.step(black_box(input), NOW, &mut self.dice));
    }

    /// The turn of what the lane has at the store.
    fn stored(&mut self, applied: Vec<Applied>) {
        let at_store = |effect: &Effect| match effect {
            Effect::Store(turn, _) => Some(*turn),
            _ => None,
        };
        let turn = self.turn(at_store);
        self.step(Input::Stored(turn, Ok(applied)));
    }

    fn answered(&mut self, heard: Heard) {
        let under_way = |effect: &Effect| match effect {
            Effect::Call(turn, _) => Some(*turn),
            _ => None,
        };
        let turn = self.turn(under_way);
        self.step(Input::Answered(turn, heard));
    }

    /// The last step wanted something of the kind.
    fn turn(&self, of: impl Fn(&Effect) -> Option<Turn>) -> Turn {
        let last = self.wanted.iter().rev().find_map(|effects| effects.iter().find_map(&of));
        last.expect("the lane goes on as it should")
    }
}

/// All that a create needs.
struct Idle {
    at_work: AtWork,
    request: Box<Request>,
    applied: [Applied; 2],
    heard: Heard,
}

fn idle() -> Idle {
    settled(Idle {
        at_work: AtWork::with(vec![]),
        request: Box::new(create(1)),
        applied: [intended(1), concluded(1)],
        heard: made(1),
    })
}

// An idle lane: submit, intend, call, conclude.
#[library_benchmark]
#[bench::of_an_idle_lane(args = (), setup = idle, config = at_most("lane_create"))]
fn create_from_submit_to_conclusion(it: Idle) -> AtWork {
    let Idle { mut at_work, request, applied: [intended, concluded], heard } = it;
    at_work.step(Input::Submitted(request));
    at_work.stored(vec![intended]);
    at_work.answered(heard);
    at_work.stored(vec![concluded]);
    at_work
}

/// The first of a window full of creates is under way.
struct Busy {
    at_work: AtWork,
    heard: Heard,
    applied: Vec<Applied>,
}

fn busy() -> Busy {
    let mut at_work = AtWork::with((1..=HEADS_MAX as u64).map(create).collect());
    at_work.stored(vec![intended(1)]);
    settled(Busy { at_work, heard: made(1), applied: vec![concluded(1), intended(2)] })
}

// A lane with much to do: its call is answered, the outcome is kept with the next intent, the next call
// begins.
#[library_benchmark]
#[bench::of_a_full_lane(args = (), setup = busy, config = at_most("lane_next_of_many"))]
fn next_call(it: Busy) -> AtWork {
    let Busy { mut at_work, heard, applied } = it;
    at_work.answered(heard);
    at_work.stored(applied);
    at_work
}

library_benchmark_group!(
    name = one_lane,
    benchmarks = [create_from_submit_to_conclusion, next_call]
);
