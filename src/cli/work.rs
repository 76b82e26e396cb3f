//! What operators look at and decide about the work: lanes and requests.

use super::pages::{Cursor, Rows};
use super::remote::{Ask, At, cell};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

/// What to do with lanes.
#[derive(Debug, Subcommand)]
pub enum LaneCommand {
    /// List them: what waits, what is under way, why one stands still
    List,
    /// Make no more calls to a backend, until it is resumed
    Pause {
        /// The backend
        backend: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let a paused lane go on
    Resume {
        /// The backend
        backend: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Make no more calls for one ticket, until it is released
    Hold(TicketArgs),
    /// Let a held ticket go on
    Release(TicketArgs),
    /// List the tickets that are held
    Held {
        /// The backend
        backend: String,
    },
}

/// One ticket of a lane.
#[derive(Debug, Args)]
pub struct TicketArgs {
    /// The backend
    backend: String,
    /// The ticket, by our key
    ticket: Uuid,
    /// Why
    #[arg(long)]
    reason: String,
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
        #[command(flatten)]
        rows: Rows,
    },
    /// Say what became of an undecided one
    Settle(SettleArgs),
    /// Have a failed one done again, by a fresh request of the same ticket
    Retry {
        /// The request
        id: Uuid,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Cancel one that waits to be sent
    Cancel {
        /// The request
        id: Uuid,
        /// Why
        #[arg(long)]
        reason: String,
    },
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

impl TicketArgs {
    fn ask(&self, verb: &'static str) -> Ask<'_> {
        let body: Value = json!({ "ticket": self.ticket, "reason": self.reason });
        Ask::post(["lanes", &self.backend, verb], body)
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
        LaneCommand::Pause { backend, reason } => {
            let path = ["lanes", &backend, "pause"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |_| "it makes no more calls until it is resumed".to_owned())
        }
        LaneCommand::Hold(args) => {
            let answer = at.api(args.ask("hold")).await?;
            at.show(&answer, |_| "no call is made for it until it is released".to_owned())
        }
        LaneCommand::Release(args) => {
            let answer = at.api(args.ask("release")).await?;
            at.show(&answer, |_| "it goes on".to_owned())
        }
        LaneCommand::Held { backend } => {
            let columns =
                [("ticket", "/ticket"), ("since", "/since"), ("by", "/by"), ("reason", "/reason")];
            at.list(Ask::get(["lanes", &backend, "held"]), &columns).await
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
        RequestCommand::List { backend, state, ticket, open, rows } => {
            let ask = Ask::get(["requests"])
                .with("backend", backend)
                .with("state", state)
                .with("ticket", ticket)
                .with("open", open.then_some(true));
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
            at.pages(ask, Cursor::Before, &rows, &columns).await
        }
        RequestCommand::Retry { id, reason } => {
            let path = ["requests", &id.to_string(), "retry"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |body| {
                let name = |name: &str| cell(body.get(name));
                format!("done again by request {}, which is {}", name("id"), name("state"))
            })
        }
        RequestCommand::Cancel { id, reason } => {
            let path = ["requests", &id.to_string(), "cancel"];
            let answer = at.api(Ask::post(path, json!({ "reason": reason }))).await?;
            at.show(&answer, |body| format!("it is {}", cell(body.get("state"))))
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
