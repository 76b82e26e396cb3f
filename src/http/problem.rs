//! Errors as problem details (RFC 9457): `type`, `title`, `status`, `detail`, and the field or the
//! place in an array where one is at fault.

use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use ticketgate_actors::actors::IntakeError;
use ticketgate_actors::changes::Refusal;
use ticketgate_actors::ports::{Malformed, StoreError};

/// Seconds after which a busy or stopping service may be asked again.
const RETRY_AFTER: &str = "1";

/// A problem.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// More members, as RFC 9457 allows.
    #[serde(flatten)]
    more: Option<Box<Map<String, Value>>>,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            index: None,
            more: None,
        }
    }
    /// 400.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Invalid request", detail)
    }
    /// 400, with the event's place in the array and the field.
    pub fn malformed(index: usize, malformed: Malformed) -> Self {
        Self { field: malformed.field, index: Some(index), ..Self::invalid(malformed.reason) }
    }
    /// 400, with the field.
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::invalid(detail) }
    }
    /// 401, which says how to sign in.
    pub fn unauthorised(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", detail)
    }
    /// 403: who it is was clear, and that is not enough.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", detail)
    }
    /// 405.
    pub fn no_such_method(method: &str) -> Self {
        let detail = format!("this path has no {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", detail)
    }
    /// 408.
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Request timeout", detail)
    }
    /// Any status that the server itself answers with.
    pub fn of_status(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or("Error"), detail)
    }
    /// Is it a 404?
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND.as_u16()
    }
    /// Names the field at fault, where there is one.
    pub fn at_field(&mut self, field: Option<String>) {
        self.field = field;
    }
    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }
    /// 409.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", detail)
    }
    /// Any status, with the members of an answer beside those of a problem.
    pub fn with(status: StatusCode, detail: &str, more: Map<String, Value>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { more: Some(Box::new(more)), ..Self::new(status, title, detail) }
    }
    /// 503 with Retry-After.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header(("Retry-After", RETRY_AFTER));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.insert_header(("WWW-Authenticate", "Bearer realm=\"ticketgate\""));
        }
        let body = serde_json::to_string(self).unwrap_or_default();
        response.content_type("application/problem+json").body(body)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(Refusal::NotFound) => Self::not_found("no such row"),
            StoreError::Refused(refusal) => Self::conflict(refusal.to_string()),
            StoreError::Down(reason) => Self::busy(reason),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Closed => Self::busy(error.to_string()),
            IntakeError::Store(error) => error.into(),
        }
    }
}

/// Bad JSON in a body.
pub fn of_json(error: JsonPayloadError, _: &HttpRequest) -> actix_web::Error {
    if matches!(
        error,
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. }
    ) {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Problem::of_status(status, "the body is too large").into();
    }
    Problem::invalid(error.to_string()).into()
}
/// A bad query.
pub fn of_query(error: QueryPayloadError, _: &HttpRequest) -> actix_web::Error {
    Problem::invalid(error.to_string()).into()
}
/// A bad path segment.
pub fn of_path(error: PathError, _: &HttpRequest) -> actix_web::Error {
    Problem::invalid(error.to_string()).into()
}
/// Nothing is there.
pub async fn no_such_path(request: HttpRequest) -> Problem404 {
    Problem404(request.path().to_owned())
}
/// The answer for an unknown path.
pub struct Problem404(String);
impl actix_web::Responder for Problem404 {
    type Body = actix_web::body::BoxBody;
    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        Problem::not_found(format!("no such path: {}", self.0)).error_response()
    }
}
