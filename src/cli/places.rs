//! Where calls and answers go, and what was said there: services, routes, the communication log.

use super::remote::{Ask, At, cell};
use anyhow::Context;
use clap::Subcommand;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// What to do with the ticketing services of a backend.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// List them; one of each backend is selected
    List {
        /// Only of this backend
        #[arg(long)]
        backend: Option<String>,
    },
    /// Select one: it counts from the next request on
    Select {
        /// The backend
        backend: String,
        /// The service's name
        name: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Put a file in the place of the whole table: name,host,port,path,tls,user,timeout,selected
    Import {
        /// The backend
        backend: String,
        /// The file; without a line below its head, the backend's own address counts again
        file: PathBuf,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Write the table as such a file
    Export {
        /// The backend
        backend: String,
        /// The file; without it, it is printed
        file: Option<PathBuf>,
    },
}

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// List them: of the config, and of operators
    List,
    /// Send a backend's final answers there, unless their command says otherwise
    Set {
        /// The backend
        backend: String,
        /// The routing key
        #[arg(long)]
        key: String,
        /// The exchange; without it the default one, where the key is a queue
        #[arg(long, default_value = "")]
        exchange: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Take an operator's route away; that of the config counts again
    Remove {
        /// The backend
        backend: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

/// What to do with the communication log.
#[derive(Debug, Subcommand)]
pub enum CommunicationCommand {
    /// List the newest calls to the backends and what was said, newest first
    List {
        /// Only of this backend
        #[arg(long)]
        backend: Option<String>,
        /// At most so many
        #[arg(long)]
        limit: Option<u32>,
    },
}

/// `ticketgate service`
pub async fn service(at: At, command: ServiceCommand) -> anyhow::Result<bool> {
    match command {
        ServiceCommand::List { backend } => {
            let columns = [
                ("backend", "/backend"),
                ("name", "/name"),
                ("selected", "/selected"),
                ("host", "/host"),
                ("port", "/port"),
                ("path", "/path"),
                ("tls", "/tls"),
                ("user", "/user"),
                ("timeout", "/timeout"),
            ];
            at.list(Ask::get(["services"]).with("backend", backend), &columns).await
        }
        ServiceCommand::Select { backend, name, reason } => {
            let body = json!({ "name": name, "reason": reason });
            let answer = at.api(Ask::post(["services", &backend, "select"], body)).await?;
            at.show(&answer, |body| format!("selected: {}", cell(body.get("selected"))))
        }
        ServiceCommand::Import { backend, file, reason } => {
            let name = file.display().to_string();
            let bytes = std::fs::read(&file).with_context(|| format!("{name} cannot be read"))?;
            let ask = Ask::send_file(["services", "import"], "text/csv", bytes)
                .with("backend", Some(backend))
                .with("reason", Some(reason));
            let answer = at.api(ask).await?;
            at.show(&answer, |body| {
                let (count, selected) = (cell(body.get("services")), cell(body.get("selected")));
                format!("{count} services, selected: {selected}")
            })
        }
        ServiceCommand::Export { backend, file } => {
            let ask = Ask::get(["services", "export"]).with("backend", Some(backend));
            let bytes = match at.api_file(ask).await? {
                Ok(bytes) => bytes,
                Err(answer) => return at.show(&answer, |_| String::new()),
            };
            match file {
                Some(file) => {
                    let name = file.display().to_string();
                    std::fs::write(&file, bytes)
                        .with_context(|| format!("{name} is not written"))?;
                }
                None => std::io::stdout().write_all(&bytes)?,
            }
            Ok(true)
        }
    }
}

/// `ticketgate route`
pub async fn route(at: At, command: RouteCommand) -> anyhow::Result<bool> {
    match command {
        RouteCommand::List => {
            let columns = [
                ("backend", "/backend"),
                ("exchange", "/exchange"),
                ("key", "/key"),
                ("set by", "/set_by"),
            ];
            at.list(Ask::get(["routes"]), &columns).await
        }
        RouteCommand::Set { backend, key, exchange, reason } => {
            let body = json!({ "exchange": exchange, "key": key, "reason": reason });
            let answer = at.api(Ask::put(["routes", &backend], body)).await?;
            at.show(&answer, |_| "it counts from the next final answer on".to_owned())
        }
        RouteCommand::Remove { backend, reason } => {
            let ask = Ask::delete(["routes", &backend]).with("reason", Some(reason));
            let answer = at.api(ask).await?;
            at.show(&answer, |_| "removed".to_owned())
        }
    }
}

/// `ticketgate communication`
pub async fn communication(at: At, command: CommunicationCommand) -> anyhow::Result<bool> {
    let CommunicationCommand::List { backend, limit } = command;
    let columns = [
        ("when", "/at"),
        ("backend", "/backend"),
        ("service", "/service"),
        ("what", "/what"),
        ("attempt", "/attempt"),
        ("took ms", "/took_ms"),
        ("http", "/http_status"),
        ("said", "/verdict"),
        ("request", "/request"),
    ];
    let ask = Ask::get(["communication"]).with("backend", backend).with("limit", limit);
    at.list(ask, &columns).await
}
