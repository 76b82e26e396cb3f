//! When a call begins and ends, and how a connection is closed without an answer.
//!
//! What always holds: a ticket call is under way from its head's arrival (before its body is
//! read) until its answer is handed to the socket, or the client closes the connection, or the
//! simulator does; whichever is first. The server is told not to wait for half-closed clients,
//! so that a client's close drops the call's future, and its `CallUnderWay` with it.
//!
//! What it leaves to others: what the call does meanwhile (`handlers`), counting (`traffic`).

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;

use super::handlers::Desk;
use super::traffic::LineId;

/// A client's connection: its line in the ledger, and a second handle to its socket. Every
/// request on it holds it too.
pub(super) struct Connection(Rc<Inner>);

struct Inner {
    desk: web::Data<Desk>,
    line: LineId,
    /// None when the process is out of file handles; such a line only ends by itself.
    socket: Option<Arc<TcpStream>>,
}

impl Connection {
    /// Keeps hold of a connection that was just accepted.
    pub fn remember(io: &dyn Any, extensions: &mut Extensions, desk: web::Data<Desk>) {
        let stream = io.downcast_ref::<actix_web::rt::net::TcpStream>();
        let socket = stream.and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
        let socket = socket.map(|socket| Arc::new(TcpStream::from(socket)));
        let line = desk.ledger.new_line();
        extensions.insert(Self(Rc::new(Inner { desk, line, socket })));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.desk.ledger.close_line(self.0.line);
    }
}

/// A ticket call under way; it ends when this is dropped, with the call's future or with the body
/// of its answer.
pub(super) struct CallUnderWay(Option<Rc<Inner>>);

impl CallUnderWay {
    /// Begins a call: to be held by whatever lives as long as the call does.
    pub fn begin(request: &ServiceRequest) -> Self {
        let connection = request.conn_data::<Connection>().map(|connection| &connection.0);
        if let Some(Inner { desk, line, socket }) = connection.map(Rc::as_ref) {
            let backend = request.match_info().get("backend").unwrap_or_default();
            desk.ledger.begin_call(*line, socket.as_ref(), backend);
        }
        Self(connection.cloned())
    }

    /// Hands the call over to its answer.
    pub fn end_with(self, response: ServiceResponse) -> ServiceResponse {
        response.map_body(|_, body| BoxBody::new(LastBody { body, _call: self }))
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.desk.ledger.end_call(connection.line);
        }
    }
}

/// Closes the connection without an answer. The call and the line end in the ledger first, so
/// that a client that sees the close and calls again at once is not counted twice.
pub(super) async fn hang_up(request: &HttpRequest) -> HttpResponse {
    if let Some(Connection(connection)) = request.conn_data() {
        connection.desk.ledger.close_line(connection.line);
        if let Some(socket) = &connection.socket {
            // A client that closed first has left nothing to shut down.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
    // The server sees the closed socket and drops this future.
    std::future::pending().await
}

/// An answer's body that takes the call with it when it has been sent.
struct LastBody {
    body: BoxBody,
    _call: CallUnderWay,
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
