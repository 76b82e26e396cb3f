//! A simulated DataMiner element that uses the ticketing gateway: a table of tickets which people change,
//! told to the gateway by sync messages over RabbitMQ, and changed by what the gateway answers.
//!
//! What it is for: something on the other side of a sync that misbehaves on order.
//!
//! What always holds: it is an independent program. Nothing here uses the crate of the actors; what is known of
//! the gateway is its contract.
//!
//! The way of a message: the face (`face`) changes the table (`table`); the machine (`element`) says what is to
//! be sent and takes over what is answered (`message`); the line (`line`) carries both.

mod element;
mod face;
mod faults;
mod line;
mod message;
mod table;
#[cfg(test)]
mod tests;

pub use faults::ElementFaults;
pub use message::Encoding;

use super::ledger::wall_clock;
use crate::say;
use actix_web::{App, HttpServer, web};
use anyhow::{Context, ensure};
use element::{Element, Machine};
use line::Line;
use secrecy::SecretString;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Tickets are small; more than this is a mistake of the client.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The longest silence after which a page is sent again.
const PATIENCE_MAX: Duration = Duration::from_secs(5);

/// What a simulated element is started with.
#[derive(Debug, Clone)]
pub struct ElementSettings {
    /// Where its face listens.
    pub listen: SocketAddr,
    /// The broker; with user and password.
    pub amqp_url: SecretString,
    /// The exchange of sync messages.
    pub exchange: String,
    /// The backend that it is to the gateway.
    pub backend: String,
    /// `AGENT/ELEMENT`.
    pub element: String,
    /// From one pass to the next.
    pub every: Duration,
    /// Every so many passes name all tickets; 0: none does.
    pub complete_every: u64,
    /// How its messages are written.
    pub encoding: Encoding,
    /// What it does wrong at first.
    pub faults: ElementFaults,
    /// Of its dice and ids.
    pub seed: u64,
}

/// What the face and the line share.
struct Desk {
    machine: Mutex<Machine>,
    started: Instant,
}

impl Desk {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect("nothing panics while it holds the element")
    }
}

/// Milliseconds since the start.
fn now_ms(desk: &Desk) -> u64 {
    u64::try_from(desk.started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Runs a simulated element until the process is asked to end (SIGINT or SIGTERM).
///
/// # Errors
/// When the settings make no sense, the address cannot be bound, or signals cannot be listened for.
pub async fn run_forever(settings: ElementSettings) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    settings.faults.check().map_err(anyhow::Error::msg)?;
    ensure!(!settings.every.is_zero(), "--every must be more than 0s");
    let listener = TcpListener::bind(settings.listen)
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr().context("cannot tell the address that was bound")?;
    let every_ms = u64::try_from(settings.every.as_millis()).unwrap_or(u64::MAX);
    let patience = settings.every.clamp(Duration::from_millis(500), PATIENCE_MAX);
    let element = Element {
        backend: settings.backend.clone(),
        name: settings.element,
        every_ms,
        complete_every: settings.complete_every,
        patience_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
        began_ms: wall_clock(),
        seed: settings.seed,
    };
    let machine = Mutex::new(Machine::new(element, settings.faults));
    let desk = Arc::new(Desk { machine, started: Instant::now() });

    // The line has a runtime of its own: on an actix thread a handler could cost it its connection.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .thread_name("element-line")
        .build()
        .context("no threads for the line to the broker")?;
    let line =
        Line { url: settings.amqp_url, exchange: settings.exchange, encoding: settings.encoding };
    let (stop, stopped) = watch::channel(false);
    let held = runtime.spawn(line::hold(line, desk.clone(), stopped));

    let for_face = web::Data::from(desk);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(for_face.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
            .configure(face::routes)
    })
    .workers(1)
    .disable_signals()
    .listen(listener)
    .context("cannot serve on the address that was bound")?
    .run();
    let handle = server.handle();
    let served = tokio::spawn(server);
    say::line(format_args!(
        "simulated element on http://{address}/{0}/tickets  ledger: http://{address}/{0}/ledger",
        settings.backend
    ))?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.context("cannot listen for SIGINT")?,
        _ = terminate.recv() => {}
    }
    // Nobody waits for either any more; both only end in order.
    let _ = stop.send(true);
    let _ = held.await;
    handle.stop(false).await;
    let _ = served.await;
    runtime.shutdown_background();
    Ok(())
}
