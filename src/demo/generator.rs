//! A believable stream of alarms: raised, updated, repeated, cleared, now and then raised again.
//! It keeps what it expects: so many tickets for each alarm, and whether the last one is closed.

use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use ticketgate_actors::model::Timestamp;

/// One in so many alarms is raised again after its clear: a second occurrence, a second ticket.
const RAISED_AGAIN_ONE_IN: u64 = 12;

/// The alarm system whose alarms go to a simulated system.
pub fn source_of(system: &str) -> &'static str {
    match system {
        "fast" => "headend-probe",
        "slow" => "radio-access",
        _ => "facility-monitor",
    }
}

const OBJECTS: [(&str, [&str; 4]); 3] = [
    ("fast", ["mux-01/ts-3", "enc-07/video", "irdeto-2/cas", "mux-02/ts-1"]),
    ("slow", ["site-4711/cell-2", "site-1203/rru-1", "site-0815/link", "site-2290/power"]),
    ("flaky", ["hall-a/ups-1", "hall-b/chiller-2", "gate-7/reader", "hall-a/door-4"]),
];
const PROBLEMS: [(&str, &str); 5] = [
    ("loss of signal", "no carrier on the input for more than 10 s"),
    ("high bit error rate", "uncorrectable blocks above 1e-4"),
    ("temperature too high", "intake air above 35 °C"),
    ("link degraded", "one of two uplinks is down"),
    ("power supply failed", "PSU B reports no output"),
];
const SEVERITIES: [&str; 4] = ["critical", "major", "minor", "warning"];

/// What should exist for one alarm.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The simulated system.
    pub system: &'static str,
    /// Tickets: one an occurrence.
    pub tickets: u64,
    /// How many of them are closed at the end.
    pub closed: u64,
}

/// The stream.
pub struct Generator {
    random: u64,
    made: u64,
    events: u64,
    expected: BTreeMap<(String, String), Expected>,
    /// What is still to be said, by the tick at which it is said.
    later: BTreeMap<u64, VecDeque<Vec<u8>>>,
    tick: u64,
    clock: i64,
}

impl Generator {
    /// A stream that is the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            made: 0,
            events: 0,
            expected: BTreeMap::new(),
            later: BTreeMap::new(),
            tick: 0,
            // Any beginning will do: sources have clocks of their own.
            clock: 1_790_000_000_000,
        }
    }

    /// Alarms so far.
    pub fn alarms(&self) -> u64 {
        self.made
    }
    /// Events so far.
    pub fn events(&self) -> u64 {
        self.events
    }
    /// Is anything still to be said of the alarms so far?
    pub fn has_more(&self) -> bool {
        !self.later.is_empty()
    }
    /// What should exist, by source and alarm id.
    pub fn expected(&self) -> &BTreeMap<(String, String), Expected> {
        &self.expected
    }

    fn roll(&mut self, below: u64) -> u64 {
        // xorshift64: believable is enough.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// The next events: a new alarm, if `more`, and whatever is due of the earlier ones.
    pub fn next(&mut self, more: bool) -> Vec<Vec<u8>> {
        self.tick += 1;
        self.clock += 40;
        if more {
            self.raise();
        }
        let mut due = Vec::new();
        while let Some(first) = self.later.first_entry() {
            if *first.key() > self.tick && more {
                break;
            }
            due.extend(first.remove());
            if !more {
                break; // without new alarms the rest comes out quickly, but in its order
            }
        }
        self.events += due.len() as u64;
        due
    }

    /// Plans the whole life of a new alarm.
    fn raise(&mut self) {
        self.made += 1;
        let (system, objects) = OBJECTS[self.roll(OBJECTS.len() as u64) as usize];
        let object = objects[self.roll(objects.len() as u64) as usize];
        let problem = PROBLEMS[self.roll(PROBLEMS.len() as u64) as usize];
        let severity = SEVERITIES[self.roll(SEVERITIES.len() as u64) as usize];
        let source = source_of(system);
        let id = format!("A{:05}", self.made);
        let occurrences = 1 + u64::from(self.roll(RAISED_AGAIN_ONE_IN) == 0);
        let mut expected = Expected { system, ..Expected::default() };
        let (mut tick, mut at) = (self.tick, self.clock);
        for n in 1..=occurrences {
            let raised_at = at;
            let say = |generator: &mut Self, state: &str, text: &str, at: i64, tick: u64| {
                let body = json!({
                    "id": id, "source": source, "state": state, "severity": severity,
                    "raised_at": Timestamp::from_millis(raised_at).to_string(),
                    "changed_at": Timestamp::from_millis(at).to_string(),
                    "object": object, "object_name": object.replace('/', " "),
                    "alarm_type": "communicationsAlarm", "specific_problem": problem.0,
                    "text": text,
                });
                let body = serde_json::to_vec(&body).expect("text and numbers are JSON");
                generator.later.entry(tick).or_default().push_back(body);
            };
            say(self, "raised", problem.1, at, tick);
            expected.tickets += 1;
            if self.roll(3) == 0 {
                // The same event once more, as a redelivery.
                say(self, "raised", problem.1, at, tick + 1);
            }
            for update in 1..=self.roll(3) {
                at += 1_000;
                tick += 2 + self.roll(20);
                let text = format!("{}; seen {update} more", problem.1);
                say(self, "updated", &text, at, tick);
            }
            if n < occurrences || self.roll(10) < 7 {
                at += 1_000;
                tick += 5 + self.roll(40);
                say(self, "cleared", problem.1, at, tick);
                expected.closed += 1;
            }
            at += 1_000;
            tick += 3;
        }
        self.expected.insert((source.to_owned(), id), expected);
    }
}
