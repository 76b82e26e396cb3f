//! What operators look at and decide about the work: lanes and requests.

use super::alarm::LOOK_WITHIN;
use super::pages::{Cursor, Rows};
use super::remote::{Ask, At, cell, table};
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
    /// Let a paused lane go on; one that waits after failures tries at once
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
    /// Show one: what it is for, how to find it at its backend, what happened
    Show {
        /// The request
        id: Uuid,
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
#[command(group = ArgGroup::new("says").required(true).args(["found", "done", "absent", "drop"]))]
pub struct SettleArgs {
    /// The request
    id: Uuid,
    /// A create: its ticket is there, under this id of the backend
    #[arg(long, value_name = "BACKEND_ID")]
    found: Option<String>,
    /// An update, a close or a reopen: it was done
    #[arg(long)]
    done: bool,
    /// It was not done: send it again. If it was after all, there will be two tickets, or two notes
    #[arg(long)]
    absent: bool,
    /// Send nothing more; of a create: the alarm gets no ticket
    #[arg(long)]
    drop: bool,
    /// Also if the backend does not bear it out, or cannot be asked
    #[arg(long)]
    force: bool,
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
                ("held tickets", "/held_tickets"),
                ("stands still", "/held"),
                ("last error", "/last_error"),
                ("at", "/last_error_at"),
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
            at.show(&answer, |body| match body["was"].as_str() {
                Some(was) => format!("it goes on (it was held back: {was})"),
                None => "it was not held back; if it made only probes, it makes all calls again"
                    .to_owned(),
            })
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
                ("alarm", "/alarm"),
                ("attempts", "/attempts"),
                ("accepted", "/accepted_at"),
                ("ended", "/ended_at"),
                ("ticket", "/ticket"),
                ("error", "/error/reason"),
            ];
            at.pages(ask, Cursor::Before, &rows, &columns).await
        }
        RequestCommand::Show { id } => show(&at, id).await,
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
            let says = match (&args.found, args.done, args.absent) {
                (Some(_), ..) => "found",
                (None, true, _) => "done",
                (None, false, true) => "absent",
                (None, false, false) => "drop",
            };
            let mut body = json!({ "says": says, "force": args.force, "reason": args.reason });
            if let Some(backend_id) = args.found {
                body["backend_id"] = json!(backend_id);
            }
            let path = ["requests", &args.id.to_string(), "settle"];
            // The backend is asked first, in its turn.
            let answer = at.api(Ask::post(path, body).waiting(LOOK_WITHIN)).await?;
            at.show(&answer, |body| match says {
                "absent" => {
                    "it is sent again; if it was done after all, it is done twice".to_owned()
                }
                "drop" => "dropped: nothing more is sent".to_owned(),
                _ => format!("settled: it is {}", cell(body.get("state"))),
            })
        }
    }
}

/// A request, with what its backend calls its ticket, or the text to search for.
async fn show(at: &At, id: Uuid) -> anyhow::Result<bool> {
    let answer = at.api(Ask::get(["requests", &id.to_string()])).await?;
    if !answer.ok() || at.json {
        return at.show(&answer, |_| String::new());
    }
    let key = answer.body["ticket"].as_str().unwrap_or_default();
    let ticket = at.api(Ask::get(["tickets", key])).await?.body;
    at.show(&answer, |request| {
        let facts = [
            ("backend", cell(request.get("backend"))),
            ("what", cell(request.get("op"))),
            ("state", cell(request.get("state"))),
            ("alarm", cell(request.get("alarm"))),
            ("ticket", format!("{} ({key})", cell(ticket.get("backend_id")))),
            ("search text", cell(ticket.get("correlation_key"))),
            ("calls", cell(request.get("attempts"))),
            ("error", cell(request.pointer("/error/reason"))),
            ("in doubt since", cell(request.pointer("/doubt/since"))),
            ("looked at from", cell(request.pointer("/doubt/look_at"))),
        ];
        let facts = facts.map(|(name, value)| format!("{name}: {value}")).join("\n");
        let fields = request["fields"].as_object().into_iter().flatten();
        let fields: Vec<_> =
            fields.map(|(name, value)| format!("  {name}: {}", cell(Some(value)))).collect();
        let steps = table(
            &request["steps"],
            &[("when", "/at"), ("what", "/what"), ("why", "/why")],
        );
        let way_on = match (request["state"].as_str(), request["op"].as_str()) {
            (Some("undecided"), Some("create")) => format!(
                "\n\nlook at the backend, then: ticketgate request settle {id} --found NUMBER | --absent \
                 | --drop"
            ),
            (Some("undecided"), _) => format!(
                "\n\nlook at the backend, then: ticketgate request settle {id} --done | --absent | --drop"
            ),
            _ => String::new(),
        };
        format!("{facts}\n{}\n\n{steps}{way_on}", fields.join("\n"))
    })
}
