//! The server of a simulated ticketing system: starting, stopping, routes, and the pages
//! of the observer (ledger and faults).
//!
//! What always holds: the observer's pages need no token, suffer no faults and are not counted;
//! they answer whatever is wrong with the backends.
//!
//! What it leaves to others: the ticket calls (`handlers`), counting them (`calls`, `traffic`, `books`).

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::{ServerHandle, Service};
use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::callbacks::CallBack;
use super::calls::{CallUnderWay, Connection};
use super::faults::Faults;
use super::handlers::{Desk, error, ledger_error};
use super::ledger::{Ledger, LedgerError, is_backend_name};
use super::settings::RestSettings;
use super::systems;
use crate::say;

/// Tickets are small; more than this is a mistake of the client.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Idle connections are kept for this long; clients should let go of theirs earlier.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Threads, connections and writes under way end within moments of a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A simulated ticketing system at work. It stops when this is dropped.
pub struct Running {
    /// Where it listens, with the port that it was given.
    pub address: SocketAddr,
    /// Its ledger, which goes on answering after the stop.
    pub ledger: Ledger,
    server: ServerHandle,
    /// Ends when the last part of the server has let go of its sender.
    alive: mpsc::Receiver<Infallible>,
}

impl Running {
    /// The address of a backend, such as `http://127.0.0.1:8700/oceane`.
    pub fn url(&self, backend: &str) -> String {
        format!("http://{}/{backend}", self.address)
    }

    /// Stops at once: open connections are closed, writes that are still to come late are lost.
    /// When it returns the port is free and nothing is written any more.
    pub async fn stop(mut self) {
        self.server.stop(false).await;
        // The server's own stop does not wait for its threads, and so not for their connections.
        if timeout(STOP_PATIENCE, self.alive.recv()).await.is_err() {
            tracing::warn!("a part of the simulated ticketing system is slow to stop");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The order to stop is given by the call; its future only waits for the end.
        drop(self.server.stop(false));
    }
}

/// Starts a simulated ticketing system on threads of its own. To be called within a tokio
/// runtime, an actix system's included.
///
/// # Errors
/// When the faults or the backends' names make no sense, or the address cannot be bound.
pub fn start(settings: RestSettings) -> anyhow::Result<Running> {
    settings.faults.check().map_err(LedgerError::Faults)?;
    for backend in &settings.backends {
        ensure!(is_backend_name(backend), "{backend:?} cannot be the name of a backend");
    }
    let listener = TcpListener::bind(settings.listen)
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr().context("cannot tell the address that was bound")?;

    let ledger = Ledger::new(format!("http://{address}"), &settings);
    let RestSettings { system, token, callbacks, workers, .. } = settings;
    let call_back = callbacks.map(CallBack::of).transpose()?;
    let (part, alive) = mpsc::channel(1);
    let desk = web::Data::new(Desk { ledger: ledger.clone(), token, call_back, _part: part });
    let for_connections = desk.clone();
    let server = HttpServer::new(move || {
        let tickets = web::scope(systems::scope(system))
            .wrap_fn(|request, service| {
                let call = CallUnderWay::begin(&request);
                let answer = service.call(request);
                async move { Ok(call.end_with(answer.await?)) }
            })
            .configure(|config| systems::routes(system, config));
        App::new()
            .app_data(desk.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
            .route("/ledger", web::get().to(ledger_of_all))
            .route("/faults", web::get().to(faults_of_new))
            .route("/faults", web::put().to(put_all_faults))
            .route("/{backend}/ledger", web::get().to(ledger_of_one))
            .route("/{backend}/faults", web::get().to(faults_of_one))
            .route("/{backend}/faults", web::put().to(put_faults))
            .route("/{backend}/faults", web::patch().to(patch_faults))
            .configure(|config| systems::aside(system, config))
            .service(tickets)
            .default_service(web::to(nothing_here))
    })
    .workers(workers.max(1))
    .disable_signals()
    // A client that closes is gone: its call's future is dropped, instead of being kept until
    // there is an answer that nobody reads.
    .h1_allow_half_closed(false)
    .keep_alive(KEEP_ALIVE)
    .on_connect(move |io, extensions| Connection::remember(io, extensions, for_connections.clone()))
    .listen(listener)
    .context("cannot serve on the address that was bound")?
    .run();

    let handle = server.handle();
    tokio::spawn(server);
    Ok(Running { address, ledger, server: handle, alive })
}

/// Runs a simulated ticketing system until the process is asked to end (SIGINT or SIGTERM).
///
/// # Errors
/// As `start`, and when signals cannot be listened for.
pub async fn run_forever(settings: RestSettings) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let running = start(settings)?;
    let address = running.address;
    say::line(format_args!(
        "simulated ticketing on http://{address}  ledger: http://{address}/ledger"
    ))?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("cannot listen for SIGINT")?,
        _ = terminate.recv() => {}
    }
    running.stop().await;
    Ok(())
}

#[derive(Deserialize)]
struct LedgerQuery {
    #[serde(default)]
    tickets: bool,
}

async fn ledger_of_all(desk: web::Data<Desk>, query: web::Query<LedgerQuery>) -> HttpResponse {
    HttpResponse::Ok().json(desk.ledger.report_all(query.tickets))
}

async fn ledger_of_one(
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    query: web::Query<LedgerQuery>,
) -> HttpResponse {
    json_or_error(desk.ledger.report_one(&backend, query.tickets))
}

async fn faults_of_new(desk: web::Data<Desk>) -> HttpResponse {
    HttpResponse::Ok().json(desk.ledger.faults_of_new_backends())
}

async fn faults_of_one(desk: web::Data<Desk>, backend: web::Path<String>) -> HttpResponse {
    json_or_error(desk.ledger.faults(&backend))
}

async fn put_all_faults(desk: web::Data<Desk>, body: Bytes) -> HttpResponse {
    let set = parse_faults(&body).and_then(|faults| {
        desk.ledger.set_all_faults(faults.clone())?;
        Ok(faults)
    });
    json_or_error(set)
}

async fn put_faults(
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let set = parse_faults(&body).and_then(|faults| {
        desk.ledger.set_faults(&backend, faults.clone())?;
        Ok(faults)
    });
    json_or_error(set)
}

/// Unlike PUT, which turns off whatever it does not name, leaves it as it is.
async fn patch_faults(
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    let set = || {
        let faults = merge_faults(&desk.ledger.faults(&backend)?, &body)?;
        desk.ledger.set_faults(&backend, faults.clone())?;
        Ok(faults)
    };
    json_or_error(set())
}

/// Faults that are off but for what the body names. By way of an object: an empty array would
/// pass for faults otherwise.
fn parse_faults(body: &[u8]) -> Result<Faults, LedgerError> {
    merge_faults(&Faults::default(), body)
}

fn merge_faults(faults: &Faults, body: &[u8]) -> Result<Faults, LedgerError> {
    let wrong = |error: serde_json::Error| LedgerError::Faults(error.to_string());
    let changes: serde_json::Map<String, Value> = serde_json::from_slice(body).map_err(wrong)?;
    let mut merged = serde_json::to_value(faults).map_err(wrong)?;
    for (name, value) in changes {
        merged[name] = value;
    }
    serde_json::from_value(merged).map_err(wrong)
}

fn json_or_error<T: serde::Serialize>(answer: Result<T, LedgerError>) -> HttpResponse {
    match answer {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refusal) => ledger_error(&refusal),
    }
}

async fn nothing_here() -> HttpResponse {
    error(StatusCode::NOT_FOUND, "not_found", "nothing is served under this path and method")
}
