//! What every action of a person needs: a reason. And the log level.

use super::Face;
use super::access::Caller;
use super::problem::Problem;
use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use serde_json::json;
use ticketgate_actors::changes::Change;

/// Characters of a reason.
pub(super) const REASON_MAX: usize = 1_000;
/// A person's reason, checked.
pub(super) fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON_MAX {
        let detail = format!("a reason of 1 to {REASON_MAX} characters is needed");
        return Err(Problem::field("reason", detail));
    }
    Ok(text.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonBody {
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelBody {
    level: String,
}

#[post("/config/log-level")]
pub(super) async fn log_level(
    face: web::Data<Face>,
    caller: Caller,
    body: web::Json<LevelBody>,
) -> Result<HttpResponse, Problem> {
    face.log_level.set(&body.level).map_err(|what| Problem::field("level", what))?;
    let what = format!("log level set to {}", body.level);
    let audit = Change::Audit { who: caller.who(), what, why: String::new() };
    face.cast.outside.store.apply(audit.into()).await?;
    Ok(HttpResponse::Ok().json(json!({ "level": body.level })))
}
