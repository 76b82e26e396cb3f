//! The backends, and the audit.

use super::pages::{Cursor, Rows};
use super::remote::{Ask, At, cell, table};
use clap::Subcommand;
use serde_json::json;

/// What to do with backends.
#[derive(Debug, Subcommand)]
pub enum BackendCommand {
    /// List them: what each is, and how it stands with its token
    List,
    /// Ask one, in its lane's turn, for something that is not there
    Check {
        /// The backend
        backend: String,
    },
    /// Drop the token at hand and request a new one
    Authenticate {
        /// The backend
        backend: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// What to do with the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List who did what, when and why, newest first
    List {
        /// Only of this one
        #[arg(long)]
        who: Option<String>,
        #[command(flatten)]
        rows: Rows,
    },
}

/// `ticketgate backend`
pub async fn backend(at: At, command: BackendCommand) -> anyhow::Result<bool> {
    match command {
        BackendCommand::List => {
            let columns = [
                ("backend", "/id"),
                ("preset", "/preset"),
                ("type", "/type"),
                ("capability", "/capability"),
                ("stands still", "/lane/held"),
                ("last success", "/last_success"),
                ("auth", "/auth/type"),
                ("token until", "/auth/expires_at"),
                ("auth error", "/auth/last_error"),
            ];
            at.list(Ask::get(["backends"]), &columns).await
        }
        BackendCommand::Check { backend } => {
            let wait = std::time::Duration::from_secs(300);
            let ask = Ask::post(["backends", &backend, "check"], json!({})).waiting(wait);
            let answer = at.api(ask).await?;
            let shown = at.show(&answer, |body| {
                let columns = [("what", "/what"), ("works", "/works"), ("what was said", "/said")];
                table(&body["findings"], &columns)
            })?;
            Ok(shown && answer.body["works"].as_bool() == Some(true))
        }
        BackendCommand::Authenticate { backend, reason } => {
            let wait = std::time::Duration::from_secs(60);
            let ask = Ask::post(["backends", &backend, "authenticate"], json!({"reason": reason}));
            let answer = at.api(ask.waiting(wait)).await?;
            at.show(&answer, |body| format!("a token until {}", cell(body.get("expires_at"))))
        }
    }
}

/// `ticketgate audit`
pub async fn audit(at: At, command: AuditCommand) -> anyhow::Result<bool> {
    let AuditCommand::List { who, rows } = command;
    let columns =
        [("n", "/n"), ("when", "/at"), ("who", "/who"), ("what", "/what"), ("why", "/why")];
    let ask = Ask::get(["audit"]).with("who", who);
    at.pages(ask, Cursor::Before, &rows, &columns).await
}
