//! Lives of alarms as their systems tell them, and what must exist because of that.
//!
//! What must exist is written down here while the messages are made, and nowhere else: nothing of
//! it comes from the service.

use crate::alarms::{SYSTEMS, malformed, message, raised};
use crate::dice::Dice;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Deliveries that the service may hold unacknowledged. What an alarm's system says one after the
/// other lies further apart, so that no redelivery can turn the order round: a raise that comes
/// before the clear that it follows would open no new occurrence, and rightly so.
pub const PREFETCH: usize = 64;
/// Between two words about one alarm, in lives.
const APART: usize = PREFETCH + 6;
/// One message in so many comes a second time.
const REPEATED: usize = 20;
/// For so many lives there is a message that cannot be read.
const LIVES_PER_MISTAKE: usize = 40;

/// What must be there of one alarm in the end.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The ticketing system that its rule names.
    pub backend: &'static str,
    /// Tickets that must be closed.
    pub closed: usize,
    /// Whether one must be open, and what it must say then.
    pub open: Option<String>,
}

impl Wanted {
    pub fn tickets(&self) -> usize {
        self.closed + usize::from(self.open.is_some())
    }
}

/// Everything that is published, and what must come of it.
pub struct Lives {
    /// In the order in which they are published.
    pub messages: Vec<Value>,
    /// By the alarm's source and id.
    pub wanted: BTreeMap<(String, String), Wanted>,
    /// The messages that must be parked: the field and a part of the reason, by message id.
    pub parked: BTreeMap<String, (Option<&'static str>, &'static str)>,
    /// Messages that come again.
    pub repeated: usize,
}

impl Lives {
    /// The same lives for the same seed.
    pub fn of(seed: u64, lives: usize) -> Self {
        let mut dice = Dice::new(seed);
        let mut script = Script::default();
        let mut wanted = BTreeMap::new();
        let mut parked = BTreeMap::new();
        for n in 0..lives {
            let (source, backend) = SYSTEMS[n % SYSTEMS.len()];
            let id = format!("A{n}");
            let states = life(dice.within(0..10));
            let mut want = Wanted { backend, ..Wanted::default() };
            for (step, state) in states.iter().enumerate() {
                script.says(n + step * APART, event(source, &id, n, step, state));
                want.open = (*state != "cleared").then(|| word(n, step));
                want.closed += usize::from(*state == "cleared");
            }
            wanted.insert((source.to_owned(), id), want);
            if n % LIVES_PER_MISTAKE == LIVES_PER_MISTAKE / 2 {
                let id = format!("bad-{n}");
                let (message, field, reason) = malformed(n / LIVES_PER_MISTAKE, &id);
                script.says(n, message);
                parked.insert(id, (field, reason));
            }
        }
        let repeated = script.repeat(&mut dice, &parked);
        Self { messages: script.in_order(), wanted, parked, repeated }
    }

    /// Tickets that must be there in the end.
    pub fn tickets(&self) -> usize {
        self.wanted.values().map(Wanted::tickets).sum()
    }
}

/// What one of ten alarms goes through.
fn life(kind: usize) -> &'static [&'static str] {
    match kind {
        0..5 => &["raised", "updated", "cleared"],
        5 | 6 => &["raised", "updated"],
        7 | 8 => &["raised"],
        _ => &["raised", "cleared", "raised"],
    }
}

/// A word that is new with every event, and stands in the ticket.
fn word(n: usize, step: usize) -> String {
    format!("word {step} of {n}")
}

fn event(source: &str, id: &str, n: usize, step: usize, state: &str) -> Value {
    let mut body = raised(source, id);
    let at = json!(format!("2026-11-21T10:00:0{step}Z"));
    body["state"] = json!(state);
    if state == "raised" {
        body["raised_at"] = at;
    } else {
        body["changed_at"] = at;
    }
    body["alarm_type"] = json!(word(n, step));
    let encoding = ["msgpack", "json"][(n / SYSTEMS.len() + step) % 2];
    message(&format!("{id}-{step}"), encoding, body)
}

/// Messages with their places in time.
#[derive(Default)]
struct Script(Vec<(usize, Value)>);

impl Script {
    fn says(&mut self, place: usize, message: Value) {
        self.0.push((place, message));
    }

    /// Some of the good ones again, under the same message id; how many.
    fn repeat<T>(&mut self, dice: &mut Dice, but: &BTreeMap<String, T>) -> usize {
        let first = self.0.len();
        for at in 0..first {
            let (place, message) = self.0[at].clone();
            let good = !but.contains_key(message["message_id"].as_str().unwrap_or_default());
            if dice.within(0..REPEATED) == 0 && good {
                self.says(place + dice.within(0..3 * APART), message);
            }
        }
        self.0.len() - first
    }

    fn in_order(mut self) -> Vec<Value> {
        // Stable: what is said at one place stays in its order.
        self.0.sort_by_key(|(place, _)| *place);
        self.0.into_iter().map(|(_, message)| message).collect()
    }
}
