//! Who may ask: looked at before any handler and before a body is read, also for paths that do not exist.
//!
//! What always holds: with a token configured, every path but the few that stand in the table as open
//! needs a token (RFC 6750) or a session, whose role is enough for that endpoint, and which is not limited
//! to some backends where it concerns all; what does not stand in the table is for nobody. A change that comes with a session must come from our own page: a cookie
//! alone proves nothing. A backend or a source with a secret of its own brings that to its `/callbacks`
//! or `/webhooks`, where its handler looks at it. Bodies have a deadline, and nobody holds more than its
//! share of the handlers. Whatever is answered carries the same headers, and every error is a problem.

use super::access::{By, Caller};
use super::endpoints::{Endpoint, Scope, endpoint, methods};
use super::problem::Problem;
use super::sessions::COOKIE;
use super::{Face, callbacks, webhooks};
use crate::trust::Trust;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, ResponseError, web};
use futures_util::{StreamExt, stream};
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ticketgate_actors::model::BackendId;
use tokio::time::{Instant, timeout_at};

/// A body must have come whole within this time,
pub const BODY_WITHIN: Duration = Duration::from_secs(30);
/// and may not pause for longer than this.
pub const BODY_IDLE: Duration = Duration::from_secs(10);
/// Requests of one address that are being read or answered at once, event streams aside: enough for a
/// proxy that speaks for a whole operations centre, and a quarter of all connections.
pub const IN_FLIGHT_BY_ADDRESS: u32 = 256;

/// What our own pages may load and do; a page that needs less says so itself.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                   font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
                   frame-ancestors 'none'";

/// Shows that a change with a session's cookie was made by our own script.
const OURS: &str = "x-ticketgate";

/// How many requests each address has under way.
#[derive(Default)]
pub struct InFlight(Mutex<HashMap<IpAddr, u32>>);

/// A request's place among [`IN_FLIGHT_BY_ADDRESS`]; given back when it is dropped.
struct Place(Arc<InFlight>, IpAddr);

impl InFlight {
    fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Problem> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= IN_FLIGHT_BY_ADDRESS {
            let detail = format!("{IN_FLIGHT_BY_ADDRESS} requests of this address are under way");
            return Err(Problem::busy(detail));
        }
        *count += 1;
        Ok(Place(self.clone(), address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

/// The address that a request comes from.
pub(super) fn address(request: &ServiceRequest) -> IpAddr {
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

pub(super) async fn guard(
    face: web::Data<Face>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let secure = face.access.secure;
    let _place = match face.access.in_flight.take(address(&request)) {
        Ok(place) => place,
        Err(problem) => return Ok(refused(request, problem.error_response(), secure)),
    };
    let caller = match admit(&face, &request) {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refused(request, *refusal, secure)),
    };
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let late = Rc::new(Cell::new(false));
    let payload = timed(request.take_payload(), late.clone());
    request.set_payload(payload);
    let mut response = next.call(request).await?.map_into_boxed_body();
    if late.get() && response.status().is_client_error() {
        let detail = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
        let (request, _) = response.into_parts();
        let mut answer = Problem::too_slow(detail).error_response();
        answer.head_mut().set_connection_type(ConnectionType::Close);
        response = ServiceResponse::new(request, answer);
    }
    Ok(dressed(as_problem(response), secure))
}

fn refused(
    request: ServiceRequest,
    refusal: HttpResponse,
    secure: bool,
) -> ServiceResponse<BoxBody> {
    dressed(request.into_response(refusal), secure)
}

/// The body, which fails when it comes too slowly.
fn timed(payload: Payload, late: Rc<Cell<bool>>) -> Payload {
    let whole_by = Instant::now() + BODY_WITHIN;
    let parts = stream::unfold(Some((payload, late)), move |state| async move {
        let (mut payload, late) = state?;
        let by = whole_by.min(Instant::now() + BODY_IDLE);
        match timeout_at(by, payload.next()).await {
            Ok(None) => None,
            Ok(Some(part)) => Some((part, Some((payload, late)))),
            Err(_) => {
                late.set(true);
                let error = io::Error::new(io::ErrorKind::TimedOut, "the body came too slowly");
                Some((Err(PayloadError::Io(error)), None))
            }
        }
    });
    Payload::Stream { payload: Box::pin(parts) }
}

/// Whoever asks, if this endpoint is for them; none where nobody is asked who they are.
fn admit(face: &Face, request: &ServiceRequest) -> Result<Option<Caller>, Box<HttpResponse>> {
    let of_problem = |problem: Problem| Box::new(problem.error_response());
    let pattern = request.match_pattern();
    let named = |pattern: &String| endpoint(request.method().as_str(), pattern);
    let endpoint: Option<&Endpoint> = pattern.as_ref().and_then(named);
    if endpoint.is_some_and(|it| it.role.is_none()) || brings_its_own(face, request.path()) {
        return Ok(None);
    }
    let Some(caller) = caller(face, request).map_err(of_problem)? else {
        return Err(Box::new(not_signed_in(request)));
    };
    if let Some(role) = endpoint.and_then(|it| it.role)
        && caller.role < role
    {
        let detail = format!(
            "{} has the role {}: this needs the role {}",
            caller.name,
            caller.role.as_str(),
            role.as_str()
        );
        return Err(of_problem(Problem::forbidden(detail)));
    }
    if endpoint.is_some_and(|it| it.scope == Scope::Whole) {
        caller.must_see_all().map_err(of_problem)?;
    }
    if let (None, Some(pattern)) = (endpoint, &pattern) {
        let mut answer = of_problem(Problem::no_such_method(request.method().as_str()));
        if let Ok(allowed) = HeaderValue::from_str(&methods(pattern)) {
            answer.headers_mut().insert(header::ALLOW, allowed);
        }
        return Err(answer);
    }
    Ok(Some(caller))
}

/// Whoever it is; none: nobody that we know.
fn caller(face: &Face, request: &ServiceRequest) -> Result<Option<Caller>, Problem> {
    if face.access.tokens.is_empty() {
        // Whoever reaches the port may act, but not a page that somebody happens to look at.
        if !is_safe(request.method()) {
            must_be_of_our_page(request.headers())?;
        }
        return Ok(Some(Caller::somebody()));
    }
    if let Some(header) = request.headers().get(header::AUTHORIZATION) {
        return match face.access.tokens.of_header(header.as_bytes()) {
            Some(caller) => Ok(Some(caller)),
            None => Err(Problem::unauthorised("this is not the service's token")),
        };
    }
    let Some(cookie) = request.cookie(COOKIE) else { return Ok(None) };
    let now = face.cast.outside.clock.now().mono;
    let caller = face.access.sessions.caller(cookie.value(), now);
    if caller.as_ref().is_some_and(|it| matches!(it.by, By::Session(_)))
        && !is_safe(request.method())
    {
        if !request.headers().contains_key(OURS) {
            let detail = "a change with a session needs the header X-Ticketgate: 1";
            return Err(Problem::forbidden(detail));
        }
        must_be_of_our_page(request.headers())?;
    }
    Ok(caller)
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What a browser says of where a request was made; a program says nothing, and has no cookie to misuse.
///
/// # Errors
/// 403: it was made by somebody else's page.
pub(super) fn must_be_of_our_page(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = || Problem::forbidden("this was sent by another site's page");
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site"))
        && site != "same-origin"
    {
        return Err(foreign());
    }
    if let Some(origin) = text(header::ORIGIN) {
        let host = text(header::HOST).unwrap_or_default();
        let of = origin.split_once("://").map(|(_, of)| of);
        if of.is_none_or(|of| !of.eq_ignore_ascii_case(host)) {
            return Err(foreign());
        }
    }
    Ok(())
}

/// A person with a browser is led to the page where one signs in; a program is told what to bring.
fn not_signed_in(request: &ServiceRequest) -> HttpResponse {
    let headers = request.headers();
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_page = *request.method() == Method::GET
        && !request.path().starts_with("/api/")
        && accepts.is_some_and(|types| types.contains("text/html"));
    if !is_page {
        let detail = "bring a token of the service: Authorization: Bearer TOKEN";
        return Problem::unauthorised(detail).error_response();
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site == Some(b"cross-site") && request.cookie(COOKIE).is_none() {
        // A strict cookie does not come with a link from another site: our own page asks once more.
        return HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .body("<!doctype html><meta http-equiv=\"refresh\" content=\"0\"><title>…</title>");
    }
    let to = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let page = reqwest::Url::parse_with_params("http://gate/sign-in", [("to", to)]);
    let query = page.ok().and_then(|page| page.query().map(str::to_owned)).unwrap_or_default();
    HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/sign-in?{query}"))).finish()
}

/// A backend that answers later or tells of a change, or a foreign alarm system, with a secret of its
/// own; its handler looks at that.
fn brings_its_own(face: &Face, path: &str) -> bool {
    let backend = path.strip_prefix(callbacks::PREFIX);
    let callback = backend.and_then(|name| face.callbacks.get(&BackendId::new(name)));
    let hook = path.strip_prefix(webhooks::PREFIX).and_then(|name| webhooks::trust(face, name));
    callback.map(|it| it.trust()).or(hook).is_some_and(Trust::is_own)
}

/// An error that the server itself made has plain words, or none: they become a problem.
fn as_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let has_words = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        let is = |kind: &[u8]| value.as_bytes().starts_with(kind);
        is(b"application/") || is(b"text/html")
    });
    if !is_error || has_words {
        return response;
    }
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too large".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => "this path has no such method".to_owned(),
        _ => "the request cannot be read".to_owned(),
    };
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, Problem::of_status(status, detail).error_response())
}

/// With the headers that every answer carries, unless its handler set its own.
fn dressed(mut response: ServiceResponse<BoxBody>, secure: bool) -> ServiceResponse<BoxBody> {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CONTENT_SECURITY_POLICY, CSP);
    // Not `no-referrer`: with it a browser names no origin for our own form, and its sign-in is refused.
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::CACHE_CONTROL, "no-store");
    if secure {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_may_change_something_with_a_cookie() {
        let check = |site: Option<&'static str>, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("gate.example:8640"));
            let mut put = |name: &'static str, value: Option<&'static str>| {
                if let Some(value) = value {
                    headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
                }
            };
            put("sec-fetch-site", site);
            put("origin", origin);
            must_be_of_our_page(&headers).is_ok()
        };
        assert!(check(None, None), "a program says nothing of it");
        assert!(check(Some("same-origin"), Some("http://gate.example:8640")));
        assert!(check(None, Some("https://GATE.example:8640")));
        for (site, origin) in [
            (Some("cross-site"), None),
            (Some("same-site"), None),
            (Some("none"), None),
            (None, Some("http://evil.example")),
            (None, Some("http://gate.example:8641")),
            (None, Some("http://gate.example:8640.evil.example")),
            (None, Some("null")),
            (Some("same-origin"), Some("http://evil.example")),
        ] {
            assert!(!check(site, origin), "{site:?} {origin:?}");
        }
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let in_flight = Arc::new(InFlight::default());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let take = || in_flight.take(one);
        let mut places: Vec<_> = (0..IN_FLIGHT_BY_ADDRESS).map(|_| take().unwrap()).collect();
        assert!(take().is_err());
        assert!(in_flight.take(other).is_ok());
        places.pop();
        assert!(take().is_ok());
        drop(places);
        assert!(in_flight.0.lock().unwrap().is_empty(), "it remembers nobody who has gone");
    }
}
