//! Who did what, when and why.

use super::access::Caller;
use super::alarms::{Order, page};
use super::problem::Problem;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, web};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    who: Option<String>,
    before: Option<u64>,
    after: Option<u64>,
    order: Option<Order>,
    limit: Option<u32>,
}

#[get("/audit")]
pub(super) async fn list(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<AuditQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.before, query.after, query.order, query.limit)?;
    let limit = page.limit as usize;
    // A line says in words what was done: nobody can tell of which backend it is. One's own are one's own.
    let who = match (caller.sees_all(), &query.who) {
        (true, who) => who.clone(),
        (false, None) => Some(caller.who()),
        (false, Some(who)) if *who == *caller.name => Some(caller.who()),
        (false, Some(_)) => {
            let detail = "a token that is limited to some backends is shown its own lines";
            return Err(Problem::forbidden(detail));
        }
    };
    let rows = face.cast.outside.reads.audited(who, page).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.n);
    Ok(HttpResponse::Ok().json(shapes::list(rows.iter().map(shapes::audited).collect(), next)))
}
