//! The HTTP face: alarms in, why there is or is no ticket, lists, a person's actions, health and
//! metrics. Reads committed rows and snapshots; whatever changes something goes through the actors.
//!
//! Every error is a problem detail (RFC 9457). Bodies are limited; nothing here blocks.

mod access;
mod actions;
mod alarms;
mod audit;
mod backends;
mod by_hand;
mod callbacks;
mod clients;
mod commands;
mod communication;
mod dashboard;
mod doubt;
mod endpoints;
mod events;
mod explain;
mod form;
mod guard;
mod health;
mod history;
mod import;
mod lanes;
mod lists;
mod looked;
mod openapi;
mod overview;
mod parked;
mod problem;
mod reload;
mod requests;
mod routes;
mod scope;
mod services;
mod sessions;
mod shapes;
mod sign_in;
mod sync;
mod tls;
mod tokens;
mod typed;
mod verdict;
mod webhooks;

pub use access::{Caller, Role};
pub use endpoints::{ENDPOINTS, Endpoint, Field, Gives, Kind, Scope, Takes};
pub use events::Streams;
pub use guard::{BODY_IDLE, BODY_WITHIN, IN_FLIGHT_BY_ADDRESS};
pub use import::ROWS_MAX as IMPORT_ROWS_MAX;
pub use openapi::document as openapi;
pub use sessions::{IDLE, LIFE, SESSIONS_MAX, WRONG_BY_ADDRESS, WRONG_IN_ALL};
pub use tls::server as tls;
pub use tokens::{Token, Tokens};

use crate::callbacks::Callback;
use crate::metrics::Metrics;
use crate::reload::Reloader;
use crate::series::Series;
use crate::sources::Sources;
use crate::stores::Watched;
use crate::telemetry::LogLevel;
use crate::trust::Trust;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, dev::Server, web};
use guard::InFlight;
use rustls::ServerConfig;
use sessions::Sessions;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::actors::Cast;
use ticketgate_actors::model::BackendId;

/// Largest body of a request.
const BODY_MAX: usize = 4 * 1024 * 1024;
/// A client must have sent its request's head within this time.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Connections at once; more wait in the kernel's line.
const CONNECTIONS_MAX: usize = 1_024;

/// What the handlers work with.
#[derive(Clone)]
pub struct Face {
    /// The actors, and what they share.
    pub cast: Cast,
    /// Names that an event may ask for.
    pub known_backends: Arc<Vec<BackendId>>,
    /// Renders `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Changes the log level.
    pub log_level: LogLevel,
    /// Readers of events; closed before the server stops.
    pub streams: Streams,
    /// Who is let in, and how far.
    pub access: Arc<Access>,
    /// How backends' later answers are trusted and read, by backend.
    pub callbacks: Arc<HashMap<BackendId, Arc<Callback>>>,
    /// How backends' change notices are believed, by backend.
    pub notices: Arc<HashMap<BackendId, Arc<Trust>>>,
    /// Knows whether the store takes what it is given.
    pub store: Arc<Watched>,
    /// Foreign alarm systems.
    pub sources: Sources,
    /// Applies a changed config file.
    pub reloader: Arc<Reloader>,
    /// What keeps the bus from being connected, for people; none: nothing, or it is not known.
    pub bus_trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// This node's name.
    pub node: String,
    /// The last hours as figures.
    pub series: Arc<Series>,
    /// Show the page for those who look for a fault in the service itself.
    pub debug_page: bool,
    /// The wire's description.
    pub asyncapi: Arc<str>,
}

/// Who is let in, and how far.
#[derive(Default)]
pub struct Access {
    /// What callers must bring; none: whoever reaches the port may act.
    pub tokens: Tokens,
    /// We speak TLS ourselves.
    pub secure: bool,
    sessions: Sessions,
    in_flight: Arc<InFlight>,
}

impl Access {
    /// With these tokens, and TLS or not.
    pub fn new(tokens: Tokens, secure: bool) -> Self {
        Self { tokens, secure, ..Self::default() }
    }
}

/// Starts the server on a bound listener; it stops by its handle, without taking the process's
/// signals.
pub fn start(
    face: Face,
    listener: TcpListener,
    tls: Option<ServerConfig>,
) -> std::io::Result<(SocketAddr, Server)> {
    let address = listener.local_addr()?;
    let face = web::Data::new(face);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(face.clone())
            .wrap(from_fn(guard::guard))
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .app_data(web::JsonConfig::default().limit(BODY_MAX).error_handler(problem::of_json))
            .app_data(web::QueryConfig::default().error_handler(problem::of_query))
            .app_data(web::PathConfig::default().error_handler(problem::of_path))
            .configure(routes)
            .default_service(web::to(problem::no_such_path))
    })
    .workers(1)
    .max_connections(CONNECTIONS_MAX)
    .client_request_timeout(HEAD_WITHIN)
    // Who hangs up waits no longer: a lock must not be granted to nobody (rule L7).
    .h1_allow_half_closed(false)
    .disable_signals()
    .shutdown_timeout(5);
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    };
    Ok((address, server.run()))
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(dashboard::dashboard)
        .service(dashboard::new_ticket)
        .service(dashboard::file)
        .service(dashboard::page)
        .service(health::healthz)
        .service(health::readyz)
        .service(health::metrics)
        .service(openapi::openapi)
        .service(openapi::asyncapi)
        .service(sign_in::ask)
        .service(sign_in::style)
        .service(sign_in::sign_in)
        .service(sign_in::sign_out)
        .service(callbacks::callback)
        .service(webhooks::webhook)
        .service(
            web::scope("/api/v1")
                .service(overview::overview)
                .service(overview::series)
                .service(form::form)
                .service(sign_in::me)
                .service(alarms::submit)
                .service(alarms::list)
                .service(explain::explain)
                .service(alarms::show)
                .service(by_hand::link)
                .service(by_hand::unlink)
                .service(by_hand::no_ticket)
                .service(lists::tickets)
                .service(import::import)
                .service(lists::ticket)
                .service(lists::snapshots)
                .service(lists::requests)
                .service(lists::request)
                .service(requests::settle)
                .service(requests::retry)
                .service(requests::cancel)
                .service(lanes::list)
                .service(lanes::held)
                .service(lanes::pause)
                .service(lanes::resume)
                .service(lanes::hold)
                .service(lanes::release)
                .service(backends::list)
                .service(backends::check)
                .service(backends::authenticate)
                .service(clients::clients)
                .service(clients::show)
                .service(clients::responses)
                .service(clients::results)
                .service(clients::path)
                .service(clients::unlock)
                .service(clients::not_busy)
                .service(commands::submit)
                .service(commands::stage)
                .service(commands::locks)
                .service(commands::acquire)
                .service(commands::renew)
                .service(commands::release)
                .service(communication::list)
                .service(sync::list)
                .service(sync::held)
                .service(sync::run)
                .service(sync::dry_run)
                .service(sync::replay)
                .service(sync::skip)
                .service(sync::unskip)
                .service(sync::cursor)
                .service(sync::message)
                .service(sync::one)
                .service(sync::changes)
                .service(services::list)
                .service(services::export)
                .service(services::import)
                .service(services::select)
                .service(routes::list)
                .service(routes::add)
                .service(routes::replace)
                .service(routes::remove)
                .service(lists::heartbeats)
                .service(events::events)
                .service(parked::list)
                .service(parked::show)
                .service(parked::mend)
                .service(parked::replay)
                .service(parked::discard)
                .service(audit::list)
                .service(history::history)
                .service(history::offload)
                .service(reload::shown)
                .service(reload::reload)
                .service(actions::log_level),
        );
}
