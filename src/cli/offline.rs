//! Commands that need no running service: `check`, `presets`, `completions`.

use crate::backends::{self, Finding};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::sources;
use crate::topology;
use clap::CommandFactory;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use ticketgate_actors::ports::Clock;

/// Reaches every backend with a read, and says what works. The file itself has been checked.
pub async fn check(path: &Path, loaded: &Loaded) -> anyhow::Result<bool> {
    backends::install_tls();
    println!("{}: the file is right", path.display());
    for (key, what) in loaded.config.sync_warnings() {
        println!("warning: {key}: {what}");
    }
    let mut all = true;
    if loaded.config.topology.is_given() {
        match loaded.config.topology.load().await {
            Ok(table) => println!("topology: {}", topology::in_words(&table)),
            Err(reason) => {
                all = false;
                println!("topology: {reason}");
            }
        }
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["backend", "what", "works", "what was said"]);
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
        println!("no backend is configured: alarms will be accepted, and get no ticket");
    } else {
        println!("{table}");
    }
    Ok(all)
}

/// Prints what a shell needs to complete our commands.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<bool> {
    let mut command = super::Cli::command();
    // Not straight to a pipe that may be closed: what writes there gives up without a word.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "ticketgate", &mut script);
    std::io::stdout().write_all(&script)?;
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
        println!("{table}");
        return Ok(true);
    };
    match backends::preset(name).or_else(|| sources::preset(name)) {
        Some(text) => {
            print!("{text}");
            Ok(true)
        }
        None => anyhow::bail!(
            "no preset is called {name:?}; there are: {}",
            backends::preset_names().chain(sources::preset_names()).collect::<Vec<_>>().join(", ")
        ),
    }
}
