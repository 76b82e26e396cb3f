//! The live view: a line a lane and one for the stream; plain lines where there is no terminal.

use super::generator::Generator;
use crate::say;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use ticketgate_actors::actors::Outside;
use ticketgate_actors::model::BackendId;

/// Without a terminal a line is printed once in so many draws.
const PLAIN_ONE_IN: u32 = 8;

/// The view.
pub struct View {
    stream: ProgressBar,
    lanes: Vec<(BackendId, ProgressBar)>,
    _all: MultiProgress,
    plain: bool,
    draws: u32,
    /// Nobody reads any more.
    alone: bool,
}

impl View {
    /// A view of these lanes.
    pub fn new(alarms: Option<u64>, systems: [&str; 3]) -> Self {
        let all = MultiProgress::new();
        let style = |template: &str| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let stream = match alarms {
            Some(alarms) => all.add(ProgressBar::new(alarms)),
            None => all.add(ProgressBar::no_length()),
        };
        stream.set_style(style("stream {bar:30} {pos}/{len} alarms  {msg}"));
        let lane = |name: &str| {
            let bar = all.add(ProgressBar::no_length());
            bar.set_style(style("{prefix:<6} {msg}"));
            bar.set_prefix(name.to_owned());
            (BackendId::new(name), bar)
        };
        let lanes = systems.map(lane).into_iter().collect();
        let plain = !std::io::stderr().is_terminal();
        Self { stream, lanes, _all: all, plain, draws: 0, alone: false }
    }

    /// Draws the present state.
    pub async fn draw(&mut self, outside: &Outside, generator: &Generator) -> anyhow::Result<()> {
        self.draws += 1;
        let plain_line = self.plain && self.draws % PLAIN_ONE_IN == 1;
        if self.plain && !plain_line {
            return Ok(());
        }
        let figures = outside.reads.figures().await?;
        self.stream.set_position(generator.alarms());
        self.stream.set_message(format!(
            "{} events, {} tickets, {} alarms with work to do",
            generator.events(),
            figures.tickets,
            figures.unsettled_alarms
        ));
        let mut line = format!(
            "{} alarms, {} events, {} tickets, {} alarms with work to do",
            generator.alarms(),
            generator.events(),
            figures.tickets,
            figures.unsettled_alarms
        );
        for (backend, bar) in &self.lanes {
            let counts = outside.reads.lane_counts(backend.clone()).await?;
            let view = outside.views.lanes.get(backend).map(|v| v.clone()).unwrap_or_default();
            let text = format!(
                "{:>5} calls  {:>4} pending  {:>3} in doubt  {}  {}",
                view.calls,
                counts.pending,
                counts.in_doubt,
                view.glance.in_flight.as_deref().map_or("idle", |_| "calling"),
                view.glance.held.as_deref().unwrap_or_default()
            );
            line += &format!(" | {backend}: {} calls, {} in doubt", view.calls, counts.in_doubt);
            bar.set_message(text);
        }
        if plain_line {
            self.alone = !say::line(line)?;
        }
        Ok(())
    }

    /// Nobody reads what is printed.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Leaves the last state standing.
    pub fn finish(&self) {
        for (_, bar) in &self.lanes {
            bar.abandon();
        }
        self.stream.abandon();
    }
}
