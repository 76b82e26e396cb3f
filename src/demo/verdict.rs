//! What the generator expected against what the simulated systems have.

use super::SYSTEMS;
use super::generator::Generator;
use crate::simulate::ledger::Ledger;
use std::collections::BTreeMap;
use ticketgate_actors::actors::Outside;
use ticketgate_actors::ports::StoreFigures;

/// A connection that is being closed may overlap the next call for a moment; a second call at the
/// same time would last as long as a call.
const OVERLAP_ALLOWED_MS: u64 = 5;
/// Alarms that are named when something is wrong.
const NAMED: usize = 10;

/// Why there are more tickets than alarms.
const RAISED_AGAIN: &str = "one an occurrence: some alarms were raised again after their clear";

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
    alarms: u64,
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
            alarms: generator.alarms(),
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

    /// For people; `complete`: the stream ended by itself.
    pub fn in_words(&self, complete: bool) -> String {
        let mut lines = vec![
            "\nThe simulated systems' own ledger:".to_owned(),
            format!("  events sent          {:>7}", self.events),
            format!("  alarms               {:>7}", self.alarms),
            format!("  tickets expected     {:>7}  {RAISED_AGAIN}", self.expected),
            format!("  tickets there        {:>7}", self.made),
        ];
        if complete {
            lines.extend([
                format!("  missing              {:>7}", self.missing.len()),
                format!("  doubled              {:>7}", self.doubled.len()),
                format!("  not closed, or wrongly {:>5}", self.wrong_state.len()),
            ]);
        } else {
            lines.push("  (stopped half-way: what is not there yet is in the store)".to_owned());
        }
        let faults: Vec<_> = self.faults.iter().map(|(name, n)| format!("{name} {n}")).collect();
        lines.extend([
            format!(
                "  order faults         {:>7}  writes that overtook one another",
                self.order_faults
            ),
            format!("  two calls at once    {:>7}", self.overlaps.len()),
            format!("  events to publish    {:>7}", self.figures.unsent_events),
            format!("  faults injected      {}", faults.join(", ")),
        ]);
        if complete {
            for (what, names) in [
                ("missing", &self.missing),
                ("doubled", &self.doubled),
                ("wrong state", &self.wrong_state),
                ("two calls at once", &self.overlaps),
            ] {
                lines.extend(names.iter().take(NAMED).map(|name| format!("  {what}: {name}")));
            }
            lines.push(String::new());
            lines.push(match self.right() {
                true => "Every alarm has exactly one ticket an occurrence.".to_owned(),
                false => "NOT RIGHT: see above.".to_owned(),
            });
        }
        lines.join("\n")
    }
}
