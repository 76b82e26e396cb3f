//! What operators look at and force: locks and ticket clients.

use super::remote::{Ask, At, cell, span};
use clap::Subcommand;
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
