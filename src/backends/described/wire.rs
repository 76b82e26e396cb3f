//! What a description says of the calls: over HTTP, in JSON (`type = "rest"`) or in SOAP envelopes
//! (`type = "soap"`), by templates (minijinja) and selectors (JSONPath; for XML see `xml::path`).
//!
//! Templates know: `fields` (by the names that we use), `correlation_key`, `key` (our ticket key),
//! `backend_id` (theirs, for all but a create; after a create's own call for that too), `kind`
//! (`incident`, `change`, `problem`), `request_id` (for requests), for a search `where` (name to
//! value) and `limit`, for one in pages `page`, `offset`, `cursor` and `page_size`, for what changed
//! those and `since` besides, and `kept` (what steps kept, by step and name). What a call does not have is
//! undefined. A search by our
//! key has it in both `correlation_key` and `where`, there under the name `correlation_key`.
//!
//! `{{ x | map("severity") }}` gives their word for ours, `{{ x | time }}` their way of writing a
//! time, `{{ x | escaped("'\\", "\\") }}` puts a backslash before each of these characters,
//! `{{ element("t:Title", fields.summary) }}` a whole element of XML, or nothing where there is
//! no value, or one for each entry of a list.
//!
//! A text that is exactly one expression, `{{ x }}`, gives its value: in `json` with its JSON type;
//! where it is undefined, the key, header or query pair is left out. In any other text of a path,
//! header, query or XML body an undefined value is an error, in a JSON body it is empty.
//!
//! What always holds: the types say what can be written; whether it makes sense says `plan`.

use super::callback::CallbackDescription;
use super::places::PlaceDescription;
use crate::backends::auth::Auth;
use crate::words;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::time::Duration;
use ticketgate_actors::model::TicketStatus;
use ticketgate_actors::ports::ChangesBy;

/// What is said to a system. A call that is not described cannot be made: its requests are refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireDescription {
    /// For `type = "soap"`: the envelope.
    pub soap: Option<SoapDescription>,
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
    /// Reads one page of what changed.
    pub changes: Option<CallDescription>,
    /// Their statuses, by TMF621's words: `acknowledged`, `inProgress`, `closed` and so on.
    pub statuses: BTreeMap<String, TicketStatus>,
    /// Their words for ours, by the map's name.
    pub maps: BTreeMap<String, MapDescription>,
    /// How they write time.
    pub times: TimesDescription,
    /// Fields that add to what is there, such as a note. They are read as lists, and so never pass for
    /// what was asked; `plan` sees to it that a write names its request, by which a repeat is found.
    pub append: Vec<String>,
    /// How its later answers over HTTP read, where it says them in a body of its own.
    pub callback: Option<CallbackDescription>,
}

/// The keys of [`WireDescription`].
pub(in crate::backends) const WIRE_KEYS: &[&str] = &[
    "soap", "auth", "headers", "read", "error", "failure", "create", "update", "close", "reopen",
    "get", "search", "changes", "statuses", "maps", "times", "append", "callback",
];

/// `[backend.soap]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoapDescription {
    /// `1.1` or `1.2`.
    pub version: SoapVersion,
    /// Namespaces by their prefixes, for bodies and selectors. `soap` is the envelope's own.
    #[serde(default)]
    pub namespaces: BTreeMap<String, String>,
    /// What the envelope's header holds besides the sign-in, as an XML template.
    #[serde(default)]
    pub header: Option<String>,
}

/// The versions of SOAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SoapVersion {
    /// `text/xml`, with the action in a header of its own.
    #[serde(rename = "1.1")]
    V11,
    /// `application/soap+xml`, with the action in the content type.
    #[serde(rename = "1.2")]
    V12,
}

/// One call, or one step of it. Which keys make sense where, says `plan`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallDescription {
    /// GET, POST, PUT, PATCH or DELETE; in SOAP always POST.
    pub method: Option<Method>,
    /// Below `base_url`, from `/` on; a template, whose values are escaped for a path. In SOAP it may be
    /// left out.
    pub path: String,
    /// Names and values, both templates, in this order; a name may be repeated.
    pub query: Vec<[String; 2]>,
    /// For a search: these pairs once for each entry of `where`, as `name` and `value`.
    pub query_each_where: Vec<[String; 2]>,
    /// Headers, as templates.
    pub headers: BTreeMap<String, String>,
    /// For SOAP: the action, as a template.
    pub action: Option<String>,
    /// The body as a template. In JSON a value is written with its quotes: `{"a": {{ fields.a }}}`; in
    /// SOAP it is what stands within the envelope's body.
    pub body: Option<String>,
    /// Or the body as a table whose texts are templates.
    pub json: Option<toml::Value>,
    /// Fields that must be there, each with the values that it may have; an empty list: any.
    pub needs: BTreeMap<String, Vec<String>>,
    /// For a search: the only names that `where` may have. Default any.
    pub finds_by: Vec<String>,
    /// For a search: how the next page is asked for. Default: there is one page.
    pub paging: Option<PagingDescription>,
    /// For what changed: how it is told, `cursor`, `time` or `scan`.
    pub by: Option<ChangesBy>,
    /// For what changed: the most rows of a page.
    pub size: Option<u32>,
    /// What success is.
    pub success: SuccessDescription,
    /// For a write: it is taken now and answered later (`/callbacks`, `ticketgate.answers`).
    pub later: Option<LaterDescription>,
    /// How failures read; the first that fits counts, before success is looked at.
    pub failure: Vec<FailureDescription>,
    /// How the ticket reads in the answer.
    pub read: ReadDescription,
    /// Steps before the call itself, such as reading a version. In order.
    pub before: Vec<CallDescription>,
    /// Steps after it.
    pub after: Vec<CallDescription>,
    /// For a step: its name, under which `kept` has what it kept.
    pub name: Option<String>,
    /// For a step: an expression; the step is left out unless it is true.
    pub when: Option<String>,
    /// For a step: whether it only reads. Default: whether its method is GET.
    pub reads: Option<bool>,
    /// For a step: parts of its answer that later templates need, by name.
    pub keep: BTreeMap<String, PlaceDescription>,
    /// For a step after the call: the ticket is read from this answer.
    pub shows: bool,
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

/// How the next page of a search is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagingDescription {
    /// `page`, `offset`, `cursor` or `link`.
    pub by: PagingBy,
    /// The most tickets of one page.
    pub size: u32,
    /// For `page`: the number of the first. Default 1.
    #[serde(default)]
    pub first: Option<u32>,
    /// For `cursor`: where the next page's is; for `link`: where its address is. Nothing there: that
    /// was the last page.
    #[serde(default)]
    pub next: Option<PlaceDescription>,
    /// So many pages at the most; then there are more. Default 10.
    #[serde(default)]
    pub pages: Option<u32>,
}

/// The ways of paging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PagingBy {
    /// By the number of the page: `page`.
    Page,
    /// By the number of tickets before it: `offset`.
    Offset,
    /// By what the answer said: `cursor`.
    Cursor,
    /// By an address that the answer gave, which must lie below `base_url`.
    Link,
}

/// What success is: status and body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuccessDescription {
    /// One of these. Default: any 2xx.
    pub status: Vec<u16>,
    /// Selectors that must each find something but null. What `read` needs (the id of a create,
    /// the list of a search) is asked for anyway.
    pub required: Vec<String>,
    /// What else must be so in the body.
    pub checks: Vec<CheckDescription>,
    /// The answer need not be JSON. Default false: an HTML page with 200 is not success. For
    /// writes that need nothing from the body.
    pub any_body: bool,
}

/// A write that is taken now and answered later.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaterDescription {
    /// A success with one of these says only that it was taken.
    pub status: Vec<u16>,
    /// Where the name is under which the later answer comes, if it is not our `request_id`.
    #[serde(default)]
    pub reference: Option<PlaceDescription>,
}

/// What must be so in a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckDescription {
    /// Where, as a selector.
    pub select: String,
    /// It is one of these templates' texts.
    #[serde(default)]
    pub is: Vec<String>,
    /// It is none of these.
    #[serde(default)]
    pub is_not: Vec<String>,
}

/// How a failure reads. All that is given must fit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureDescription {
    /// One of these; default any.
    #[serde(default)]
    pub status: Vec<u16>,
    /// The body contains this text, by the letter; default any.
    #[serde(default)]
    pub when_body_contains: Option<String>,
    /// This selector finds something; with `is` or `is_not`, what they say.
    #[serde(default)]
    pub select: Option<String>,
    /// What `select` finds is one of these templates' texts.
    #[serde(default)]
    pub is: Vec<String>,
    /// What `select` finds is none of these.
    #[serde(default)]
    pub is_not: Vec<String>,
    /// What it means.
    pub means: Means,
    /// For `busy` and `retryable`: not before this span, where the answer gives none itself.
    #[serde(default, with = "words::optional_duration")]
    pub after: Option<Duration>,
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
    /// For `get` and `search`: there is no such ticket. Of what changed it says nothing: in doubt.
    Absent,
}

/// Where a ticket's parts are in an answer. In a search a selector begins at one ticket, but for
/// `items`, `more` and `total`; elsewhere at what `ticket` finds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadDescription {
    /// For a search, for what changed, and for a get that answers with a list: the tickets, such as
    /// `$.tickets[*]` or `/t:Answer/t:Ticket`; what they stand in must be there.
    pub items: Option<String>,
    /// For a search and for what changed: true, a number above 0 or a text where there are more.
    pub more: Option<String>,
    /// For a search and for what changed: the number of all that match.
    pub total: Option<String>,
    /// For what changed, by cursor: where the next page begins.
    pub cursor: Option<PlaceDescription>,
    /// Where the ticket stands. Default: the whole answer.
    pub ticket: Option<String>,
    /// Their id: text or a whole number.
    pub id: Option<PlaceDescription>,
    /// Where people look at it.
    pub url: Option<PlaceDescription>,
    /// The same where no answer says it: a template that knows `backend_id` and `kind`. From `/` on it
    /// lies below `base_url`.
    pub link: Option<String>,
    /// Their status.
    pub status: Option<PlaceDescription>,
    /// Our key.
    pub correlation_key: Option<PlaceDescription>,
    /// When it last changed: a time of theirs.
    pub changed_at: Option<PlaceDescription>,
    /// Whether it is gone: a selector that finds something true, or one with the words that say so.
    pub deleted: Option<DeletedDescription>,
    /// Fields, by the names that we use.
    pub fields: BTreeMap<String, PlaceDescription>,
}

/// How a ticket that is gone reads, among others that are there: a selector, or a table with it and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedDescription {
    /// Where, as a selector.
    pub select: String,
    /// What it finds then is one of these. None: something true, a number other than 0, or a text that is
    /// not empty.
    pub is: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for DeletedDescription {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Words {
            select: String,
            is: Vec<String>,
        }
        match toml::Value::deserialize(from)? {
            toml::Value::String(select) => Ok(Self { select, is: None }),
            table @ toml::Value::Table(_) => {
                let words: Result<Words, toml::de::Error> = table.try_into();
                let Words { select, is } = words.map_err(|e| D::Error::custom(e.message()))?;
                Ok(Self { select, is: Some(is) })
            }
            _ => Err(D::Error::custom("this must be a selector in quotes, or a table")),
        }
    }
}

/// Where an error's parts are in its body: selectors. In SOAP, by default, what a fault says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorDescription {
    /// Their code.
    pub code: Option<String>,
    /// Their words; shortened to 500 characters.
    pub description: Option<String>,
}

/// Their words for ours.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapDescription {
    /// Ours to theirs.
    pub to: BTreeMap<String, String>,
    /// Theirs to ours; default the way back of `to`.
    pub from: BTreeMap<String, String>,
    /// Theirs for all others of ours; default: that is an error.
    pub otherwise_to: Option<String>,
    /// Ours for all others of theirs; default theirs.
    pub otherwise_from: Option<String>,
}

/// How they write time.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimesDescription {
    /// As `strftime` has it, such as `%Y-%m-%d %H:%M:%S`. Default RFC 3339.
    pub format: Option<String>,
    /// The zone of times that do not say it themselves, such as `Europe/Brussels`. Default `UTC`.
    pub zone: String,
}

impl Default for TimesDescription {
    fn default() -> Self {
        Self { format: None, zone: "UTC".to_owned() }
    }
}
