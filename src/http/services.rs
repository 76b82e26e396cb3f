//! The ticketing services of a backend: list, import and export as a file, select one.

use super::Face;
use super::access::Caller;
use super::actions::reason;
use super::problem::Problem;
use super::shapes;
use crate::services;
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use serde_json::json;
use ticketgate_actors::changes::{Applied, Change, ImportServices, Refusal, SelectService};
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::StoreError;

/// A backend by the name in a query.
pub(super) fn known(face: &Face, name: &str) -> Result<BackendId, Problem> {
    let known = face.known_backends.iter().find(|known| known.as_str() == name);
    known.cloned().ok_or_else(|| {
        let names: Vec<_> = face.known_backends.iter().map(BackendId::as_str).collect();
        Problem::field("backend", format!("{name:?} is not one of: {}", names.join(", ")))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    backend: Option<String>,
}

#[get("/services")]
pub(super) async fn list(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let mut backends = match &query.backend {
        Some(name) => vec![known(&face, name)?],
        None => face.known_backends.to_vec(),
    };
    backends.retain(|backend| caller.sees(backend));
    backends.sort();
    let mut items = Vec::new();
    for backend in backends {
        let table = face.cast.outside.reads.services(backend.clone()).await?;
        if let Some(table) = table {
            let service = |service| shapes::service(&backend, service, &table.selected);
            items.extend(table.services.iter().map(service));
        }
    }
    Ok(HttpResponse::Ok().json(shapes::list(items, None)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    backend: String,
}

#[get("/services/export")]
pub(super) async fn export(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<ExportQuery>,
) -> Result<HttpResponse, Problem> {
    let backend = known(&face, &query.backend)?;
    caller.must_see(&backend)?;
    let table = face.cast.outside.reads.services(backend).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header(("Content-Disposition", "attachment; filename=\"services.csv\""))
        .body(services::written(table.as_ref())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportQuery {
    backend: String,
    #[serde(default)]
    reason: String,
}

#[post("/services/import")]
pub(super) async fn import(
    face: web::Data<Face>,
    caller: Caller,
    query: web::Query<ImportQuery>,
    file: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let why = reason(&query.reason)?;
    let backend = known(&face, &query.backend)?;
    caller.must_see(&backend)?;
    let outside = &face.cast.outside;
    let seat = outside.backends.get(&backend);
    let check = |service: &_| seat.as_ref().map_or(Ok(()), |seat| seat.port.check_service(service));
    let table = services::read(&file, check).map_err(|fault| {
        let place = match fault.line {
            0 => "the file".to_owned(),
            line => format!("line {line}"),
        };
        match fault.field {
            "" => Problem::field(&place, fault.what),
            field => Problem::field(&format!("{place}, {field}"), fault.what),
        }
    })?;
    let told = json!({
        "backend": backend,
        "services": table.as_ref().map_or(0, |table| table.services.len()),
        "selected": table.as_ref().map(|table| table.selected.clone()),
    });
    let who = caller.who();
    let change = ImportServices { backend, table, who, why };
    let applied = outside.store.apply(Change::ImportServices(Box::new(change)).into()).await?;
    if let Some(Applied::ServiceInUse { service, requests }) = applied.first() {
        let detail = format!(
            "{requests} requests that have not ended were accepted for the service {service:?}: it \
             must stay in the table until they have"
        );
        return Err(Problem::conflict(detail));
    }
    Ok(HttpResponse::Ok().json(told))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectBody {
    name: String,
    reason: String,
}

#[post("/services/{backend}/select")]
pub(super) async fn select(
    face: web::Data<Face>,
    caller: Caller,
    path: web::Path<String>,
    body: web::Json<SelectBody>,
) -> Result<HttpResponse, Problem> {
    let why = reason(&body.reason)?;
    let backend = known(&face, &path).map_err(|_| Problem::not_found("no such backend"))?;
    caller.must_see(&backend)?;
    let (name, who) = (body.name.clone(), caller.who());
    let change = SelectService { backend: backend.clone(), name, who, why };
    let outside = &face.cast.outside;
    match outside.store.apply(Change::SelectService(Box::new(change)).into()).await {
        Ok(_) => Ok(HttpResponse::Ok().json(json!({"backend": backend, "selected": body.name}))),
        Err(StoreError::Refused(Refusal::NotFound)) => {
            let table = outside.reads.services(backend).await?;
            let names = table.iter().flat_map(|table| &table.services);
            let names: Vec<_> = names.map(|service| service.name.as_str()).collect();
            let detail =
                format!("no service is called {:?}; there are: {}", body.name, names.join(", "));
            Err(Problem::field("name", detail))
        }
        Err(error) => Err(error.into()),
    }
}
