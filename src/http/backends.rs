//! The backends: what each is and can do, whether it answers, and its token.
//!
//! What always holds: no secret is shown. What is asked of a ticketing system passes its lane, in its
//! turn; a token is requested beside it, as it is by a call.

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::lanes::theirs;
use super::looked::{TURN_WITHIN, stands};
use super::problem::Problem;
use super::{Face, shapes};
use crate::backends::{Finding, found_by_search, nobodys_search};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, post, web};
use serde_json::{Map, Value, json};
use ticketgate_actors::actors::Ask;
use ticketgate_actors::changes::Change;

#[get("/backends")]
pub(super) async fn list(face: web::Data<Face>, caller: Caller) -> HttpResponse {
    let outside = &face.cast.outside;
    let names = outside.backends.names().into_iter().filter(|id| caller.sees(id));
    let items = names.filter_map(|id| {
        let seat = outside.backends.get(&id)?;
        let view = outside.views.lanes.get(&id).map(|view| view.clone()).unwrap_or_default();
        let gait = outside.views.gaits.get(&id).map(|gait| *gait);
        Some(shapes::backend(&id, &seat.port.about(), &seat.settings, &view, gait))
    });
    HttpResponse::Ok().json(shapes::list(items.collect(), None))
}

#[post("/backends/{id}/check")]
pub(super) async fn check(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let backend = theirs(&face, &caller, &path)?;
    let outside = &face.cast.outside;
    let seat = outside.backends.get(&backend);
    let seat = seat.ok_or_else(|| Problem::not_found("no such backend"))?;
    let about = seat.port.about();
    let mut findings = Vec::new();
    let searches = about.operations.contains(&"search") && about.searches_by_key;
    if let Some(why) = stands(&face, &backend).filter(|_| searches) {
        let said = format!("not tried: {why}; beside the lane: ticketgate check --config FILE");
        findings.push(Finding { what: "search", works: Some(false), said });
    } else if searches {
        let work = nobodys_search();
        let deadline = outside.clock.now().mono.plus(seat.settings.timeout + TURN_WITHIN);
        let ask = Ask { backend: backend.clone(), work, deadline };
        let answer = face.cast.gateway.ask(ask).await;
        let answer = answer.ok_or_else(|| Problem::busy("the gateway is being replaced"))?;
        findings.push(found_by_search(answer.answer));
    }
    if let Some(token) = seat.port.about().token {
        findings.push(match (token.expires, token.error) {
            (Some(until), _) => Finding {
                what: "sign-in",
                works: Some(true),
                said: format!("a token until {until}"),
            },
            (None, Some((at, why))) => {
                Finding { what: "sign-in", works: Some(false), said: format!("{why} (at {at})") }
            }
            (None, None) => {
                let said = "no token was needed yet".to_owned();
                Finding { what: "sign-in", works: None, said }
            }
        });
    }
    let untried: Vec<_> = about.operations.iter().filter(|name| **name != "search").collect();
    let untried: Vec<_> = untried.into_iter().copied().collect();
    findings.push(Finding { what: "not tried", works: None, said: untried.join(", ") });
    let works = findings.iter().all(|finding| finding.works != Some(false));
    let findings: Vec<_> = findings
        .iter()
        .map(|it| json!({ "what": it.what, "works": it.works, "said": it.said }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "backend": backend, "works": works, "findings": findings })))
}

#[post("/backends/{id}/authenticate")]
pub(super) async fn authenticate(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let backend = theirs(&face, &caller, &path)?;
    let why = reason(&body.reason)?;
    let outside = &face.cast.outside;
    let seat = outside.backends.get(&backend);
    let seat = seat.ok_or_else(|| Problem::not_found("no such backend"))?;
    if seat.port.about().token.is_none() {
        let detail = format!("{backend} signs in with what the config says: no token is requested");
        return Err(Problem::conflict(detail));
    }
    let what = format!("a new token requested for {backend}");
    outside.store.apply(Change::Audit { who: caller.who(), what, why }.into()).await?;
    match seat.port.authenticate(seat.settings.timeout).await {
        Some(Ok(until)) => {
            Ok(HttpResponse::Ok()
                .json(json!({ "backend": backend, "expires_at": until.to_string() })))
        }
        Some(Err(reason)) => {
            let more = Map::from_iter([("backend".to_owned(), Value::from(backend.as_str()))]);
            Err(Problem::with(StatusCode::BAD_GATEWAY, &reason, more))
        }
        None => Err(Problem::conflict("no token is requested for this backend")),
    }
}
