//! The element's face for people and tests: JSON over HTTP, as that of the other simulated systems.
//!
//! What it leaves to others: what an edit means (`table`), what is done with it (`element`).

use super::element::Machine;
use super::faults::ElementFaults;
use super::table::Edit;
use super::{Desk, now_ms};
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Map, Value, json};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/{backend}/tickets", web::get().to(list))
        .route("/{backend}/tickets", web::post().to(make))
        .route("/{backend}/tickets/{id:[^/]+/[^/]+}", web::get().to(one))
        .route("/{backend}/tickets/{id:[^/]+/[^/]+}", web::patch().to(change))
        .route("/{backend}/tickets/{id:[^/]+/[^/]+}", web::delete().to(remove))
        .route("/{backend}/ledger", web::get().to(ledger))
        .route("/{backend}/faults", web::get().to(faults))
        .route("/{backend}/faults", web::put().to(put_faults))
        .route("/{backend}/faults", web::patch().to(patch_faults))
        .route("/{backend}/restart", web::post().to(restart))
        .route("/{backend}/poll", web::post().to(poll))
        .default_service(web::to(|| async {
            gone("nothing is served under this path and method")
        }));
}

/// Does something with the element, if it is the one that is named.
fn with(
    desk: &Desk,
    backend: &str,
    act: impl FnOnce(&mut Machine, u64) -> HttpResponse,
) -> HttpResponse {
    let mut machine = desk.machine();
    if machine.backend() != backend {
        return gone(&format!("this element is the backend {}", machine.backend()));
    }
    act(&mut machine, now_ms(desk))
}

async fn list(desk: web::Data<Desk>, backend: web::Path<String>) -> HttpResponse {
    with(&desk, &backend, |machine, _| {
        let rows: Vec<_> = machine.table().rows().map(super::table::Row::shown).collect();
        HttpResponse::Ok().json(json!({ "tickets": rows }))
    })
}

async fn make(desk: web::Data<Desk>, backend: web::Path<String>, body: Bytes) -> HttpResponse {
    let edit = match serde_json::from_slice::<Edit>(&body) {
        Ok(edit) => edit,
        Err(error) => return refuse(HttpResponse::BadRequest(), &error.to_string()),
    };
    with(&desk, &backend, |machine, now_ms| {
        HttpResponse::Created().json(machine.make(edit, now_ms).shown())
    })
}

async fn one(desk: web::Data<Desk>, path: web::Path<(String, String)>) -> HttpResponse {
    let (backend, id) = path.into_inner();
    with(&desk, &backend, |machine, _| match machine.table().row(&id) {
        Some(row) => HttpResponse::Ok().json(row.shown()),
        None => gone(&format!("there is no ticket {id}")),
    })
}

async fn change(
    desk: web::Data<Desk>,
    path: web::Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let (backend, id) = path.into_inner();
    let edit = match serde_json::from_slice::<Edit>(&body) {
        Ok(edit) => edit,
        Err(error) => return refuse(HttpResponse::BadRequest(), &error.to_string()),
    };
    with(&desk, &backend, |machine, now_ms| match machine.edit(&id, edit, now_ms) {
        Some(row) => HttpResponse::Ok().json(row.shown()),
        None => gone(&format!("there is no ticket {id}")),
    })
}

async fn remove(desk: web::Data<Desk>, path: web::Path<(String, String)>) -> HttpResponse {
    let (backend, id) = path.into_inner();
    with(&desk, &backend, |machine, now_ms| match machine.remove(&id, now_ms) {
        true => HttpResponse::NoContent().finish(),
        false => gone(&format!("there is no ticket {id}")),
    })
}

async fn ledger(desk: web::Data<Desk>, backend: web::Path<String>) -> HttpResponse {
    with(&desk, &backend, |machine, _| HttpResponse::Ok().json(machine.report()))
}

async fn faults(desk: web::Data<Desk>, backend: web::Path<String>) -> HttpResponse {
    with(&desk, &backend, |machine, _| HttpResponse::Ok().json(machine.faults()))
}

/// Turns off whatever it does not name.
async fn put_faults(
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    with(&desk, &backend, |machine, _| set_faults(machine, &ElementFaults::default(), &body))
}

/// Leaves as it is whatever it does not name.
async fn patch_faults(
    desk: web::Data<Desk>,
    backend: web::Path<String>,
    body: Bytes,
) -> HttpResponse {
    with(&desk, &backend, |machine, _| {
        let before = machine.faults().clone();
        set_faults(machine, &before, &body)
    })
}

fn set_faults(machine: &mut Machine, before: &ElementFaults, body: &[u8]) -> HttpResponse {
    let merged = || -> Result<ElementFaults, String> {
        let changes: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut merged = serde_json::to_value(before).map_err(|error| error.to_string())?;
        for (name, value) in changes {
            merged[name] = value;
        }
        let faults: ElementFaults =
            serde_json::from_value(merged).map_err(|error| error.to_string())?;
        faults.check().map(|()| faults)
    };
    match merged() {
        Ok(faults) => {
            machine.set_faults(faults);
            HttpResponse::Ok().json(machine.faults())
        }
        Err(problem) => refuse(HttpResponse::UnprocessableEntity(), &problem),
    }
}

async fn restart(desk: web::Data<Desk>, backend: web::Path<String>) -> HttpResponse {
    with(&desk, &backend, |machine, _| {
        machine.restart();
        HttpResponse::Ok().json(machine.report())
    })
}

async fn poll(desk: web::Data<Desk>, backend: web::Path<String>) -> HttpResponse {
    with(&desk, &backend, |machine, _| {
        machine.poll_now();
        HttpResponse::Accepted().json(machine.report())
    })
}

fn gone(message: &str) -> HttpResponse {
    refuse(HttpResponse::build(StatusCode::NOT_FOUND), message)
}

fn refuse(mut response: HttpResponseBuilder, message: &str) -> HttpResponse {
    response.json(json!({ "error": { "message": message } }))
}
