//! Where final answers go that no command sends elsewhere: the routes of the config, and those that a
//! person sets in their place. They count from the next final answer on.

use super::access::Caller;
use super::actions::reason;
use super::problem::Problem;
use super::services::known;
use super::{Face, shapes};
use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::Deserialize;
use std::collections::BTreeMap;
use ticketgate_actors::changes::{Change, Refusal, SetRoute};
use ticketgate_actors::model::{BackendId, Route};
use ticketgate_actors::ports::StoreError;

/// Bytes of a name on the broker, as AMQP 0-9-1 has it.
const NAME_MAX: usize = 255;

#[get("/routes")]
pub(super) async fn list(face: web::Data<Face>, caller: Caller) -> Result<HttpResponse, Problem> {
    let outside = &face.cast.outside;
    let config = outside.backends.names().into_iter();
    let mut routes: BTreeMap<BackendId, (Route, &str)> = config
        .filter_map(|backend| Some((backend.clone(), (outside.route_of(&backend)?, "config"))))
        .collect();
    for (backend, route) in outside.reads.routes().await? {
        routes.insert(backend, (route, "operator"));
    }
    routes.retain(|backend, _| caller.sees(backend));
    let items = routes.iter().map(|(backend, (route, by))| shapes::route(backend, route, by));
    Ok(HttpResponse::Ok().json(shapes::list(items.collect(), None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRoute {
    backend: String,
    #[serde(default)]
    exchange: String,
    key: String,
    reason: String,
}

#[post("/routes")]
pub(super) async fn add(
    face: web::Data<Face>,
    caller: Caller,
    body: web::Json<NewRoute>,
) -> Result<HttpResponse, Problem> {
    let backend = known(&face, &body.backend)?;
    let route = checked(&body.exchange, &body.key)?;
    let shown = set(&face, &caller, backend, Some(route), true, &body.reason).await?;
    Ok(HttpResponse::Created().json(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteBody {
    #[serde(default)]
    exchange: String,
    key: String,
    reason: String,
}

#[put("/routes/{backend}")]
pub(super) async fn replace(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<RouteBody>,
) -> Result<HttpResponse, Problem> {
    let backend = known(&face, &path).map_err(|_| Problem::not_found("no such backend"))?;
    let route = checked(&body.exchange, &body.key)?;
    let shown = set(&face, &caller, backend, Some(route), false, &body.reason).await?;
    Ok(HttpResponse::Ok().json(shown))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveQuery {
    #[serde(default)]
    reason: String,
}

#[delete("/routes/{backend}")]
pub(super) async fn remove(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    query: web::Query<RemoveQuery>,
) -> Result<HttpResponse, Problem> {
    // Also one whose backend is no longer configured can go.
    let backend = BackendId::new(&path);
    set(&face, &caller, backend, None, false, &query.reason).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn checked(exchange: &str, key: &str) -> Result<Route, Problem> {
    let good = |text: &str| text.len() <= NAME_MAX && !text.chars().any(char::is_control);
    if key.is_empty() || !good(key) {
        return Err(Problem::field("key", format!("has 1 to {NAME_MAX} bytes")));
    }
    if !good(exchange) {
        return Err(Problem::field("exchange", format!("has 0 to {NAME_MAX} bytes")));
    }
    Ok(Route { exchange: exchange.to_owned(), key: key.to_owned() })
}

async fn set(
    face: &Face,
    caller: &Caller,
    backend: BackendId,
    route: Option<Route>,
    only_new: bool,
    why: &str,
) -> Result<serde_json::Value, Problem> {
    caller.must_see(&backend)?;
    let (why, who) = (reason(why)?, caller.who());
    let shown = route.as_ref().map(|route| shapes::route(&backend, route, "operator"));
    let change = SetRoute { backend, route, only_new, who, why };
    match face.cast.outside.store.apply(Change::SetRoute(Box::new(change)).into()).await {
        Ok(_) => Ok(shown.unwrap_or_default()),
        Err(StoreError::Refused(Refusal::Conflict)) => {
            Err(Problem::conflict("an operator's route is there already: PUT replaces it"))
        }
        Err(StoreError::Refused(Refusal::NotFound)) => Err(Problem::not_found(
            "no operator's route is there; one of the config is changed in the config",
        )),
        Err(error) => Err(error.into()),
    }
}
