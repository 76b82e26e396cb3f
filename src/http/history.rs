//! What has ended, as lists; and a person's order to put them into their files now.

use super::access::Caller;
use super::actions::{ReasonBody, reason};
use super::alarms::{Order, page};
use super::problem::Problem;
use super::scope::sifted;
use super::{Face, shapes};
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use ticketgate_actors::actors::{NotOffloaded, OffloadFailed, OffloadNow};
use ticketgate_actors::model::{BackendId, HistoryList, HistoryRow, Request};
use ticketgate_actors::ports::StoreError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    list: Option<String>,
    before: Option<u64>,
    after: Option<u64>,
    order: Option<Order>,
    limit: Option<u32>,
}

#[get("/history")]
pub(super) async fn history(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<HistoryQuery>,
) -> Result<HttpResponse, Problem> {
    let list = HistoryList::parse(query.list.as_deref().unwrap_or("status"));
    let lists = HistoryList::ALL.map(HistoryList::as_str).join(", ");
    let list = list.ok_or_else(|| Problem::field("list", format!("list is one of {lists}")))?;
    let page = page(query.before, query.after, query.order, query.limit)?;
    let limit = page.limit as usize;
    let reads = &face.cast.outside.reads;
    let (rows, next) = if caller.sees_all() {
        let rows = reads.history(list, page).await?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.n);
        (rows, next)
    } else {
        let read = async |page| reads.history(list, page).await;
        sifted(page, |row| row.n, read, async |row| theirs(&face, &caller, row).await).await?
    };
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut item = shape(row);
        if list == HistoryList::Status {
            item["state"] = json!(request_of(&face, row).await?.map(|request| request.state));
        }
        items.push(item);
    }
    Ok(HttpResponse::Ok().json(shapes::list(items, next)))
}

/// The request that a row tells of, as long as it is kept: the systems' own words do not tell what was made
/// from what was found, nor what failed from what was dropped.
async fn request_of(face: &Face, row: &HistoryRow) -> Result<Option<Request>, StoreError> {
    let instance = row.named().find(|(column, _)| *column == "instance").map(|(_, cell)| cell);
    let Some(id) = instance.and_then(|id| id.parse().ok()) else { return Ok(None) };
    face.cast.outside.reads.request(id).await
}

/// Is a row of a backend that the caller sees? Of the systems' own tables one alone says the backend; in the
/// others the row's request does. One that is no longer kept is nobody's.
async fn theirs(face: &Face, caller: &Caller, row: &HistoryRow) -> Result<bool, StoreError> {
    let cell = |name| row.named().find(|(column, _)| *column == name).map(|(_, cell)| cell);
    if let Some(backend) = cell("backend") {
        return Ok(caller.sees(&BackendId::new(backend)));
    }
    let request = request_of(face, row).await?;
    Ok(request.is_some_and(|request| caller.sees(&request.backend)))
}

/// A row by the names of its columns; what is not known is null.
fn shape(row: &HistoryRow) -> Value {
    let mut shape = Map::new();
    shape.insert("n".to_owned(), json!(row.n));
    shape.insert("ended_at".to_owned(), json!(row.at.to_string()));
    for (column, cell) in row.named() {
        let value = if cell.is_empty() { Value::Null } else { json!(cell) };
        shape.insert(column.to_owned(), value);
    }
    Value::Object(shape)
}

#[post("/history/offload")]
pub(super) async fn offload(
    face: web::Data<Face>,
    caller: Caller,
    body: web::Json<ReasonBody>,
) -> Result<HttpResponse, Problem> {
    let order = OffloadNow { who: caller.who(), reason: reason(&body.reason)? };
    match face.cast.offload.ask(order).await {
        Some(Ok(gone)) => {
            let rows: Map<String, Value> =
                gone.into_iter().map(|(list, rows)| (list.to_string(), json!(rows))).collect();
            Ok(HttpResponse::Ok().json(json!({ "offloaded": rows })))
        }
        Some(Err(off @ NotOffloaded::Off)) => Err(Problem::conflict(off.to_string())),
        Some(Err(NotOffloaded::Failed(OffloadFailed::Store(error)))) => Err(error.into()),
        Some(Err(why)) => Err(Problem::busy(why.to_string())),
        None => Err(Problem::busy("the offload is being replaced")),
    }
}
