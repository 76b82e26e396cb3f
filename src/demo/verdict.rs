//! What the generator expected against what the simulated systems have.

use super::SYSTEMS;
use super::generator::Generator;
use crate::simulate::ledger::Ledger;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use ticketgate_actors::actors::Outside;
use ticketgate_actors::ports::StoreFigures;

/// A connection that is being closed may overlap the next call for a moment; a second call at the
/// same time would last as long as a call.
const OVERLAP_ALLOWED_MS: u64 = 5;
/// Alarms that are named when something is wrong.
const NAMED: usize = 10;

/// The comparison.
pub struct Verdict {
    expected: u64,
    made: u64,
    missing: Vec<String>,
    doubled: Vec<String>,
    wrong_state: Vec<String>,
    order_faults: usize,
    overlaps: Vec<String>,
    faults: BTreeMap<String, u64>,
    figures: StoreFigures,
    events: u64,
}

impl Verdict {
    /// Compares, alarm by alarm.
    pub async fn of(
        generator: &Generator,
        ledger: &Ledger,
        outside: &Outside,
    ) -> anyhow::Result<Self> {
        let mut verdict = Self {
            expected: 0,
            made: 0,
            missing: Vec::new(),
            doubled: Vec::new(),
            wrong_state: Vec::new(),
            order_faults: 0,
            overlaps: Vec::new(),
            faults: BTreeMap::new(),
            figures: outside.reads.figures().await?,
            events: generator.events(),
        };
        // (system, source, alarm) -> tickets, closed tickets
        let mut found: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
        for (system, _) in SYSTEMS {
            let report = ledger.report_with_tickets(system)?;
            verdict.made += report.tickets;
            verdict.order_faults += report.order_faults.len();
            if report.max_in_flight > 1 && report.longest_overlap_ms > OVERLAP_ALLOWED_MS {
                verdict.overlaps.push(format!("{system}: {} calls", report.max_in_flight));
            }
            for (fault, count) in report.faults_injected {
                *verdict.faults.entry(fault).or_default() += count;
            }
            for ticket in report.ticket_list.unwrap_or_default() {
                let text = |name: &str| {
                    ticket.alarm.get(name).and_then(|v| v.as_str()).unwrap_or("?").to_owned()
                };
                let key = (system.to_owned(), text("alarm_source"), text("alarm_id"));
                let entry = found.entry(key).or_default();
                entry.0 += 1;
                entry.1 += u64::from(ticket.status == "closed");
            }
        }
        for ((source, id), expected) in generator.expected() {
            verdict.expected += expected.tickets;
            let key = (expected.system.to_owned(), source.clone(), id.clone());
            let (tickets, closed) = found.remove(&key).unwrap_or_default();
            let named = format!("{source}/{id}: {tickets} of {}", expected.tickets);
            if tickets < expected.tickets {
                verdict.missing.push(named);
            } else if tickets > expected.tickets {
                verdict.doubled.push(named);
            } else if closed != expected.closed {
                let named = format!("{source}/{id}: {closed} closed of {}", expected.closed);
                verdict.wrong_state.push(named);
            }
        }
        // Tickets that nobody expected.
        verdict.doubled.extend(found.keys().map(|(s, source, id)| format!("{s}: {source}/{id}")));
        Ok(verdict)
    }

    /// Everything that was expected is there, exactly once, in its state.
    pub fn right(&self) -> bool {
        self.missing.is_empty()
            && self.doubled.is_empty()
            && self.wrong_state.is_empty()
            && self.order_faults == 0
            && self.overlaps.is_empty()
            && self.figures.unsent_events == 0
    }

    /// For people.
    pub fn print(&self, complete: bool, address: SocketAddr) {
        println!("\nThe simulated systems' own ledger:");
        println!("  events sent          {:>7}", self.events);
        println!("  tickets expected     {:>7}", self.expected);
        println!("  tickets there        {:>7}", self.made);
        if complete {
            println!("  missing              {:>7}", self.missing.len());
            println!("  doubled              {:>7}", self.doubled.len());
            println!("  not closed, or wrongly {:>5}", self.wrong_state.len());
        } else {
            println!("  (stopped half-way: what is not there yet is in the store)");
        }
        println!("  order faults         {:>7}", self.order_faults);
        println!("  two calls at once    {:>7}", self.overlaps.len());
        println!("  events to publish    {:>7}", self.figures.unsent_events);
        let faults: Vec<_> = self.faults.iter().map(|(name, n)| format!("{name} {n}")).collect();
        println!("  faults injected      {}", faults.join(", "));
        if complete {
            for (what, names) in [
                ("missing", &self.missing),
                ("doubled", &self.doubled),
                ("wrong state", &self.wrong_state),
                ("two calls at once", &self.overlaps),
            ] {
                for name in names.iter().take(NAMED) {
                    println!("  {what}: {name}");
                }
            }
            println!(
                "\n{}",
                if self.right() {
                    "Every alarm has exactly one ticket an occurrence."
                } else {
                    "NOT RIGHT: see above."
                }
            );
        }
        println!("(while it ran: http://{address}/api/v1/alarms/SOURCE/ID/explain)");
    }
}
