//! Signing in with a token in a browser, signing out, and who one is.
//!
//! What always holds: the token is in no address, page, log or error; the page leads on only to a path of
//! this service; without any token configured there is nothing to sign in to.

use super::Face;
use super::access::{By, Caller};
use super::guard::must_be_of_our_page;
use super::problem::Problem;
use super::sessions::{COOKIE, LIFE};
use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use minijinja::HtmlEscape;
use serde::Deserialize;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use ticketgate_actors::model::BackendId;

const PAGE: &str = include_str!("sign_in.html");
const STYLE: &str = include_str!("sign_in.css");
/// Bytes of a path that a person is led on to.
const TO_MAX: usize = 4_096;

#[derive(Deserialize)]
struct To {
    to: Option<String>,
}

/// A path of this service, and nothing that a browser could take for another host.
fn local(to: Option<&str>) -> &str {
    let good = |to: &&str| {
        let other_host = to.starts_with("//") || to.contains('\\');
        to.starts_with('/')
            && !other_host
            && to.len() <= TO_MAX
            && to.bytes().all(|byte| byte.is_ascii_graphic())
    };
    to.filter(good).unwrap_or("/")
}

fn page(status: StatusCode, to: &str, said: &str) -> HttpResponse {
    let html = PAGE
        .replace("{{to}}", &HtmlEscape(to).to_string())
        .replace("{{said}}", &HtmlEscape(said).to_string());
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(html)
}

fn lead_on(to: &str) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, to));
    response
}

#[get("/sign-in")]
pub(super) async fn ask(face: web::Data<Face>, query: web::Query<To>) -> HttpResponse {
    let to = local(query.to.as_deref());
    match face.access.tokens.is_empty() {
        true => lead_on(to).finish(),
        false => page(StatusCode::OK, to, ""),
    }
}

#[get("/sign-in.css")]
pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((CACHE_CONTROL, "max-age=3600"))
        .body(STYLE)
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
    to: Option<String>,
}

#[post("/sign-in")]
pub(super) async fn sign_in(
    face: web::Data<Face>,
    request: HttpRequest,
    form: web::Form<SignIn>,
) -> Result<HttpResponse, Problem> {
    must_be_of_our_page(request.headers())?;
    let address = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |it| it.ip());
    let now = face.cast.outside.clock.now();
    let to = local(form.to.as_deref());
    let sessions = &face.access.sessions;
    if !sessions.may_try(address, now.mono) {
        let said = "Too many wrong tokens: wait a minute.";
        return Ok(page(StatusCode::TOO_MANY_REQUESTS, to, said));
    }
    let Some(caller) = face.access.tokens.of(form.token.trim().as_bytes()) else {
        sessions.wrong(address, now.mono);
        tracing::warn!(%address, "somebody brought a wrong token to the sign-in");
        return Ok(page(StatusCode::UNAUTHORIZED, to, "This is not a token of this service."));
    };
    tracing::info!(%address, name = %caller.name, role = caller.role.as_str(), "signed in");
    let cookie = Cookie::build(COOKIE, sessions.begin(caller, now))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(face.access.secure)
        .max_age(time::Duration::try_from(LIFE).unwrap_or(time::Duration::HOUR))
        .finish();
    Ok(lead_on(to).cookie(cookie).finish())
}

#[post("/sign-out")]
pub(super) async fn sign_out(
    face: web::Data<Face>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    must_be_of_our_page(request.headers())?;
    if let Some(cookie) = request.cookie(COOKIE) {
        face.access.sessions.end(cookie.value());
    }
    let mut gone = Cookie::build(COOKIE, "").path("/").http_only(true).finish();
    gone.set_same_site(SameSite::Strict);
    gone.make_removal();
    Ok(lead_on("/sign-in").cookie(gone).finish())
}

#[get("/me")]
pub(super) async fn me(caller: Caller) -> HttpResponse {
    let (by, until) = match caller.by {
        By::Open => (None, None),
        By::Token => (Some("token"), None),
        By::Session(until) => (Some("session"), Some(until.to_string())),
    };
    let only = caller.backends.as_ref();
    let backends = only.map(|only| only.iter().map(BackendId::as_str).collect::<Vec<_>>());
    HttpResponse::Ok().json(json!({
        "name": &*caller.name,
        "role": caller.role,
        "backends": backends,
        "open": caller.by == By::Open,
        "by": by,
        "expires_at": until,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_led_on_only_to_a_path_of_this_service() {
        for (to, leads) in [
            ("/", "/"),
            ("/new-ticket?source=a&id=b", "/new-ticket?source=a&id=b"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/a\r\nSet-Cookie: x=y", "/"),
            ("", "/"),
        ] {
            assert_eq!(local(Some(to)), leads, "{to}");
        }
        assert_eq!(local(None), "/");
        assert_eq!(local(Some(&format!("/{}", "a".repeat(TO_MAX)))), "/");
    }

    #[test]
    fn what_comes_from_outside_is_escaped_on_the_page() {
        let html = PAGE.replace("{{to}}", &HtmlEscape("/\"><script>").to_string());
        // One script is our own.
        assert_eq!(html.matches("<script").count(), PAGE.matches("<script").count(), "{html}");
    }
}
