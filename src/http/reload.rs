//! The config as it is in force, and `reload`.

use super::Face;
use super::access::Caller;
use super::actions::reason;
use super::problem::Problem;
use crate::reload::NotReloaded;
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use serde_json::json;

#[get("/config")]
pub(super) async fn shown(face: web::Data<Face>) -> HttpResponse {
    HttpResponse::Ok().json(face.reloader.shown().await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadBody {
    /// Say what it would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    reason: String,
}

#[post("/config/reload")]
pub(super) async fn reload(
    face: web::Data<Face>,
    caller: Caller,
    body: web::Json<ReloadBody>,
) -> Result<HttpResponse, Problem> {
    let why = if body.dry_run { String::new() } else { reason(&body.reason)? };
    match face.reloader.reload(body.dry_run, &caller.name, &why).await {
        Ok(changes) => Ok(HttpResponse::Ok().json(json!({
            "applied": !body.dry_run,
            "file": face.reloader.file().map(|file| file.display().to_string()),
            "changes": changes,
        }))),
        Err(NotReloaded::Store(error)) => Err(error.into()),
        Err(NotReloaded::Wrong(errors)) => Err(Problem::invalid(errors.to_string())),
        Err(error @ (NotReloaded::NoFile | NotReloaded::NeedsRestart(_))) => {
            Err(Problem::conflict(error.to_string()))
        }
        Err(NotReloaded::Failed(what)) => Err(Problem::invalid(what)),
    }
}
