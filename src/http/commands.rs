//! Commands and locks over HTTP (CONTRACT 1.5, 2): the same desk as on the bus, with the answer as
//! the response.

use super::Face;
use super::access::Caller;
use super::clients::shown;
use super::lists::id;
use super::problem::Problem;
use super::shapes;
use crate::{wire, words};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use ticketgate_actors::model::{
    BackendId, Code, Command, CommandAnswer, CommandError, CommandId, Given, Order, Stage,
    TicketName,
};
use ticketgate_actors::ports::BadCommand;
use uuid::Uuid;

/// A response waits so long for the final stage, at most.
const WAIT_MAX: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    wait: Option<String>,
}

#[post("/commands")]
pub(super) async fn submit(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<Wait>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let wait = match &query.wait {
        None => Duration::ZERO,
        Some(text) => match words::parse_duration(text) {
            Ok(wait) if wait <= WAIT_MAX => wait,
            _ => return Err(Problem::field("wait", "wait is a span up to 10m, such as 30s")),
        },
    };
    let command = wire::command_from_json(&body).map_err(bad)?;
    if let Some(backend) = concerns(&face, &command).await? {
        caller.must_see(&backend)?;
    }
    let first = face.cast.commands.run(command).await?;
    let answer = if wait.is_zero() { first } else { face.cast.commands.wait(first, wait).await? };
    respond(&answer)
}

/// The backend that a command is for; none: it is for none, or names a ticket that nobody knows.
async fn concerns(face: &Face, command: &Command) -> Result<Option<BackendId>, Problem> {
    let ticket = match &command.order {
        Order::Create { backend, .. } | Order::Search { backend, .. } => {
            return Ok(Some(backend.clone()));
        }
        Order::Update { ticket, .. } | Order::Close { ticket, .. } | Order::Query(ticket) => ticket,
        Order::Acquire { .. } | Order::Renew { .. } | Order::Release { .. } => return Ok(None),
    };
    Ok(match ticket {
        TicketName::Theirs(backend, ..) => Some(backend.clone()),
        TicketName::Key(key) => {
            let row = face.cast.outside.reads.ticket(*key).await?;
            row.map(|ticket| ticket.backend)
        }
    })
}

#[get("/commands/{id}")]
pub(super) async fn stage(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let command: CommandId = id("id", &path)?;
    let reads = &face.cast.outside.reads;
    if let Some(record) = reads.command(command).await?
        && let Some(request) = reads.request(record.request).await?
    {
        caller.must_see(&request.backend)?;
    }
    match face.cast.commands.stage(command).await? {
        Some(answer) => Ok(HttpResponse::Ok().json(wire::answer(&answer))),
        None => Err(Problem::not_found(format!("no write command with the id {command} is known"))),
    }
}

#[get("/locks")]
pub(super) async fn locks(face: web::Data<Face>, caller: Caller) -> HttpResponse {
    let views = &face.cast.outside.views.clients;
    let mut rows: Vec<_> = views
        .iter()
        .filter(|row| row.guid.is_some())
        .map(|row| (*row.key(), shown(&caller, *row.key(), row.value())))
        .collect();
    rows.sort_by_key(|(number, _)| *number);
    let items = rows.into_iter().map(|(_, shape)| shape).collect();
    HttpResponse::Ok().json(shapes::list(items, None))
}

#[post("/locks")]
pub(super) async fn acquire(
    face: web::Data<Face>,
    body: web::Json<Map<String, Value>>,
) -> Result<HttpResponse, Problem> {
    lock(&face, "lock.acquire", None, body.into_inner()).await
}

#[put("/locks/{guid}")]
pub(super) async fn renew(
    face: web::Data<Face>,
    path: web::Path<String>,
    body: web::Json<Map<String, Value>>,
) -> Result<HttpResponse, Problem> {
    let guid: Uuid = id("guid", &path)?;
    lock(&face, "lock.renew", Some(guid), body.into_inner()).await
}

#[delete("/locks/{guid}")]
pub(super) async fn release(
    face: web::Data<Face>,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let guid: Uuid = id("guid", &path)?;
    lock(&face, "lock.release", Some(guid), Map::new()).await
}

/// A lock command, checked by the same reader as every other. The response is the lock alone.
async fn lock(
    face: &Face,
    name: &str,
    guid: Option<Uuid>,
    mut body: Map<String, Value>,
) -> Result<HttpResponse, Problem> {
    let outside = &face.cast.outside;
    let id = outside.ids.uuid(outside.clock.now().wall);
    body.insert("command".to_owned(), json!(name));
    body.insert("id".to_owned(), json!(id));
    if let Some(guid) = guid {
        body.insert("guid".to_owned(), json!(guid));
    }
    let command = wire::command_from_json(&Value::Object(body).to_string().into_bytes());
    let command: Command = command.map_err(bad)?;
    let answer = face.cast.commands.run(command).await?;
    match &answer.said {
        Ok(Given::Locked(lock)) => Ok(HttpResponse::Ok().json(json!({
            "client": lock.client,
            "guid": lock.guid,
            "fence": lock.fence,
            "expires_at": lock.expires_at.to_string(),
        }))),
        Ok(_) => Ok(HttpResponse::NoContent().finish()),
        Err(_) => respond(&answer),
    }
}

#[expect(clippy::boxed_local, reason = "it comes boxed from the reader")]
fn bad(bad: Box<BadCommand>) -> Problem {
    let answer =
        CommandAnswer { id: bad.id, about: None, stage: Stage::Final, said: Err(bad.error) };
    problem(&answer, StatusCode::BAD_REQUEST)
}

fn respond(answer: &CommandAnswer) -> Result<HttpResponse, Problem> {
    let status = status(answer);
    if status.is_success() {
        return Ok(HttpResponse::build(status).json(wire::answer(answer)));
    }
    Err(problem(answer, status))
}

fn problem(answer: &CommandAnswer, status: StatusCode) -> Problem {
    let detail = answer.said.as_ref().err().map_or("", |error| &error.message);
    let more = match serde_json::to_value(wire::answer(answer)) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    Problem::with(status, detail, more)
}

fn status(answer: &CommandAnswer) -> StatusCode {
    let Err(CommandError { code, .. }) = &answer.said else {
        return match answer.stage {
            Stage::Accepted => StatusCode::ACCEPTED,
            Stage::Final => StatusCode::OK,
        };
    };
    match code {
        Code::BlockedBy | Code::InDoubt | Code::Undecided => StatusCode::ACCEPTED,
        Code::Invalid | Code::UnknownBackend => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::LockLost | Code::IdReused | Code::Cancelled => StatusCode::CONFLICT,
        Code::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Failed => StatusCode::BAD_GATEWAY,
        Code::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(at: Stage, said: Result<Given, CommandError>) -> u16 {
        status(&CommandAnswer { id: None, about: None, stage: at, said }).as_u16()
    }

    #[test]
    fn each_code_has_its_status_and_what_is_not_final_is_no_error() {
        for (code, expected) in [
            (Code::Invalid, 400),
            (Code::UnknownBackend, 400),
            (Code::NotFound, 404),
            (Code::LockLost, 409),
            (Code::IdReused, 409),
            (Code::Cancelled, 409),
            (Code::Rejected, 422),
            (Code::Failed, 502),
            (Code::Busy, 503),
            (Code::Timeout, 504),
            (Code::BlockedBy, 202),
            (Code::InDoubt, 202),
            (Code::Undecided, 202),
        ] {
            let error = || Err(CommandError::new(code, "x"));
            assert_eq!(answered(Stage::Final, error()), expected, "{code:?}");
        }
        assert_eq!(answered(Stage::Accepted, Ok(Given::Accepted)), 202);
        assert_eq!(answered(Stage::Final, Ok(Given::Nothing)), 200);
    }

    #[test]
    fn an_error_has_the_members_of_an_answer_beside_those_of_a_problem() {
        let error = CommandError::of("lock", Code::LockLost, "this lock is not held");
        let answer = CommandAnswer { id: None, about: None, stage: Stage::Final, said: Err(error) };
        let problem = serde_json::to_value(problem(&answer, status(&answer))).unwrap();
        assert_eq!(
            problem,
            json!({
                "type": "about:blank", "title": "Conflict", "status": 409,
                "detail": "this lock is not held", "ok": false, "stage": "final",
                "error": {
                    "code": "lock_lost", "message": "this lock is not held", "field": "lock",
                },
            })
        );
    }
}
