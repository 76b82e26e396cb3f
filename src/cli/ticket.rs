//! `ticketgate ticket`: the commands of automation scripts, by hand.

use super::import;
use super::pages::{Cursor, Rows};
use super::remote::{Answer, Ask, At, cell, map, pair, span, table};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// What to do with tickets.
#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// Make a ticket
    Create {
        /// Where
        #[arg(long)]
        backend: String,
        /// incident, change or problem
        #[arg(long, default_value = "incident")]
        kind: String,
        /// A field, more than once if needed
        #[arg(long = "field", value_name = "NAME=VALUE", value_parser = pair)]
        fields: Vec<(String, Value)>,
        /// The source of the alarm that it is for
        #[arg(long, requires = "alarm_id")]
        alarm_source: Option<String>,
        /// The id of the alarm that it is for
        #[arg(long, requires = "alarm_source")]
        alarm_id: Option<String>,
        #[command(flatten)]
        write: Write,
    },
    /// Bring along open tickets of an old system, so that repeated alarms find them
    Import {
        /// A CSV file whose head names the columns source, alarm_id, backend, backend_id, status, and
        /// perhaps kind
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Only say what would become of each
        #[arg(long)]
        dry_run: bool,
        /// Why
        #[arg(long, default_value = "taken over from the system before")]
        reason: String,
    },
    /// Set fields of a ticket
    Update {
        #[command(flatten)]
        which: Which,
        /// A field, more than once if needed
        #[arg(long = "field", value_name = "NAME=VALUE", value_parser = pair, required = true)]
        fields: Vec<(String, Value)>,
        #[command(flatten)]
        write: Write,
    },
    /// Close a ticket
    Close {
        #[command(flatten)]
        which: Which,
        /// A field to set with it, more than once if needed
        #[arg(long = "field", value_name = "NAME=VALUE", value_parser = pair)]
        fields: Vec<(String, Value)>,
        #[command(flatten)]
        write: Write,
    },
    /// Read a ticket at its backend, with all its fields
    Query {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        under: Under,
    },
    /// Find tickets at a backend
    Search {
        /// Where
        #[arg(long)]
        backend: String,
        /// incident, change or problem
        #[arg(long, default_value = "incident")]
        kind: String,
        /// A field that must be equal, more than once if needed
        #[arg(long = "where", value_name = "NAME=VALUE", value_parser = pair, required = true)]
        by: Vec<(String, Value)>,
        /// At most so many, 1 to 100
        #[arg(long)]
        limit: Option<u32>,
        #[command(flatten)]
        under: Under,
    },
    /// List tickets that the service knows, newest first
    List {
        /// Only of this backend
        #[arg(long)]
        backend: Option<String>,
        /// Only in this TMF621 status
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        rows: Rows,
    },
}

/// Which ticket.
#[derive(Debug, Args)]
pub struct Which {
    /// Our key of the ticket
    #[arg(required_unless_present = "backend_id")]
    key: Option<Uuid>,
    /// Its backend, with --backend-id
    #[arg(long, requires = "backend_id")]
    backend: Option<String>,
    /// Its id there
    #[arg(long, requires = "backend", conflicts_with = "key")]
    backend_id: Option<String>,
}

/// The lock that a command rests on.
#[derive(Debug, Args)]
pub struct Under {
    /// A lock that you hold
    #[arg(long, value_name = "GUID", requires = "fence")]
    lock: Option<Uuid>,
    /// Its fence
    #[arg(long, requires = "lock")]
    fence: Option<u64>,
}

/// How a write is sent.
#[derive(Debug, Args)]
pub struct Write {
    /// The command's id: sent again with the same one, nothing is done twice
    #[arg(long)]
    id: Option<Uuid>,
    /// Wait so long for the backend's answer
    #[arg(long, default_value = "30s", value_parser = span)]
    wait: Duration,
    #[command(flatten)]
    under: Under,
}

impl Which {
    fn into_members(self, command: &mut Map<String, Value>) {
        for (name, value) in [
            ("key", self.key.map(|key| json!(key))),
            ("backend", self.backend.map(Value::from)),
            ("backend_id", self.backend_id.map(Value::from)),
        ] {
            command.extend(value.map(|value| (name.to_owned(), value)));
        }
    }
}

fn command(name: &str, id: Option<Uuid>, under: &Under) -> Map<String, Value> {
    let mut command = Map::new();
    command.insert("command".to_owned(), json!(name));
    command.insert("id".to_owned(), json!(id.unwrap_or_else(Uuid::now_v7)));
    if let (Some(guid), Some(fence)) = (under.lock, under.fence) {
        command.insert("lock".to_owned(), json!({ "guid": guid, "fence": fence }));
    }
    command
}

async fn send(at: &At, command: Map<String, Value>, wait: Duration) -> anyhow::Result<Answer> {
    let words = crate::words::format_duration(wait);
    // A read waits for a ticket client and for its turn in the lane.
    let patience = wait.max(Duration::from_secs(90));
    let ask = Ask::post(["commands"], command.into()).waiting(patience);
    at.api(ask.with("wait", (!wait.is_zero()).then_some(words))).await
}

/// Does it.
pub async fn run(at: At, ticket: TicketCommand) -> anyhow::Result<bool> {
    let (body, wait) = match ticket {
        TicketCommand::List { backend, status, rows } => {
            let ask = Ask::get(["tickets"]).with("backend", backend).with("status", status);
            return at.pages(ask, Cursor::Before, &rows, COLUMNS).await;
        }
        TicketCommand::Import { file, dry_run, reason } => {
            return import::run(&at, &file, dry_run, &reason).await;
        }
        TicketCommand::Create { backend, kind, fields, alarm_source, alarm_id, write } => {
            let mut body = command("create", write.id, &write.under);
            body.insert("backend".to_owned(), json!(backend));
            body.insert("kind".to_owned(), json!(kind));
            body.insert("fields".to_owned(), map(fields));
            if let (Some(source), Some(id)) = (alarm_source, alarm_id) {
                body.insert("alarm".to_owned(), json!({ "source": source, "id": id }));
            }
            (body, write.wait)
        }
        TicketCommand::Update { which, fields, write } => {
            let mut body = command("update", write.id, &write.under);
            which.into_members(&mut body);
            body.insert("fields".to_owned(), map(fields));
            (body, write.wait)
        }
        TicketCommand::Close { which, fields, write } => {
            let mut body = command("close", write.id, &write.under);
            which.into_members(&mut body);
            body.insert("fields".to_owned(), map(fields));
            (body, write.wait)
        }
        TicketCommand::Query { which, under } => {
            let mut body = command("query", None, &under);
            which.into_members(&mut body);
            (body, Duration::ZERO)
        }
        TicketCommand::Search { backend, kind, by, limit, under } => {
            let mut body = command("search", None, &under);
            body.insert("backend".to_owned(), json!(backend));
            body.insert("kind".to_owned(), json!(kind));
            body.insert("where".to_owned(), map(by));
            body.extend(limit.map(|limit| ("limit".to_owned(), json!(limit))));
            (body, Duration::ZERO)
        }
    };
    let answer = send(&at, body, wait).await?;
    at.show(&answer, words)
}

const COLUMNS: &[(&str, &str)] = &[
    ("key", "/key"),
    ("backend", "/backend"),
    ("id", "/backend_id"),
    ("kind", "/kind"),
    ("status", "/status"),
    ("changed", "/changed_at"),
    ("url", "/url"),
];

fn words(body: &Value) -> String {
    let result = &body["result"];
    if let Some(tickets) = result.get("tickets") {
        return table(
            tickets,
            &[
                ("id", "/backend_id"),
                ("status", "/status"),
                ("theirs", "/backend_status"),
                ("key", "/key"),
                ("url", "/url"),
            ],
        );
    }
    let mut lines = Vec::new();
    if body["stage"] == "accepted" {
        let why = body["error"]["message"].as_str().unwrap_or("not yet answered by the backend");
        lines.push(format!("accepted as request {}: {why}", cell(body.get("request_id"))));
    }
    let ticket = result.get("ticket").unwrap_or(result);
    for (title, pointer) in [
        ("key", "/key"),
        ("backend id", "/backend_id"),
        ("status", "/status"),
        ("url", "/url"),
        ("fields", "/fields"),
    ] {
        if let Some(value) = ticket.pointer(pointer).filter(|value| !value.is_null()) {
            lines.push(format!("{title}: {}", cell(Some(value))));
        }
    }
    lines.join("\n")
}
