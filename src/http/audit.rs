//! Who did what, when and why.

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
    query: web::Query<AuditQuery>,
) -> Result<HttpResponse, Problem> {
    let page = page(query.before, query.after, query.order, query.limit)?;
    let limit = page.limit as usize;
    let rows = face.cast.outside.reads.audited(query.who.clone(), page).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.n);
    Ok(HttpResponse::Ok().json(shapes::list(rows.iter().map(shapes::audited).collect(), next)))
}
