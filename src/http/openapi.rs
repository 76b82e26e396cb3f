//! `/openapi.json`: the face for machines, written from the table of its endpoints.

use super::Face;
use super::actions::REASON_MAX;
use super::alarms::PAGE_MAX;
use super::endpoints::{ENDPOINTS, Endpoint, Field, Gives, Kind, Scope, Takes};
use super::sessions::COOKIE;
use actix_web::{HttpResponse, get, web};
use serde_json::{Map, Value, json};

#[get("/openapi.json")]
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(document())
}

#[get("/asyncapi.yaml")]
pub(super) async fn asyncapi(face: web::Data<Face>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/yaml").body(face.asyncapi.to_string())
}

/// The whole description, OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let at = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        at[endpoint.method.to_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ticketgate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A message broker between alarm systems and ticketing systems.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": COOKIE },
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "description": "RFC 9457",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": { "type": "string" },
                        "title": { "type": "string" },
                        "status": { "type": "integer" },
                        "detail": { "type": "string" },
                        "field": { "type": "string" },
                        "index": { "type": "integer", "minimum": 0 },
                    },
                },
                "List": {
                    "type": "object",
                    "required": ["items", "next"],
                    "properties": {
                        "items": { "type": "array", "items": { "type": "object" } },
                        "next": { "type": ["integer", "null"] },
                    },
                },
            },
            "responses": {
                "Problem": {
                    "description": "What is wrong, as a problem detail",
                    "content": {
                        "application/problem+json": {
                            "schema": { "$ref": "#/components/schemas/Problem" },
                        },
                    },
                },
            },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let (status, gives) = endpoint.gives;
    let mut answers = Map::new();
    answers.insert(status.to_string(), answer(gives));
    if endpoint.path == "/api/v1/commands" && endpoint.method == "POST" {
        answers.insert("200".to_owned(), answer(gives));
    }
    for status in problems(endpoint) {
        let problem = match (endpoint.path, endpoint.method, status) {
            // Whoever is not let in is asked again.
            ("/sign-in", "POST", 401 | 429) => answer(Gives::Page),
            _ => json!({ "$ref": "#/components/responses/Problem" }),
        };
        answers.insert(status.to_string(), problem);
    }
    let mut operation = json!({
        "operationId": name(endpoint),
        "summary": endpoint.what,
        "tags": [tag(endpoint.path)],
        "parameters": parameters(endpoint),
        "responses": answers,
    });
    operation["description"] = match endpoint.role {
        Some(role) => format!("Needs the role {}. {}", role.as_str(), scope(endpoint.scope)).into(),
        None => "Open to everybody.".into(),
    };
    operation["security"] = match endpoint.role {
        Some(_) => json!([{ "token": [] }, { "session": [] }]),
        None => json!([]),
    };
    if let Some(body) = body(endpoint.takes) {
        operation["requestBody"] = body;
    }
    operation
}

/// Such as `post_api_v1_lanes_id_pause`.
fn name(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(['/', '{', '}', '.', '-']).filter(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    format!("{}_{}", endpoint.method.to_lowercase(), words.join("_")).trim_end_matches('_').into()
}

fn tag(path: &str) -> &str {
    match path.strip_prefix("/api/v1/") {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => "service",
    }
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
        Kind::Number => json!({ "type": "integer", "minimum": 0 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Object => json!({ "type": "object" }),
        Kind::Objects => json!({ "type": "array", "items": { "type": "object" } }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
    }
}

/// With the bounds that go with a name everywhere.
fn schema_of(field: &Field) -> Value {
    let mut schema = schema(field.kind);
    match field.name {
        "reason" if field.required => {
            schema["minLength"] = 1.into();
            schema["maxLength"] = REASON_MAX.into();
            schema["pattern"] = "\\S".into();
        }
        "limit" => {
            schema["minimum"] = 1.into();
            schema["maximum"] = PAGE_MAX.into();
        }
        _ => {}
    }
    schema
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let in_path = endpoint.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let kind = match name {
            "n" => Kind::Number,
            "key" | "guid" => Kind::Uuid,
            "id" if endpoint.path.contains("/requests/")
                || endpoint.path.contains("/commands/") =>
            {
                Kind::Uuid
            }
            _ => Kind::Text,
        };
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema(kind) }))
    });
    let in_query = endpoint.query.iter().map(|field| {
        json!({
            "name": field.name,
            "in": "query",
            "required": field.required,
            "schema": schema_of(field),
        })
    });
    in_path.chain(in_query).collect()
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<_, _> =
        fields.iter().map(|field| (field.name.to_owned(), schema_of(field))).collect();
    let required: Vec<_> =
        fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn body(takes: Takes) -> Option<Value> {
    let (media, schema) = match takes {
        Takes::Nothing => return None,
        Takes::Fields(fields) => ("application/json", object(fields)),
        Takes::Json => ("application/json", json!({})),
        Takes::Form(fields) => ("application/x-www-form-urlencoded", object(fields)),
        Takes::Csv => ("text/csv", json!({ "type": "string" })),
    };
    let mut content = Map::new();
    content.insert(media.to_owned(), json!({ "schema": schema }));
    Some(json!({ "required": true, "content": content }))
}

fn answer(gives: Gives) -> Value {
    let (media, schema) = match gives {
        Gives::Nothing => return json!({ "description": "Done" }),
        Gives::Json => ("application/json", json!({})),
        Gives::List => ("application/json", json!({ "$ref": "#/components/schemas/List" })),
        Gives::Events => ("text/event-stream", json!({ "type": "string" })),
        Gives::Page => ("text/html", json!({ "type": "string" })),
        Gives::Text => ("text/plain", json!({ "type": "string" })),
        Gives::Csv => ("text/csv", json!({ "type": "string" })),
        Gives::Yaml => ("application/yaml", json!({})),
        Gives::File => ("*/*", json!({ "type": "string" })),
        Gives::Css => ("text/css", json!({ "type": "string" })),
    };
    let mut content = Map::new();
    content.insert(media.to_owned(), json!({ "schema": schema }));
    json!({ "description": "Done", "content": content })
}

/// Which problems it may answer with.
fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Free => "Alike for tokens that are limited to some backends.",
        Scope::One => "A token that is limited to some backends is refused what is of others.",
        Scope::Rows => "A token that is limited to some backends is shown what is of those alone.",
        Scope::Whole => "Not for tokens that are limited to some backends.",
    }
}

fn problems(endpoint: &Endpoint) -> Vec<u16> {
    let mut statuses = vec![503];
    if endpoint.role.is_some() {
        statuses.extend([401, 403]);
    }
    let has_body = endpoint.takes != Takes::Nothing;
    let has_parameters = !parameters(endpoint).is_empty();
    if has_body || has_parameters {
        statuses.push(400);
    }
    if endpoint.path.contains('{') {
        statuses.push(404);
    }
    if has_body {
        statuses.extend([408, 413]);
    }
    if endpoint.method != "GET" {
        statuses.push(409);
    }
    match endpoint.path {
        "/api/v1/commands" => statuses.extend([404, 422, 502, 504]),
        "/api/v1/locks" | "/api/v1/locks/{guid}" => statuses.extend([404, 504]),
        "/api/v1/backends/{id}/authenticate" => statuses.push(502),
        "/sign-in" => statuses.extend([401, 403, 415, 429]),
        "/sign-out" => statuses.push(403),
        _ => {}
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_endpoint_is_described_once_under_a_name_of_its_own() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let operations: Vec<_> = paths.values().flat_map(|it| it.as_object().unwrap()).collect();
        assert_eq!(operations.len(), ENDPOINTS.len());
        let names: BTreeSet<_> =
            operations.iter().map(|(_, it)| it["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.len(), ENDPOINTS.len());
        for (path, methods) in paths {
            for (method, it) in methods.as_object().unwrap() {
                let told: BTreeSet<_> = it["parameters"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                    .collect();
                let parts: BTreeSet<_> = path
                    .split('/')
                    .filter(|part| part.starts_with('{'))
                    .map(str::to_owned)
                    .collect();
                assert_eq!(told, parts, "{method} {path}");
            }
        }
    }
}
