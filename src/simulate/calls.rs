//! When a call begins and ends, and how a connection is closed without an answer.
//!
//! What always holds: a ticket call is under way from its head's arrival (before its body is
//! read) until its answer is handed to the socket, or the client closes the connection, or the
//! simulator does; whichever is first, and once. The server is told not to wait for half-closed
//! clients, so that a client's close drops the call's future, and its `InFlight` with it.
//!
//! A connection counts from its first ticket call: whoever only reads the ledger is no client.
//!
//! What it leaves to others: what the call does meanwhile (`handlers`).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;

use super::books::Traffic;
use super::handlers::Desk;
use super::ledger::Ledger;

/// A client's connection: a second handle to its socket, and the backends that it has called.
pub(super) struct Connection {
    desk: web::Data<Desk>,
    socket: Option<TcpStream>,
    backends: RefCell<Vec<String>>,
    closed: Cell<bool>,
}

impl Connection {
    /// Keeps hold of a connection that was just accepted.
    pub fn remember(io: &dyn Any, extensions: &mut Extensions, desk: web::Data<Desk>) {
        let stream = io.downcast_ref::<actix_web::rt::net::TcpStream>();
        let socket =
            stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok()).map(TcpStream::from);
        extensions.insert(Self {
            desk,
            socket,
            backends: RefCell::default(),
            closed: Cell::new(false),
        });
    }

    fn carries_a_call_to(&self, backend: &str) {
        let mut backends = self.backends.borrow_mut();
        if backends.is_empty() {
            self.desk.ledger.in_traffic_of_all(|traffic, now_ms| traffic.connections.rise(now_ms));
        }
        if !backends.iter().any(|known| known == backend) {
            let rise = |traffic: &mut Traffic, now| traffic.connections.rise(now);
            self.desk.ledger.in_traffic_of(backend, rise);
            backends.push(backend.to_owned());
        }
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        let backends = self.backends.borrow();
        for backend in backends.iter() {
            let fall = |traffic: &mut Traffic, now| traffic.connections.fall(now);
            self.desk.ledger.in_traffic_of(backend, fall);
        }
        if !backends.is_empty() {
            self.desk.ledger.in_traffic_of_all(|traffic, now_ms| traffic.connections.fall(now_ms));
        }
        drop(backends);
        if let Some(socket) = &self.socket {
            // A client that closed first has left nothing to shut down.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// A ticket call under way; ends once, when told to or when the last holder lets go of it.
pub(super) struct InFlight {
    ledger: Ledger,
    backend: String,
    ended: Cell<bool>,
}

impl InFlight {
    /// Begins a call: to be held with `EndOnDrop` by whatever lives as long as the call does.
    pub fn begin(request: &ServiceRequest, ledger: &Ledger) -> EndOnDrop {
        let backend = request.match_info().get("backend").unwrap_or_default().to_owned();
        ledger.in_traffic(&backend, |traffic, now_ms| traffic.in_flight.rise(now_ms));
        if let Some(connection) = request.conn_data::<Connection>() {
            connection.carries_a_call_to(&backend);
        }
        let ended = Cell::new(false);
        let call = Rc::new(Self { ledger: ledger.clone(), backend, ended });
        request.extensions_mut().insert(Rc::clone(&call));
        EndOnDrop(call)
    }

    fn end(&self) {
        if !self.ended.replace(true) {
            let fall = |traffic: &mut Traffic, now| traffic.in_flight.fall(now);
            self.ledger.in_traffic(&self.backend, fall);
        }
    }
}

/// Ends the call when it is dropped: with the answer's body, or with the call's future.
pub(super) struct EndOnDrop(Rc<InFlight>);

impl EndOnDrop {
    /// Hands the call over to its answer.
    pub fn end_with(self, response: ServiceResponse) -> ServiceResponse {
        response.map_body(|_, body| BoxBody::new(LastBody { body, _call: self }))
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Closes the connection without an answer. The call and the connection end in the ledger first,
/// so that a client that sees the close and calls again at once is not counted twice.
pub(super) async fn hang_up(request: &HttpRequest) -> HttpResponse {
    if let Some(call) = request.extensions().get::<Rc<InFlight>>() {
        call.end();
    }
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.close();
    }
    // The server sees the closed socket and drops this future.
    std::future::pending().await
}

/// An answer's body that takes the call with it when it has been sent.
struct LastBody {
    body: BoxBody,
    _call: EndOnDrop,
}

impl MessageBody for LastBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
