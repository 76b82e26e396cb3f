//! How far long work is, on stderr: a line that moves on a terminal, now and then a line where there is none.
//! What is asked for goes to stdout, and is never mixed with it.

use crate::say;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// Without a terminal a line comes so often: whoever reads a log wants to see that it goes on.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Work that goes on.
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    plain: bool,
    told: Instant,
}

impl Progress {
    /// Begins; `whole`: so many in all, where that is known.
    pub fn new(what: &'static str, whole: Option<u64>) -> Self {
        // Hidden by itself where stderr is no terminal.
        let bar = whole.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = match whole {
            Some(_) => "{bar:30} {human_pos}/{human_len} {msg}, {eta} to go",
            None => "{spinner} {human_pos} {msg}, {per_sec}",
        };
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self { bar, what, plain: !std::io::stderr().is_terminal(), told: Instant::now() }
    }

    /// It has come so far.
    pub fn at(&mut self, place: u64) {
        self.bar.set_position(place);
        if self.plain && self.told.elapsed() >= PLAIN_EVERY {
            self.told = Instant::now();
            say::aside(format_args!("ticketgate: {place} {} so far", self.what));
        }
    }

    /// Prints without disturbing the line.
    pub fn aside(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// It is over.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}
