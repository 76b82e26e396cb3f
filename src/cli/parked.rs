//! Messages that could not be read: look at them, mend them, have them taken, or let them go.

use super::pages::{Cursor, Rows};
use super::remote::{Ask, At, cell};
use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to do with parked messages.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// List them, newest first
    List {
        /// Only of this queue or webhook
        #[arg(long)]
        inlet: Option<String>,
        #[command(flatten)]
        rows: Rows,
    },
    /// Show one with its body
    Show {
        /// Its number
        n: u64,
    },
    /// Replace its body; the one that came is kept beside it
    Mend {
        /// Its number
        n: u64,
        /// The file with the new body, as text
        file: PathBuf,
        /// What the body is now, such as application/json
        #[arg(long)]
        content_type: Option<String>,
        /// Keep it also if it cannot be read
        #[arg(long)]
        force: bool,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Have it taken as if it had been taken when it was parked; it goes only if it is taken
    Replay {
        /// Its number
        n: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let it go: nobody needs it
    Discard {
        /// Its number
        n: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// `ticketgate parked`
pub async fn parked(at: At, command: ParkedCommand) -> anyhow::Result<bool> {
    match command {
        ParkedCommand::List { inlet, rows } => {
            let columns = [
                ("n", "/n"),
                ("when", "/at"),
                ("from", "/inlet"),
                ("bytes", "/bytes"),
                ("field", "/field"),
                ("mended", "/mended"),
                ("can be read now", "/reads/works"),
                ("reason", "/reason"),
            ];
            let ask = Ask::get(["parked"]).with("inlet", inlet);
            at.pages(ask, Cursor::Before, &rows, &columns).await
        }
        ParkedCommand::Mend { n, file, content_type, force, reason } => {
            let name = file.display().to_string();
            let body =
                std::fs::read_to_string(&file).with_context(|| format!("{name} is no text"))?;
            let mut said = json!({ "body": body, "force": force, "reason": reason });
            if let Some(content_type) = content_type {
                said["content_type"] = json!(content_type);
            }
            let answer = at.api(Ask::post(["parked", &n.to_string(), "mend"], said)).await?;
            at.show(&answer, |body| match body["reads"]["works"].as_bool() {
                Some(true) => "it can be read now: replay it".to_owned(),
                _ => format!("kept, but it cannot be read: {}", cell(body["reads"].get("said"))),
            })
        }
        ParkedCommand::Replay { n, reason } => {
            let path = ["parked", &n.to_string(), "replay"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |body| match body["older"].as_u64() {
                Some(1..) => {
                    "it was taken, and changed nothing: newer events of its alarm have come \
                     since it was parked"
                        .to_owned()
                }
                _ => "it was taken".to_owned(),
            })
        }
        ParkedCommand::Discard { n, reason } => {
            let path = ["parked", &n.to_string(), "discard"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |_| "it is gone".to_owned())
        }
        ParkedCommand::Show { n } => {
            let answer = at.api(Ask::get(["parked", &n.to_string()])).await?;
            at.show(&answer, |body| {
                let lines = ["at", "inlet", "message_id", "content_type", "field", "reason"]
                    .map(|name| format!("{name}: {}", cell(body.get(name))));
                let now = match body["reads"]["works"].as_bool() {
                    Some(true) => "it can be read: replay it".to_owned(),
                    _ => format!("it cannot be read: {}", cell(body["reads"].get("said"))),
                };
                let place = body["place"].as_u64().map(|place| {
                    format!("\nof its alarms: number {}; the others were taken", place + 1)
                });
                let mut shown = format!(
                    "{}{}\nmended: {}\nnow: {now}\n\n{}",
                    lines.join("\n"),
                    place.unwrap_or_default(),
                    cell(body.get("mended")),
                    text(&body["body"])
                );
                if body["original"].is_object() {
                    shown.push_str(&format!("\n\nas it came:\n{}", text(&body["original"])));
                }
                shown
            })
        }
    }
}

/// A body as text, or in hexadecimal where it is none.
fn text(body: &Value) -> &str {
    body["text"].as_str().or(body["hex"].as_str()).unwrap_or_default()
}
