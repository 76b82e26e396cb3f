//! `ticketgate history` and `ticketgate offload`: what has ended, and its files.

use super::pages::{Cursor, Rows};
use super::remote::{Ask, At, cell};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;

/// Rows may be many, and every file is synced.
const OFFLOAD_WITHIN: Duration = Duration::from_secs(120);

/// The lists.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum List {
    /// Every write that ended
    Status,
    /// Every create that ended
    Tickets,
    /// Every create that was refused or has failed
    Failed,
}

/// What to do with history.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// List what has ended, newest first
    List {
        /// Which list
        #[arg(long, value_enum, default_value = "status")]
        list: List,
        /// Only rows before this one
        #[arg(long, value_name = "N")]
        before: Option<u64>,
        #[command(flatten)]
        rows: Rows,
    },
}

/// What to do with its files.
#[derive(Debug, Subcommand)]
pub enum OffloadCommand {
    /// Put what is more than an offload leaves into the files, without waiting for the next check
    Now {
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// `ticketgate history`
pub async fn history(at: At, command: HistoryCommand) -> anyhow::Result<bool> {
    let HistoryCommand::List { list, before, rows } = command;
    let word = match list {
        List::Status => "status",
        List::Tickets => "tickets",
        List::Failed => "failed",
    };
    let ask = Ask::get(["history"]).with("list", Some(word));
    let columns: &[(&str, &str)] = match list {
        List::Status => &[
            ("n", "/n"),
            ("ended", "/ended_at"),
            ("backend", "/backend"),
            ("ticket", "/backend_id"),
            ("kind", "/kind"),
            ("operation", "/operation"),
            ("alarm", "/alarm"),
            ("status", "/status"),
            ("reason", "/reason"),
        ],
        List::Tickets => &[
            ("n", "/n"),
            ("ended", "/ended_at"),
            ("ticket", "/ticket_id"),
            ("alarm", "/alarm_id"),
            ("element", "/element_name"),
            ("priority", "/priority"),
            ("urgency", "/urgency"),
            ("impact", "/technical_impact"),
            ("status", "/status"),
        ],
        List::Failed => &[
            ("n", "/n"),
            ("ended", "/ended_at"),
            ("ticket", "/ticket_id"),
            ("HTTP", "/http_error_code"),
            ("code", "/app_error_code"),
            ("message", "/error_message"),
            ("description", "/error_description"),
        ],
    };
    at.pages_from(ask, Cursor::Before, before.map(|n| n.to_string()), &rows, columns).await
}

/// `ticketgate offload`
pub async fn offload(at: At, command: OffloadCommand) -> anyhow::Result<bool> {
    let OffloadCommand::Now { reason } = command;
    let ask = Ask::post(["history", "offload"], json!({ "reason": reason }));
    let answer = at.api(ask.waiting(OFFLOAD_WITHIN)).await?;
    at.show(&answer, |body| {
        let lists = body["offloaded"].as_object().into_iter().flatten();
        let told: Vec<_> = lists
            .map(|(list, rows): (_, &Value)| format!("{} of {list}", cell(Some(rows))))
            .collect();
        format!("rows that went to their files: {}", told.join(", "))
    })
}
