//! Every endpoint of the face, in one table: who may use it, what it takes, what it answers.
//!
//! What always holds: the guard lets nobody through to a path that does not stand here; the OpenAPI
//! description is written from here. Tests hold the table against the handlers that are registered.

use super::access::Role;
use Role::{Admin, Operator, Submitter, Viewer};
use Scope::{Free, One, Rows, Whole};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A UUID.
    Uuid,
    /// A whole number from 0.
    Number,
    /// A truth value.
    Flag,
    /// A JSON object.
    Object,
    /// A JSON array of objects.
    Objects,
    /// A JSON array of texts.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A named value: a part of a path, of a query, or of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// Must it be there?
    pub required: bool,
}

const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// A JSON object with these fields and no others.
    Fields(&'static [Field]),
    /// JSON, as the wire contract says.
    Json,
    /// A form with these fields.
    Form(&'static [Field]),
    /// A CSV file.
    Csv,
}

/// What the answer of a success is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// No body.
    Nothing,
    /// A JSON object.
    Json,
    /// A page of a list.
    List,
    /// Server-sent events.
    Events,
    /// A page for people.
    Page,
    /// Plain text.
    Text,
    /// A CSV file.
    Csv,
    /// YAML.
    Yaml,
    /// A style sheet.
    Css,
    /// A file of any kind.
    File,
}

/// What somebody gets of an endpoint whose token is limited to some backends (docs/access.md). Each endpoint
/// must say it, and a test tries each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing of any backend is in it.
    Free,
    /// It is about one thing: what is of another backend is refused by its handler.
    One,
    /// A list, or figures: its handler leaves out what is of other backends.
    Rows,
    /// It concerns every backend, or nobody can say which: refused by the guard.
    Whole,
}

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// GET, POST, PUT or DELETE.
    pub method: &'static str,
    /// As it is registered.
    pub path: &'static str,
    /// The least role; none: whoever comes.
    pub role: Option<Role>,
    /// What is left of it for a token of some backends.
    pub scope: Scope,
    /// What it does.
    pub what: &'static str,
    /// What its query may say.
    pub query: &'static [Field],
    /// What it takes.
    pub takes: Takes,
    /// The status of a success, and what comes with it.
    pub gives: (u16, Gives),
}

impl Endpoint {
    const fn get(
        path: &'static str,
        role: Role,
        scope: Scope,
        what: &'static str,
        gives: Gives,
    ) -> Self {
        let (role, query, takes, gives) = (Some(role), &[], Takes::Nothing, (200, gives));
        Self { method: "GET", path, role, scope, what, query, takes, gives }
    }

    const fn post(
        path: &'static str,
        role: Role,
        scope: Scope,
        what: &'static str,
        takes: Takes,
    ) -> Self {
        let (role, query, gives) = (Some(role), &[], (200, Gives::Json));
        Self { method: "POST", path, role, scope, what, query, takes, gives }
    }

    const fn open(self) -> Self {
        Self { role: None, ..self }
    }

    const fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    const fn query(self, query: &'static [Field]) -> Self {
        Self { query, ..self }
    }

    const fn gives(self, status: u16, gives: Gives) -> Self {
        Self { gives: (status, gives), ..self }
    }
}

const ORDER: Kind = Kind::Word(&["newest", "oldest"]);
const KINDS: Kind = Kind::Word(&["incident", "change", "problem"]);
const REASON: &[Field] = &[must("reason", Kind::Text)];
const BACKEND: &[Field] = &[may("backend", Kind::Text)];
const TICKET_BODY: &[Field] = &[must("ticket", Kind::Uuid), must("reason", Kind::Text)];
const STATES: Kind = Kind::Word(&[
    "accepted",
    "intent",
    "acknowledged",
    "wait",
    "in_doubt",
    "undecided",
    "done",
    "adopted",
    "rejected",
    "failed",
    "cancelled",
    "superseded",
]);

/// The filters of a list, and the four that place its page.
macro_rules! paged {
    ($($field:expr),* $(,)?) => {
        &[
            $($field,)*
            may("before", Kind::Number),
            may("after", Kind::Number),
            may("order", ORDER),
            may("limit", Kind::Number),
        ]
    };
}

/// All of them.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint::get("/", Viewer, Free, "The operators' dashboard", Gives::Page),
    Endpoint::get("/new-ticket", Viewer, Free, "The form for a ticket by hand", Gives::Page).query(
        &[
            may("source", Kind::Text),
            may("id", Kind::Text),
            may("object", Kind::Text),
            may("object_name", Kind::Text),
            may("value", Kind::Text),
            may("root_time", Kind::Text),
        ],
    ),
    // What every installation carries alike, and the sign-in's page needs.
    Endpoint::get("/dashboard/{file}", Viewer, Free, "A file of the dashboard", Gives::File).open(),
    Endpoint::get("/dashboard/pages/{page}", Viewer, Free, "One of its pages", Gives::File).open(),
    Endpoint::get("/healthz", Viewer, Free, "Is the process alive?", Gives::Json).open(),
    Endpoint::get("/readyz", Viewer, Free, "Is the service ready?", Gives::Json).open(),
    Endpoint::get("/metrics", Viewer, Whole, "Figures for Prometheus", Gives::Text),
    Endpoint::get("/openapi.json", Viewer, Free, "This description", Gives::Json),
    Endpoint::get("/asyncapi.yaml", Viewer, Free, "The wire's description", Gives::Yaml),
    Endpoint::get("/sign-in", Viewer, Free, "The page to sign in", Gives::Page)
        .open()
        .query(&[may("to", Kind::Text)]),
    Endpoint::get("/sign-in.css", Viewer, Free, "Its style", Gives::Css).open(),
    Endpoint::post(
        "/sign-in",
        Viewer,
        Free,
        "Sign in with a token; sets the session's cookie",
        Takes::Form(&[must("token", Kind::Text), may("to", Kind::Text)]),
    )
    .open()
    .gives(303, Gives::Nothing),
    Endpoint::post("/sign-out", Viewer, Free, "End the session", Takes::Nothing)
        .open()
        .gives(303, Gives::Nothing),
    Endpoint::post(
        "/callbacks/{backend}",
        Submitter,
        One,
        "A backend's later answer; with the backend's own secret, where it has one",
        Takes::Json,
    ),
    Endpoint::post(
        "/webhooks/{name}",
        Submitter,
        One,
        "What a foreign alarm system says, or a backend's notice that something has changed there; with its \
         own secret, where it has one",
        Takes::Json,
    )
    .gives(202, Gives::Json),
    Endpoint::get("/api/v1/overview", Viewer, Rows, "How things are, at one glance", Gives::Json),
    Endpoint::get("/api/v1/series", Viewer, Rows, "The last hours as figures", Gives::Json)
        .query(&[may("points", Kind::Number)]),
    Endpoint::get(
        "/api/v1/me",
        Viewer,
        Free,
        "Who is signed in, and what they may do",
        Gives::Json,
    ),
    Endpoint::post("/api/v1/alarms", Submitter, One, "Alarm events, all or none", Takes::Json)
        .gives(202, Gives::Json),
    Endpoint::get("/api/v1/alarms", Viewer, Rows, "Alarms", Gives::List)
        .query(paged![
            may("source", Kind::Text),
            may("state", Kind::Word(&["active", "cleared"])),
            may("ticket", Kind::Word(&["none"])),
        ]),
    Endpoint::get("/api/v1/alarms/{source}/{id}", Viewer, One, "One alarm", Gives::Json),
    Endpoint::get(
        "/api/v1/alarms/{source}/{id}/explain",
        Viewer,
        One,
        "Why it has a ticket, or none",
        Gives::Json,
    ),
    Endpoint::post(
        "/api/v1/alarms/{source}/{id}/link",
        Operator,
        One,
        "Link it to a ticket",
        Takes::Fields(&[
            may("key", Kind::Uuid),
            may("backend", Kind::Text),
            may("backend_id", Kind::Text),
            may("kind", KINDS),
            may("force", Kind::Flag),
            must("reason", Kind::Text),
        ]),
    ),
    Endpoint::post(
        "/api/v1/alarms/{source}/{id}/unlink",
        Operator,
        One,
        "Take it off its ticket",
        Takes::Fields(REASON),
    ),
    Endpoint::post(
        "/api/v1/alarms/{source}/{id}/no-ticket",
        Operator,
        One,
        "No ticket for this occurrence",
        Takes::Fields(REASON),
    ),
    Endpoint::get(
        "/api/v1/snapshots",
        Viewer,
        Whole,
        "The newest snapshot of each source",
        Gives::List,
    ),
    Endpoint::get("/api/v1/tickets", Viewer, Rows, "Tickets", Gives::List)
        .query(paged![
            may("backend", Kind::Text),
            may("backend_id", Kind::Text),
            may("status", Kind::Text),
        ]),
    Endpoint::post(
        "/api/v1/tickets/import",
        Operator,
        One,
        "Bring along open tickets of an old system",
        Takes::Fields(&[
            must("rows", Kind::Objects),
            may("dry_run", Kind::Flag),
            must("reason", Kind::Text),
        ]),
    ),
    Endpoint::get("/api/v1/tickets/{key}", Viewer, One, "One ticket", Gives::Json),
    Endpoint::get("/api/v1/requests", Viewer, Rows, "Requests", Gives::List).query(paged![
        may("backend", Kind::Text),
        may("state", STATES),
        may("ticket", Kind::Uuid),
        may("open", Kind::Flag),
    ]),
    Endpoint::get("/api/v1/requests/{id}", Viewer, One, "One request", Gives::Json),
    Endpoint::post(
        "/api/v1/requests/{id}/settle",
        Operator,
        One,
        "Say what became of an undecided one",
        Takes::Fields(&[
            must("says", Kind::Word(&["found", "done", "absent", "drop"])),
            may("backend_id", Kind::Text),
            may("force", Kind::Flag),
            must("reason", Kind::Text),
        ]),
    ),
    Endpoint::post(
        "/api/v1/requests/{id}/retry",
        Operator,
        One,
        "Have a failed one done again, by a fresh request of its ticket",
        Takes::Fields(REASON),
    ),
    Endpoint::post(
        "/api/v1/requests/{id}/cancel",
        Operator,
        One,
        "Cancel one that waits to be sent",
        Takes::Fields(REASON),
    ),
    Endpoint::get("/api/v1/lanes", Viewer, Rows, "The lanes to the backends", Gives::List),
    Endpoint::get("/api/v1/lanes/{id}/held", Viewer, One, "Tickets that are held", Gives::List),
    Endpoint::post(
        "/api/v1/lanes/{id}/pause",
        Operator,
        One,
        "Make no more calls",
        Takes::Fields(REASON),
    ),
    Endpoint::post("/api/v1/lanes/{id}/resume", Operator, One, "Go on", Takes::Fields(REASON)),
    Endpoint::post(
        "/api/v1/lanes/{id}/hold",
        Operator,
        One,
        "Make no more calls for one ticket",
        Takes::Fields(TICKET_BODY),
    ),
    Endpoint::post(
        "/api/v1/lanes/{id}/release",
        Operator,
        One,
        "Let a held ticket go on",
        Takes::Fields(TICKET_BODY),
    ),
    Endpoint::get("/api/v1/backends", Viewer, Rows, "The backends", Gives::List),
    Endpoint::get(
        "/api/v1/backends/{id}/form",
        Viewer,
        One,
        "What a new ticket needs there",
        Gives::Json,
    ),
    Endpoint::post(
        "/api/v1/backends/{id}/check",
        Operator,
        One,
        "Ask it, in its lane's turn, for something that is not there",
        Takes::Nothing,
    ),
    Endpoint::post(
        "/api/v1/backends/{id}/authenticate",
        Operator,
        One,
        "Drop the token at hand and request a new one",
        Takes::Fields(REASON),
    ),
    Endpoint::get("/api/v1/clients", Viewer, Rows, "The ticket clients", Gives::List),
    Endpoint::get("/api/v1/clients/{n}", Viewer, Rows, "One ticket client", Gives::Json),
    Endpoint::get("/api/v1/clients/{n}/responses", Viewer, Rows, "Its last reads", Gives::List),
    Endpoint::get(
        "/api/v1/clients/{n}/results",
        Viewer,
        Rows,
        "What its last read found",
        Gives::List,
    ),
    Endpoint::get("/api/v1/clients/{n}/path", Viewer, Whole, "Its last network path", Gives::Json),
    Endpoint::post(
        "/api/v1/clients/{n}/unlock",
        Operator,
        Whole,
        "Take its lock away",
        Takes::Fields(REASON),
    ),
    Endpoint::post(
        "/api/v1/clients/{n}/not-busy",
        Operator,
        Whole,
        "Void what it does now",
        Takes::Fields(REASON),
    ),
    Endpoint::post("/api/v1/commands", Submitter, One, "A command", Takes::Json)
        .query(&[may("wait", Kind::Text)])
        .gives(202, Gives::Json),
    Endpoint::get("/api/v1/commands/{id}", Viewer, One, "How far a write command is", Gives::Json),
    Endpoint::get("/api/v1/locks", Viewer, Rows, "Locks that are held", Gives::List),
    Endpoint::post(
        "/api/v1/locks",
        Submitter,
        Free,
        "Take a ticket client",
        Takes::Fields(&[
            must("guid", Kind::Uuid),
            may("timeout_ms", Kind::Number),
            may("wait_ms", Kind::Number),
            may("holder", Kind::Text),
        ]),
    ),
    Endpoint::post(
        "/api/v1/locks/{guid}",
        Submitter,
        Free,
        "Hold it for longer",
        Takes::Fields(&[may("timeout_ms", Kind::Number)]),
    )
    .method("PUT"),
    Endpoint::post("/api/v1/locks/{guid}", Submitter, Free, "Give it back", Takes::Nothing)
        .method("DELETE")
        .gives(204, Gives::Nothing),
    Endpoint::get(
        "/api/v1/communication",
        Viewer,
        Rows,
        "The newest calls to the backends",
        Gives::List,
    )
    .query(&[may("backend", Kind::Text), may("limit", Kind::Number)]),
    Endpoint::get("/api/v1/services", Viewer, Rows, "Ticketing services", Gives::List)
        .query(BACKEND),
    Endpoint::get("/api/v1/services/export", Viewer, One, "A table of services", Gives::Csv)
        .query(&[must("backend", Kind::Text)]),
    Endpoint::post(
        "/api/v1/services/import",
        Admin,
        One,
        "Replace a table of services",
        Takes::Csv,
    )
    .query(&[must("backend", Kind::Text), must("reason", Kind::Text)]),
    Endpoint::post(
        "/api/v1/services/{backend}/select",
        Operator,
        One,
        "Select a service",
        Takes::Fields(&[must("name", Kind::Text), must("reason", Kind::Text)]),
    ),
    Endpoint::get("/api/v1/sync", Viewer, Rows, "With whom tickets are kept in step", Gives::List),
    Endpoint::get("/api/v1/sync/{name}", Viewer, One, "One sync", Gives::Json),
    Endpoint::get("/api/v1/sync/{name}/held", Viewer, One, "Told, and not merged", Gives::List)
        .query(&[may("after", Kind::Text), may("limit", Kind::Number)]),
    Endpoint::post("/api/v1/sync/{name}/run", Operator, One, "Run it now", Takes::Fields(REASON)),
    Endpoint::post(
        "/api/v1/sync/{name}/dry-run",
        Operator,
        One,
        "What the next page would do",
        Takes::Fields(&[may("cursor", Kind::Text)]),
    ),
    Endpoint::post(
        "/api/v1/sync/{name}/replay",
        Operator,
        One,
        "Take a file as if the source had sent it",
        Takes::Json,
    )
    .query(&[must("reason", Kind::Text)]),
    Endpoint::post(
        "/api/v1/sync/{name}/skip",
        Operator,
        One,
        "Leave tickets alone",
        Takes::Fields(&[must("ids", Kind::Texts), must("reason", Kind::Text)]),
    ),
    Endpoint::post(
        "/api/v1/sync/{name}/unskip",
        Operator,
        One,
        "Take tickets off the skip list",
        Takes::Fields(&[must("ids", Kind::Texts), must("reason", Kind::Text)]),
    ),
    Endpoint::post(
        "/api/v1/sync/{name}/cursor",
        Admin,
        One,
        "Move the cursor",
        Takes::Fields(&[
            may("cursor", Kind::Text),
            may("watermark", Kind::Text),
            must("reason", Kind::Text),
        ]),
    ),
    Endpoint::post(
        "/api/v1/sync/{name}/messages",
        Submitter,
        One,
        "A connector's message",
        Takes::Json,
    ),
    Endpoint::get("/api/v1/tickets/{key}/changes", Viewer, One, "A ticket's history", Gives::Json),
    Endpoint::get("/api/v1/routes", Viewer, Rows, "Where final answers go", Gives::List),
    Endpoint::post(
        "/api/v1/routes",
        Admin,
        One,
        "Set a route that is not there",
        Takes::Fields(&[
            must("backend", Kind::Text),
            may("exchange", Kind::Text),
            must("key", Kind::Text),
            must("reason", Kind::Text),
        ]),
    )
    .gives(201, Gives::Json),
    Endpoint::post(
        "/api/v1/routes/{backend}",
        Admin,
        One,
        "Set a route",
        Takes::Fields(&[
            may("exchange", Kind::Text),
            must("key", Kind::Text),
            must("reason", Kind::Text),
        ]),
    )
    .method("PUT"),
    Endpoint::post("/api/v1/routes/{backend}", Admin, One, "Remove a route", Takes::Nothing)
        .method("DELETE")
        .query(REASON)
        .gives(204, Gives::Nothing),
    Endpoint::get("/api/v1/heartbeats", Viewer, Rows, "Who beats, who is late", Gives::List),
    Endpoint::get("/api/v1/events", Viewer, Rows, "Ticket events as they come", Gives::Events)
        .query(&[
            may("backend", Kind::Text),
            may("kind", Kind::Text),
            may("event", Kind::Text),
            may("source", Kind::Text),
            may("last_event_id", Kind::Text),
        ]),
    Endpoint::get("/api/v1/parked", Viewer, Whole, "Messages that could not be read", Gives::List)
        .query(paged![may("inlet", Kind::Text)]),
    Endpoint::get("/api/v1/parked/{n}", Viewer, Whole, "One of them, with its body", Gives::Json),
    Endpoint::post(
        "/api/v1/parked/{n}/mend",
        Operator,
        Whole,
        "Replace its body",
        Takes::Fields(&[
            must("body", Kind::Text),
            may("content_type", Kind::Text),
            may("force", Kind::Flag),
            must("reason", Kind::Text),
        ]),
    ),
    Endpoint::post(
        "/api/v1/parked/{n}/replay",
        Operator,
        Whole,
        "Take it as if it had just come",
        Takes::Fields(REASON),
    ),
    Endpoint::post(
        "/api/v1/parked/{n}/discard",
        Operator,
        Whole,
        "Let it go",
        Takes::Fields(REASON),
    ),
    Endpoint::get("/api/v1/history", Viewer, Rows, "What has ended", Gives::List)
        .query(paged![may("list", Kind::Word(&["status", "tickets", "failed"]))]),
    Endpoint::post(
        "/api/v1/history/offload",
        Operator,
        Whole,
        "Put it into its files now",
        Takes::Fields(REASON),
    ),
    Endpoint::get("/api/v1/audit", Viewer, Rows, "Who did what, when and why", Gives::List)
        .query(paged![may("who", Kind::Text)]),
    Endpoint::get(
        "/api/v1/config",
        Admin,
        Whole,
        "The config in force, without secrets",
        Gives::Json,
    ),
    Endpoint::post(
        "/api/v1/config/reload",
        Admin,
        Whole,
        "Apply the changed config file, whole or not at all",
        Takes::Fields(&[may("dry_run", Kind::Flag), may("reason", Kind::Text)]),
    ),
    Endpoint::post(
        "/api/v1/config/log-level",
        Admin,
        Whole,
        "Set the log level",
        Takes::Fields(&[must("level", Kind::Text)]),
    ),
];

/// The endpoint that is registered so.
pub(super) fn endpoint(method: &str, pattern: &str) -> Option<&'static Endpoint> {
    // What may be got may be asked for by its head alone.
    let method = if method == "HEAD" { "GET" } else { method };
    ENDPOINTS.iter().find(|it| it.path == pattern && it.method == method)
}

/// The methods of what is registered so, as `Allow` has them.
pub(super) fn methods(pattern: &str) -> String {
    let of = ENDPOINTS.iter().filter(|it| it.path == pattern).map(|it| it.method);
    of.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every `#[get("/…")]` in the handlers' files, as this crate's own source has them.
    fn written() -> BTreeSet<(String, String)> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
        let mut found = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|it| it != "rs") {
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                for method in ["get", "post", "put", "delete", "head", "patch", "options"] {
                    let begins = format!("#[{method}(\"");
                    let Some(rest) = line.trim().strip_prefix(&begins) else { continue };
                    let path = rest.split('"').next().unwrap().to_owned();
                    found.insert((method.to_uppercase(), path));
                }
            }
        }
        found
    }

    #[test]
    fn every_handler_stands_in_the_table_and_nothing_else_does() {
        let bare = |path: &str| path.strip_prefix("/api/v1").unwrap_or(path).to_owned();
        let named: BTreeSet<_> =
            ENDPOINTS.iter().map(|it| (it.method.to_owned(), bare(it.path))).collect();
        assert_eq!(named.len(), ENDPOINTS.len(), "one stands there twice");
        assert_eq!(named, written());
    }

    #[test]
    fn what_changes_something_is_for_more_than_viewers() {
        for it in ENDPOINTS.iter().filter(|it| it.method != "GET") {
            let open = ["/sign-in", "/sign-out"].contains(&it.path);
            assert!(open || it.role > Some(Viewer), "{} {}", it.method, it.path);
        }
    }

    #[test]
    fn what_is_forced_asks_for_a_reason() {
        let forced = ENDPOINTS.iter().filter(|it| it.role >= Some(Operator) && it.method != "GET");
        for it in forced {
            let without = [
                "/api/v1/backends/{id}/check",
                "/api/v1/config/log-level",
                // It writes nothing.
                "/api/v1/sync/{name}/dry-run",
            ];
            let named = |fields: &[Field]| fields.iter().any(|field| field.name == "reason");
            let in_body = matches!(it.takes, Takes::Fields(fields) if named(fields));
            let has = in_body || named(it.query) || without.contains(&it.path);
            assert!(has, "{} {}", it.method, it.path);
        }
    }
}
