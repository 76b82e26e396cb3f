//! Commands that need no running service: `check`, `presets`, `completions`.

use crate::amqp;
use crate::backends::{self, Finding};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::say;
use crate::sources;
use crate::topology;
use clap::CommandFactory;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use ticketgate_actors::ports::Clock;

/// Characters of a line: what the help text takes at most, too.
const TERMINAL_WIDTH: u16 = 100;

/// Reaches the broker, and every backend with a read, and says what works. The file itself has been checked.
pub async fn check(path: &Path, loaded: &Loaded) -> anyhow::Result<bool> {
    backends::install_tls();
    say::line(format_args!("{}: the file is right", path.display()))?;
    for (key, what) in loaded.config.warnings() {
        say::line(format_args!("warning: {key}: {what}"))?;
    }
    let mut all = true;
    if loaded.config.topology.is_given() {
        match loaded.config.topology.load().await {
            Ok(table) => {
                say::line(format_args!("topology: {}", topology::in_words(&table)))?;
            }
            Err(reason) => {
                all = false;
                say::line(format_args!("topology: {reason}"))?;
            }
        }
    }
    match &loaded.config.amqp {
        None => {
            say::line("broker: none is configured ([amqp]), alarms come over HTTP")?;
        }
        Some(settings) => match amqp::sign_in(settings, &loaded.config.node).await {
            Ok(where_) => {
                say::line(format_args!("broker: signed in at {where_}"))?;
            }
            Err(reason) => {
                all = false;
                say::line(format_args!("broker: {reason}"))?;
            }
        },
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["backend", "what", "works", "what was said"]);
    if std::io::stdout().is_terminal() {
        fit(&mut table);
    }
    for description in &loaded.backends {
        let findings = match backends::probe(description, clock.clone()).await {
            Ok(findings) => findings,
            Err(faults) => {
                all = false;
                for fault in faults {
                    table.add_row([description.id.as_str(), "config", "no", &fault.to_string()]);
                }
                continue;
            }
        };
        for Finding { what, works, said } in findings {
            all &= works != Some(false);
            let works = match works {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            table.add_row([description.id.as_str(), what, works, &said]);
        }
    }
    if loaded.backends.is_empty() {
        say::line("no backend is configured: alarms will be accepted, and get no ticket")?;
    } else {
        say::line(table)?;
    }
    Ok(all)
}

/// For eyes: what was said is folded, and not left to the terminal, which would break the columns.
fn fit(table: &mut Table) {
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TERMINAL_WIDTH);
}

/// Prints what a shell needs to complete our commands.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<bool> {
    let mut command = super::Cli::command();
    // Not straight to a pipe that may be closed: what writes there gives up without a word.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "ticketgate", &mut script);
    say::part(String::from_utf8_lossy(&script))?;
    Ok(true)
}

/// Lists presets, or prints one.
pub fn presets(name: Option<&str>) -> anyhow::Result<bool> {
    let Some(name) = name else {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["preset", "for"]);
        for name in backends::preset_names() {
            table.add_row([name, "[[backend]]"]);
        }
        for name in sources::preset_names() {
            table.add_row([name, "[[source]]"]);
        }
        say::line(table)?;
        return Ok(true);
    };
    match backends::preset(name).or_else(|| sources::preset(name)) {
        Some(text) => {
            say::part(text)?;
            Ok(true)
        }
        None => anyhow::bail!(
            "no preset is called {name:?}; there are: {}",
            backends::preset_names().chain(sources::preset_names()).collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_terminal_no_line_is_too_wide_and_no_word_is_lost() {
        let said = "word ".repeat(80);
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["backend", "what was said"]);
        table.add_row(["crm", said.trim()]);
        fit(&mut table);
        let shown = table.to_string();
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
        assert_eq!(shown.matches("word").count(), 80, "{shown}");
    }
}
