//! With whom tickets are kept in step: look, run, try, replay, skip, move the cursor.

use super::pages::{Cursor, Rows};
use super::remote::{Ask, At, cell};
use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to do with syncs.
#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// List them: where each stands, and what its last run did
    List,
    /// What was told and not merged, and why
    Held {
        /// The sync
        name: String,
        #[command(flatten)]
        rows: Rows,
    },
    /// Run one now
    Run {
        /// The sync
        name: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Say what the next page would do; nothing is written
    DryRun {
        /// The sync
        name: String,
        /// From this cursor instead of the stored one
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Take a file as if the source had sent it; the cursor stays
    Replay {
        /// The sync
        name: String,
        /// The file: a page as the source sends it
        file: PathBuf,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Leave tickets alone
    Skip {
        /// The sync
        name: String,
        /// Their ids, comma-separated
        #[arg(value_delimiter = ',', required = true)]
        ids: Vec<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Take tickets off the skip list, and take in what was told of them meanwhile
    Unskip {
        /// The sync
        name: String,
        /// Their ids, comma-separated
        #[arg(value_delimiter = ',', required = true)]
        ids: Vec<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Move the cursor: do not touch it unless you know what you are doing
    Cursor {
        /// The sync
        name: String,
        /// The source's own cursor; without it the next run begins anew
        #[arg(long, default_value = "")]
        to: String,
        /// Of a feed by time: changed at or after this time
        #[arg(long)]
        since: Option<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// `ticketgate sync`
pub async fn run(at: At, command: SyncCommand) -> anyhow::Result<bool> {
    match command {
        SyncCommand::List => {
            let columns = [
                ("name", "/name"),
                ("backend", "/backend"),
                ("target", "/target"),
                ("from", "/from"),
                ("cursor", "/cursor"),
                ("last run", "/last_run/ended_at"),
                ("read", "/last_run/counters/read"),
                ("written", "/counters/written"),
                ("failed", "/counters/failed"),
                ("waiting", "/waiting"),
                ("error", "/last_run/error"),
            ];
            at.list(Ask::get(["sync"]), &columns).await
        }
        SyncCommand::Held { name, rows } => {
            let columns =
                [("id", "/id"), ("because", "/because"), ("reason", "/reason"), ("since", "/at")];
            let ask = Ask::get(["sync", &name, "held"]);
            at.pages(ask, Cursor::After, &rows, &columns).await
        }
        SyncCommand::Run { name, reason } => {
            let ask = Ask::post(["sync", &name, "run"], json!({ "reason": reason }));
            let answer = at.api(ask).await?;
            at.show(&answer, counted)
        }
        SyncCommand::DryRun { name, cursor } => {
            let columns =
                [("id", "/id"), ("what", "/what"), ("here", "/here"), ("written", "/written")];
            let ask = Ask::post(["sync", &name, "dry-run"], json!({ "cursor": cursor }));
            at.list(ask, &columns).await
        }
        SyncCommand::Replay { name, file, reason } => {
            let path = file.display().to_string();
            let bytes = std::fs::read(&file).with_context(|| format!("{path} cannot be read"))?;
            let ask = Ask::send_file(["sync", &name, "replay"], "application/json", bytes)
                .with("reason", Some(reason));
            let answer = at.api(ask).await?;
            at.show(&answer, counted)
        }
        SyncCommand::Skip { name, ids, reason } => {
            let body = json!({ "ids": ids, "reason": reason });
            let answer = at.api(Ask::post(["sync", &name, "skip"], body)).await?;
            at.show(&answer, |body| format!("skips: {}", cell(body.get("skip"))))
        }
        SyncCommand::Unskip { name, ids, reason } => {
            let body = json!({ "ids": ids, "reason": reason });
            let answer = at.api(Ask::post(["sync", &name, "unskip"], body)).await?;
            at.show(&answer, |body| format!("skips: {}", cell(body.get("skip"))))
        }
        SyncCommand::Cursor { name, to, since, reason } => {
            let body = json!({ "cursor": to, "watermark": since, "reason": reason });
            let answer = at.api(Ask::post(["sync", &name, "cursor"], body)).await?;
            at.show(&answer, |body| format!("cursor: {}", cell(body.get("cursor"))))
        }
    }
}

fn counted(body: &Value) -> String {
    let of = |name: &str| cell(body.pointer(&format!("/last_run/counters/{name}")));
    format!(
        "read {}, merged {}, created {}, unchanged {}, skipped {}, failed {}",
        of("read"),
        of("merged"),
        of("created"),
        of("unchanged"),
        of("skipped"),
        of("failed"),
    )
}
