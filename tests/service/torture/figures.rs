//! The verdict: what the generator wrote down, held against the ticketing systems' own ledgers.

use super::lives::{Lives, Wanted};
use super::plan::Faults;
use crate::programs::Heard;
use crate::verdict::{self, Told};
use crate::world::World;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use ticketgate::simulate::report::TicketEntry;

/// What is shown of each kind of fault, where there are many.
const SHOWN: usize = 5;

/// An alarm: its source and its id.
type Name = (String, String);

/// What people were told of.
struct Declared {
    /// Alarms whose request waits for a person.
    undecided: BTreeSet<Name>,
    /// Correlation keys that more than one ticket carries.
    keys: BTreeSet<String>,
}

impl Declared {
    fn tells_of(&self, name: &Name, found: &[(String, TicketEntry)]) -> bool {
        let twice = found.iter().any(|(_, ticket)| self.keys.contains(&ticket.correlation_key));
        twice || self.undecided.contains(name)
    }
}

/// What came of it all.
#[derive(Debug, Default)]
pub struct Figures {
    pub published: usize,
    pub repeated: usize,
    pub must_exist: usize,
    pub found: usize,
    /// Tickets that must exist and do not, though nobody was told.
    pub lost: Vec<String>,
    /// Tickets that are there, and do not say what their alarm said last.
    pub behind: Vec<String>,
    /// Tickets too many of which nobody was told.
    pub duplicated: Vec<String>,
    /// Tickets too many, or missing, that a person was told of.
    pub declared: Vec<String>,
    /// Requests that wait for a person.
    pub undecided: usize,
    /// Requests that nobody has found out about yet.
    pub in_doubt: usize,
    /// Times that a request came to be in doubt, by the events of it.
    pub doubts: usize,
    pub order_faults: Vec<String>,
    /// The most calls at once at one ticketing system, and for how long.
    pub most_calls: u64,
    pub overlap_ms: u64,
    pub faults: Faults,
}

impl Figures {
    /// Reads the ledgers, and asks the service only for what it has declared: what waits for a
    /// person, and what it has told subscribers.
    pub async fn of(world: &World, lives: &Lives, told: &Told, mut faults: Faults) -> Self {
        let report = world.ledger().report();
        for (fault, times) in &report.faults_injected {
            *faults.entry(format!("backend: {fault}")).or_default() += times;
        }
        let order = report.order_faults.iter().map(|fault| format!("{fault:?}"));
        let backends = report.backends.values();
        let mut figures = Self {
            published: lives.messages.len(),
            repeated: lives.repeated,
            must_exist: lives.tickets(),
            found: usize::try_from(report.tickets).expect("so many fit"),
            order_faults: order.collect(),
            most_calls: backends.clone().map(|one| one.max_in_flight).max().unwrap_or_default(),
            overlap_ms: backends.map(|one| one.longest_overlap_ms).max().unwrap_or_default(),
            faults,
            ..Self::default()
        };
        let undecided = requests(world, "undecided").await;
        figures.undecided = undecided.len();
        figures.in_doubt = requests(world, "in_doubt").await.len();
        figures.doubts = told.of_event("in_doubt").count();
        let declared = Declared {
            undecided: undecided.iter().map(made_for).collect(),
            keys: told.of_event("duplicate_detected").filter_map(correlation_key).collect(),
        };
        figures.compare(lives, &tickets(world), &declared);
        for key in &report.duplicates {
            // An alarm with the right number of tickets hides that one is missing and one double.
            let said = figures.duplicated.iter().chain(&figures.declared);
            if !said.into_iter().any(|said| said.contains(key.as_str())) {
                figures.duplicated.push(format!("key {key}"));
            }
        }
        figures
    }

    fn compare(
        &mut self,
        lives: &Lives,
        there: &BTreeMap<Name, Vec<(String, TicketEntry)>>,
        declared: &Declared,
    ) {
        for (name, wanted) in &lives.wanted {
            let found = there.get(name).map(Vec::as_slice).unwrap_or_default();
            let astray = found.iter().filter(|(backend, _)| *backend != wanted.backend).count();
            let (is, must) = (found.len() - astray, wanted.tickets());
            let list = match (is < must, is > must || astray > 0) {
                (true, _) => &mut self.lost,
                (false, true) => &mut self.duplicated,
                (false, false) if differs(wanted, found) => &mut self.behind,
                (false, false) => continue,
            };
            let list = if declared.tells_of(name, found) { &mut self.declared } else { list };
            list.push(format!("{name:?}: {wanted:?}, and is {found:?}"));
        }
        let strangers = there.iter().filter(|(name, _)| !lives.wanted.contains_key(*name));
        self.duplicated.extend(strangers.map(|(name, _)| format!("{name:?} was never raised")));
    }

    /// All is as it must be.
    pub fn hold(&self) {
        assert!(self.lost.is_empty(), "lost: {:#?}", self.lost);
        assert!(self.duplicated.is_empty(), "duplicated: {:#?}", self.duplicated);
        assert!(self.order_faults.is_empty(), "out of order: {:#?}", self.order_faults);
        assert!(self.behind.is_empty(), "not up to date: {:#?}", self.behind);
        let in_turn = self.most_calls <= 1 || self.overlap_ms < verdict::OVERLAP_ALLOWED_MS;
        assert!(in_turn, "{} calls at once, for {} ms", self.most_calls, self.overlap_ms);
        assert_eq!(self.in_doubt, 0, "nobody finds out about them");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            writeln!(f, "  {name:<34} {value:>8}")
        };
        writeln!(f, "figures")?;
        line(f, "events published", &self.published)?;
        line(f, "of them repeats", &self.repeated)?;
        line(f, "tickets that must exist", &self.must_exist)?;
        line(f, "tickets found", &self.found)?;
        line(f, "lost", &self.lost.len())?;
        line(f, "not up to date", &self.behind.len())?;
        line(f, "duplicated, undeclared", &self.duplicated.len())?;
        line(f, "duplicated or missing, declared", &self.declared.len())?;
        line(f, "declared in doubt, and found out", &self.doubts)?;
        line(f, "still in doubt", &self.in_doubt)?;
        line(f, "undecided", &self.undecided)?;
        line(f, "order faults", &self.order_faults.len())?;
        line(f, "calls in parallel at one backend", &self.most_calls)?;
        line(f, "longest overlap, ms", &self.overlap_ms)?;
        writeln!(f, "faults injected")?;
        for (fault, times) in &self.faults {
            line(f, fault, times)?;
        }
        let wrong = [&self.lost, &self.behind, &self.duplicated, &self.declared];
        for one in wrong.into_iter().flat_map(|all| all.iter().take(SHOWN)) {
            writeln!(f, "  {one}")?;
        }
        Ok(())
    }
}

/// Whether the tickets are not as their alarm's last event wants them.
fn differs(wanted: &Wanted, found: &[(String, TicketEntry)]) -> bool {
    let (closed, open): (Vec<_>, Vec<_>) =
        found.iter().map(|(_, ticket)| ticket).partition(|ticket| ticket.status == "closed");
    let says = open.first().and_then(|ticket| ticket.alarm.get("alarm_type"));
    let says = says.and_then(Value::as_str).map(str::to_owned);
    closed.len() != wanted.closed || says != wanted.open
}

/// Every ticket by its alarm's name, with the ticketing system that has it.
fn tickets(world: &World) -> BTreeMap<Name, Vec<(String, TicketEntry)>> {
    let mut found: BTreeMap<Name, Vec<(String, TicketEntry)>> = BTreeMap::new();
    for backend in world.ledger().report().backends.keys() {
        let report = world.ledger().report_with_tickets(backend).expect("the backend is known");
        for ticket in report.ticket_list.unwrap_or_default() {
            let text = |name: &str| ticket.alarm[name].as_str().unwrap_or_default().to_owned();
            let name = (text("alarm_source"), text("alarm_id"));
            found.entry(name).or_default().push((backend.clone(), ticket));
        }
    }
    found
}

async fn requests(world: &World, state: &str) -> Vec<Value> {
    let page = world.look(&format!("/api/v1/requests?state={state}&limit=500")).await;
    page["items"].as_array().cloned().unwrap_or_default()
}

fn correlation_key(event: &Heard) -> Option<String> {
    event.body["correlation_key"].as_str().map(str::to_owned)
}

fn made_for(request: &Value) -> Name {
    let text = |name: &str| request["made_for"][name].as_str().unwrap_or_default().to_owned();
    (text("source"), text("id"))
}
