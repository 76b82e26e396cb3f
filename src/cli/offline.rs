//! Commands that need no running service: `check`, `presets`.

use crate::backends;
use crate::clock::SystemClock;
use crate::config::Loaded;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use std::path::Path;
use std::sync::Arc;
use ticketgate_actors::model::{CorrelationKey, Kind};
use ticketgate_actors::ports::{Answer, Call, Clock, SearchBy, Work};

/// Reaches every backend with a read, and says what works. The file itself has been checked.
pub async fn check(path: &Path, loaded: &Loaded) -> anyhow::Result<bool> {
    backends::install_tls();
    println!("{}: the file is right", path.display());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let seats = crate::app::seats(&loaded.backends, &clock)?;
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["backend", "reached", "what it said"]);
    let mut all = true;
    for description in &loaded.backends {
        let seat = &seats[&description.id];
        // A key that no ticket has: an answer without tickets shows address, sign-in and search.
        let key = CorrelationKey("tgcheckcheckcheckcheckcheck".to_owned());
        let call = Call {
            request: None,
            alarm: None,
            work: Work::Search {
                by: SearchBy::CorrelationKey(key),
                kind: Kind::Incident,
                limit: 1,
            },
            send_by: clock.now().mono.plus(seat.settings.send_within),
            timeout: seat.settings.timeout,
        };
        let (reached, said) = match seat.port.call(call).await.answer {
            Answer::Read(reading) if reading.tickets.is_empty() => {
                ("yes", "signed in and searched".to_owned())
            }
            Answer::Read(_) | Answer::Done(_) => {
                all = false;
                ("yes", "a search for a key that nobody has found tickets: check search".to_owned())
            }
            Answer::NotSent(reason) => {
                all = false;
                ("no", reason)
            }
            Answer::Busy { error, .. } => ("yes", format!("busy: {}", error.reason)),
            Answer::Retryable { error, .. } | Answer::Refused(error) | Answer::InDoubt(error) => {
                all = false;
                ("yes", error.reason)
            }
            Answer::Unauthorised(error) => {
                all = false;
                ("yes", format!("it refuses our credentials: {}", error.reason))
            }
        };
        table.add_row([description.id.as_str(), reached, &said]);
    }
    if loaded.backends.is_empty() {
        println!("no backend is configured: alarms will be accepted, and get no ticket");
    } else {
        println!("{table}");
    }
    Ok(all)
}

/// Lists presets, or prints one.
pub fn presets(name: Option<&str>) -> anyhow::Result<bool> {
    let Some(name) = name else {
        for name in backends::preset_names() {
            println!("{name}");
        }
        return Ok(true);
    };
    match backends::preset(name) {
        Some(text) => {
            print!("{text}");
            Ok(true)
        }
        None => anyhow::bail!(
            "no preset is called {name:?}; there are: {}",
            backends::preset_names().collect::<Vec<_>>().join(", ")
        ),
    }
}
