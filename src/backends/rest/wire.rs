//! What `type = "rest"` adds to a description: JSON over HTTP, by templates (minijinja) and
//! selectors (JSONPath).
//!
//! Templates know: `fields` (by the names that we use), `correlation_key`, `key` (our ticket key),
//! `backend_id` (theirs, for all but a create), `kind` (`incident`, `change`, `problem`),
//! `request_id` (for requests), and for a search `where` (name to value) and `limit`. What a call
//! does not have is undefined. A search by our key has it in both `correlation_key` and `where`,
//! there under the name `correlation_key`.
//!
//! A text that is exactly one expression, `{{ x }}`, gives its value: in `json` with its JSON type;
//! where it is undefined, the key, header or query pair is left out. In any other text of a path,
//! header or query an undefined value is an error, in a body it is empty.
//!
//! What always holds: the types say what can be written; whether it makes sense says `plan`.

use crate::backends::auth::Auth;
use serde::Deserialize;
use std::collections::BTreeMap;
use ticketgate_actors::model::TicketStatus;

/// What is said to a REST system. A call that is not described cannot be made: its requests are
/// refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestDescription {
    /// Who we say we are. Default: nobody.
    pub auth: Auth,
    /// Headers of every call, as templates. Secrets belong into `auth`.
    pub headers: BTreeMap<String, String>,
    /// How a ticket reads in every answer, where the call says nothing else, key by key.
    pub read: ReadDescription,
    /// What an error's body says.
    pub error: ErrorDescription,
    /// How failures read, whatever the call; a call's own come first.
    pub failure: Vec<FailureDescription>,
    /// Makes a ticket.
    pub create: Option<CallDescription>,
    /// Sets fields.
    pub update: Option<CallDescription>,
    /// Closes a ticket.
    pub close: Option<CallDescription>,
    /// Opens it again.
    pub reopen: Option<CallDescription>,
    /// Reads a ticket by its id. 404, unless with an HTML page, means that there is none.
    pub get: Option<CallDescription>,
    /// Finds tickets.
    pub search: Option<CallDescription>,
    /// Their statuses, by TMF621's words: `acknowledged`, `inProgress`, `closed` and so on.
    pub statuses: BTreeMap<String, TicketStatus>,
}

/// The keys of [`RestDescription`].
pub(in crate::backends) const REST_KEYS: &[&str] = &[
    "auth", "headers", "read", "error", "failure", "create", "update", "close", "reopen", "get",
    "search", "statuses",
];

/// One call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallDescription {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// Below `base_url`, from `/` on; a template, whose values are escaped for a path.
    pub path: String,
    /// Names and values, both templates, in this order; a name may be repeated.
    #[serde(default)]
    pub query: Vec<[String; 2]>,
    /// For a search: these pairs once for each entry of `where`, as `name` and `value`.
    #[serde(default)]
    pub query_each_where: Vec<[String; 2]>,
    /// Headers, as templates.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body as a JSON template. A value is written with its quotes: `{"a": {{ fields.a }}}`.
    #[serde(default)]
    pub body: Option<String>,
    /// Or the body as a table whose texts are templates.
    #[serde(default)]
    pub json: Option<toml::Value>,
    /// What success is.
    #[serde(default)]
    pub success: SuccessDescription,
    /// How failures read; the first that fits counts, before success is looked at.
    #[serde(default)]
    pub failure: Vec<FailureDescription>,
    /// How the ticket reads in the answer.
    #[serde(default)]
    pub read: ReadDescription,
}

/// HTTP's methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Sets as a whole.
    Put,
    /// Sets parts.
    Patch,
    /// Removes.
    Delete,
}

/// What success is: status and body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuccessDescription {
    /// One of these. Default: any 2xx.
    pub status: Vec<u16>,
    /// Selectors that must each find something but null. What `read` needs (the id of a create,
    /// the list of a search) is asked for anyway.
    pub json_required: Vec<String>,
    /// The answer need not be JSON. Default false: an HTML page with 200 is not success. For
    /// writes that need nothing from the body.
    pub any_body: bool,
}

/// How a failure reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureDescription {
    /// One of these; default any.
    #[serde(default)]
    pub status: Vec<u16>,
    /// And the body contains this text, by the letter; default any.
    #[serde(default)]
    pub when_body_contains: Option<String>,
    /// What it means.
    pub means: Means,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// Not done, come back later; costs no attempt.
    Busy,
    /// Not done, may work another time; costs an attempt.
    Retryable,
    /// Not done, never will be.
    Refused,
    /// Our credentials were refused.
    Unauthorised,
    /// It may have been done.
    InDoubt,
    /// For `get` and `search`: there is no such ticket.
    Absent,
}

/// Where a ticket's parts are in an answer: selectors (JSONPath). In a search `$` is one item,
/// but for `items`, `more` and `total`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadDescription {
    /// For a search: its tickets, such as `$.tickets[*]`; the list itself must be there.
    pub items: Option<String>,
    /// For a search: true, a number above 0 or a text where there are more.
    pub more: Option<String>,
    /// For a search: the number of all that match.
    pub total: Option<String>,
    /// Their id: text or a whole number.
    pub id: Option<String>,
    /// Where people look at it.
    pub url: Option<String>,
    /// Their status.
    pub status: Option<String>,
    /// Our key.
    pub correlation_key: Option<String>,
    /// Fields, by the names that we use.
    pub fields: BTreeMap<String, String>,
}

/// Where an error's parts are in its body: selectors (JSONPath).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorDescription {
    /// Their code.
    pub code: Option<String>,
    /// Their words; shortened to 500 characters.
    pub description: Option<String>,
}
