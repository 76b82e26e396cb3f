//! What operators look at and force: locks, clients, lanes, requests, parked messages.

use super::remote::{Ask, At, cell, span};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// What to do with locks.
#[derive(Debug, Subcommand)]
pub enum LockCommand {
    /// Take a ticket client
    Acquire {
        /// The lock's name; a new one, if it is not given
        #[arg(long)]
        guid: Option<Uuid>,
        /// For how long, at most 10m
        #[arg(long, default_value = "60s", value_parser = span)]
        timeout: Duration,
        /// Wait so long for a free one
        #[arg(long, default_value = "0s", value_parser = span)]
        wait: Duration,
        /// Who you are, for people
        #[arg(long, default_value = "command line")]
        holder: String,
    },
    /// Hold it for longer, from now on
    Renew {
        /// The lock's name
        guid: Uuid,
        /// For how long, at most 10m
        #[arg(long, default_value = "60s", value_parser = span)]
        timeout: Duration,
    },
    /// Give it back
    Release {
        /// The lock's name
        guid: Uuid,
    },
    /// List the locks that are held
    List,
}

/// What to do with ticket clients.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// List them: lock, holder, what they are busy with
    List,
    /// The response table of one: its last reads
    Responses {
        /// The client's number
        client: u64,
    },
    /// The tickets that its last read found
    Results {
        /// The client's number
        client: u64,
    },
    /// Take its lock away; what its holder sends under it is refused from then on
    Unlock {
        /// The client's number
        client: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Void what it does now; it keeps its lock
    NotBusy {
        /// The client's number
        client: u64,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// What to do with lanes.
#[derive(Debug, Subcommand)]
pub enum LaneCommand {
    /// List them: what waits, what is under way, why one stands still
    List,
    /// Let a paused lane go on
    Resume {
        /// The backend
        backend: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// What to do with requests.
#[derive(Debug, Subcommand)]
pub enum RequestCommand {
    /// List them, newest first
    List {
        /// Only of this backend
        #[arg(long)]
        backend: Option<String>,
        /// Only in this state, such as undecided
        #[arg(long)]
        state: Option<String>,
        /// Only of this ticket
        #[arg(long)]
        ticket: Option<Uuid>,
        /// Only those that wait for their execution or a retry, in doubt and undecided ones included
        #[arg(long)]
        open: bool,
        /// At most so many
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Say what became of an undecided one
    Settle(SettleArgs),
}

/// A person's answer.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("says").required(true).args(["found", "absent", "drop"]))]
pub struct SettleArgs {
    /// The request
    id: Uuid,
    /// It is there, under this id of the backend
    #[arg(long, value_name = "BACKEND_ID")]
    found: Option<String>,
    /// It does not exist: send it again
    #[arg(long)]
    absent: bool,
    /// Leave it alone
    #[arg(long)]
    drop: bool,
    /// Why
    #[arg(long)]
    reason: String,
}

/// What to do with parked messages.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// List them, newest first
    List {
        /// At most so many
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show one with its body
    Show {
        /// Its number
        n: u64,
    },
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn lock_in_words(body: &Value) -> String {
    ["guid", "fence", "client", "expires_at"]
        .map(|name| format!("{name}: {}", cell(body.get(name))))
        .join("\n")
}

/// `ticketgate lock`
pub async fn lock(at: At, command: LockCommand) -> anyhow::Result<bool> {
    match command {
        LockCommand::Acquire { guid, timeout, wait, holder } => {
            let body = json!({
                "guid": guid.unwrap_or_else(Uuid::new_v4),
                "timeout_ms": millis(timeout),
                "wait_ms": millis(wait),
                "holder": holder,
            });
            let answer = at.api(Ask::post(["locks"], body).waiting(wait)).await?;
            at.show(&answer, lock_in_words)
        }
        LockCommand::Renew { guid, timeout } => {
            let guid = guid.to_string();
            let body = json!({ "timeout_ms": millis(timeout) });
            let answer = at.api(Ask::put(["locks", &guid], body)).await?;
            at.show(&answer, lock_in_words)
        }
        LockCommand::Release { guid } => {
            let answer = at.api(Ask::delete(["locks", &guid.to_string()])).await?;
            at.show(&answer, |_| "released".to_owned())
        }
        LockCommand::List => at.list(Ask::get(["locks"]), CLIENTS).await,
    }
}

const CLIENTS: &[(&str, &str)] = &[
    ("client", "/client"),
    ("lock", "/lock_status"),
    ("guid", "/guid"),
    ("fence", "/fence"),
    ("since", "/lock_time"),
    ("until", "/expires_at"),
    ("holder", "/holder"),
    ("busy", "/busy"),
    ("processing", "/processing"),
];

/// `ticketgate client`
pub async fn client(at: At, command: ClientCommand) -> anyhow::Result<bool> {
    match command {
        ClientCommand::List => at.list(Ask::get(["clients"]), CLIENTS).await,
        ClientCommand::Responses { client } => {
            let columns = [
                ("when", "/at"),
                ("backend", "/backend"),
                ("what", "/what"),
                ("took ms", "/took_ms"),
                ("said", "/said"),
            ];
            at.list(Ask::get(["clients", &client.to_string(), "responses"]), &columns).await
        }
        ClientCommand::Results { client } => {
            let columns = [
                ("id", "/backend_id"),
                ("status", "/status"),
                ("theirs", "/backend_status"),
                ("our key", "/correlation_key"),
                ("url", "/url"),
            ];
            at.list(Ask::get(["clients", &client.to_string(), "results"]), &columns).await
        }
        ClientCommand::Unlock { client, reason } => {
            let path = ["clients", &client.to_string(), "unlock"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |body| match body["was_locked"].as_bool() {
                Some(true) => "unlocked".to_owned(),
                _ => "it was not locked".to_owned(),
            })
        }
        ClientCommand::NotBusy { client, reason } => {
            let path = ["clients", &client.to_string(), "not-busy"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |body| match body["was_busy"].as_bool() {
                Some(true) => "what it did is void".to_owned(),
                _ => "it was not busy".to_owned(),
            })
        }
    }
}

/// `ticketgate lane`
pub async fn lane(at: At, command: LaneCommand) -> anyhow::Result<bool> {
    match command {
        LaneCommand::List => {
            let columns = [
                ("backend", "/id"),
                ("waiting", "/pending"),
                ("under way", "/in_flight"),
                ("in doubt", "/in_doubt"),
                ("undecided", "/undecided"),
                ("alarms due", "/due_alarms"),
                ("last success", "/last_success"),
                ("stands still", "/held"),
                ("last error", "/last_error"),
            ];
            at.list(Ask::get(["lanes"]), &columns).await
        }
        LaneCommand::Resume { backend, reason } => {
            let path = ["lanes", &backend, "resume"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |_| "it goes on".to_owned())
        }
    }
}

/// `ticketgate request`
pub async fn request(at: At, command: RequestCommand) -> anyhow::Result<bool> {
    match command {
        RequestCommand::List { backend, state, ticket, open, limit } => {
            let ask = Ask::get(["requests"])
                .with("backend", backend)
                .with("state", state)
                .with("ticket", ticket)
                .with("open", open.then_some(true))
                .with("limit", limit);
            let columns = [
                ("id", "/id"),
                ("backend", "/backend"),
                ("op", "/op"),
                ("state", "/state"),
                ("attempts", "/attempts"),
                ("accepted", "/accepted_at"),
                ("ended", "/ended_at"),
                ("ticket", "/ticket"),
                ("error", "/error/reason"),
            ];
            at.list(ask, &columns).await
        }
        RequestCommand::Settle(args) => {
            let says = match (&args.found, args.absent) {
                (Some(_), _) => "found",
                (None, true) => "absent",
                (None, false) => "drop",
            };
            let mut body = json!({ "says": says, "reason": args.reason });
            if let Some(backend_id) = args.found {
                body["backend_id"] = json!(backend_id);
            }
            let path = ["requests", &args.id.to_string(), "settle"];
            let answer = at.api(Ask::post(path, body)).await?;
            at.show(&answer, |body| format!("it is {}", cell(body.get("state"))))
        }
    }
}

/// `ticketgate parked`
pub async fn parked(at: At, command: ParkedCommand) -> anyhow::Result<bool> {
    match command {
        ParkedCommand::List { limit } => {
            let columns = [
                ("n", "/n"),
                ("when", "/at"),
                ("from", "/inlet"),
                ("bytes", "/bytes"),
                ("field", "/field"),
                ("reason", "/reason"),
            ];
            at.list(Ask::get(["parked"]).with("limit", limit), &columns).await
        }
        ParkedCommand::Show { n } => {
            let answer = at.api(Ask::get(["parked", &n.to_string()])).await?;
            at.show(&answer, |body| {
                let lines = ["at", "inlet", "message_id", "content_type", "field", "reason"]
                    .map(|name| format!("{name}: {}", cell(body.get(name))));
                let text = &body["body"];
                let text = text["text"].as_str().or(text["hex"].as_str()).unwrap_or_default();
                format!("{}\n\n{text}", lines.join("\n"))
            })
        }
    }
}
