//! What a form for a new ticket must know of its backend: which fields it needs, with their values, and
//! by what it can be searched for a ticket that exists already.

use super::Face;
use super::access::Caller;
use super::lanes::theirs;
use super::problem::Problem;
use actix_web::{HttpResponse, get, web};
use serde_json::json;

#[get("/backends/{id}/form")]
pub(super) async fn form(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let backend = theirs(&face, &caller, &path)?;
    let seat = face.cast.outside.backends.get(&backend);
    let seat = seat.ok_or_else(|| Problem::not_found(format!("no backend is called {backend}")))?;
    let form = seat.port.form();
    Ok(HttpResponse::Ok().json(json!({
        "backend": backend,
        "needs": form.needs,
        "searchable": form.finds_by.is_some(),
        "finds_by": form.finds_by,
    })))
}
