//! `ticketgate alarm`: what an alarm system would send, by hand.

use super::pages::{Cursor, Rows};
use super::remote::{Ask, At, map, pair};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};
use std::time::Duration;
use ticketgate_actors::ports::Clock;
use uuid::Uuid;

/// How long a backend may take to show a ticket, its turn in the lane included.
pub const LOOK_WITHIN: Duration = Duration::from_secs(300);

/// What to do with alarms.
#[derive(Debug, Subcommand)]
pub enum AlarmCommand {
    /// Send a raised event
    Raise(New),
    /// Send an updated event: what is not given stays as it is
    Update {
        /// The alarm's source
        source: String,
        /// The alarm's id
        id: String,
        #[command(flatten)]
        details: Details,
    },
    /// Send a cleared event
    Clear {
        /// The alarm's source
        source: String,
        /// The alarm's id
        id: String,
    },
    /// Say that it belongs to a ticket, whoever made that
    Link(Link),
    /// Take it off its ticket: policy decides anew
    Unlink(Decision),
    /// No ticket for this occurrence
    NoTicket(Decision),
    /// List alarms, newest first
    List {
        /// Only of this source
        #[arg(long)]
        source: Option<String>,
        /// Only active or only cleared ones
        #[arg(long, value_parser = ["active", "cleared"])]
        state: Option<String>,
        /// Only those that have no ticket, each with the reason; active ones, unless --state says otherwise
        #[arg(long)]
        without_ticket: bool,
        #[command(flatten)]
        rows: Rows,
    },
}

/// A decision about an alarm.
#[derive(Debug, Args)]
pub struct Decision {
    /// The alarm's source
    source: String,
    /// The alarm's id
    id: String,
    /// Why
    #[arg(long)]
    reason: String,
}

/// Which ticket.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("ticket").required(true).args(["key", "backend_id"]))]
pub struct Link {
    #[command(flatten)]
    about: Decision,
    /// Our key of the ticket
    #[arg(long)]
    key: Option<Uuid>,
    /// Or the backend's id of it
    #[arg(long, requires = "backend")]
    backend_id: Option<String>,
    /// In that backend
    #[arg(long, requires = "backend_id")]
    backend: Option<String>,
    /// incident, change or problem, if nobody here knows the ticket
    #[arg(long)]
    kind: Option<String>,
    /// Also if the backend has no such ticket, or cannot be asked
    #[arg(long)]
    force: bool,
}

impl Link {
    fn body(self) -> (Decision, Value) {
        let mut body = Map::new();
        for (name, value) in [
            ("key", self.key.map(|key| key.to_string())),
            ("backend_id", self.backend_id),
            ("backend", self.backend),
            ("kind", self.kind),
        ] {
            if let Some(value) = value {
                body.insert(name.to_owned(), value.into());
            }
        }
        body.insert("force".to_owned(), self.force.into());
        body.insert("reason".to_owned(), self.about.reason.clone().into());
        (self.about, body.into())
    }
}

/// A new alarm.
#[derive(Debug, Args)]
pub struct New {
    /// The alarm's source
    source: String,
    /// The alarm's id, unique within its source
    id: String,
    /// The managed object
    #[arg(long)]
    object: String,
    /// When it began, RFC 3339; now, if it is not given
    #[arg(long)]
    raised_at: Option<String>,
    #[command(flatten)]
    details: Details,
}

/// What is known of an alarm.
#[derive(Debug, Args)]
pub struct Details {
    /// critical, major, minor, warning or indeterminate
    #[arg(long)]
    severity: Option<String>,
    /// The object's name for people
    #[arg(long)]
    object_name: Option<String>,
    /// X.733 alarm type
    #[arg(long)]
    alarm_type: Option<String>,
    /// X.733 probable cause
    #[arg(long)]
    probable_cause: Option<String>,
    /// X.733 specific problem
    #[arg(long)]
    specific_problem: Option<String>,
    /// Free text
    #[arg(long)]
    text: Option<String>,
    /// The measured value
    #[arg(long)]
    value: Option<String>,
    /// A property, more than once if needed
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    properties: Vec<(String, Value)>,
    /// The backend that its ticket should be in
    #[arg(long)]
    backend: Option<String>,
    /// incident, change or problem
    #[arg(long)]
    kind: Option<String>,
    /// A field of its ticket, more than once if needed
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = pair)]
    fields: Vec<(String, Value)>,
}

impl Details {
    /// Lays what is given over an event.
    fn over(self, event: &mut Map<String, Value>) {
        for (name, value) in [
            ("severity", self.severity),
            ("object_name", self.object_name),
            ("alarm_type", self.alarm_type),
            ("probable_cause", self.probable_cause),
            ("specific_problem", self.specific_problem),
            ("text", self.text),
            ("value", self.value),
        ] {
            if let Some(value) = value {
                event.insert(name.to_owned(), value.into());
            }
        }
        if !self.properties.is_empty() {
            event.insert("properties".to_owned(), map(self.properties));
        }
        let wishes: Map<String, Value> = [
            ("backend", self.backend.map(Value::from)),
            ("kind", self.kind.map(Value::from)),
            ("fields", (!self.fields.is_empty()).then(|| map(self.fields))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
        if !wishes.is_empty() {
            event.insert("ticket".to_owned(), wishes.into());
        }
    }
}

fn now() -> String {
    crate::clock::SystemClock::default().now().wall.to_string()
}

/// Does it.
pub async fn run(at: At, command: AlarmCommand) -> anyhow::Result<bool> {
    let event = match command {
        AlarmCommand::List { source, state, without_ticket, rows } => {
            let ask = Ask::get(["alarms"]).with("source", source);
            if without_ticket {
                let state = state.unwrap_or_else(|| "active".to_owned());
                let ask = ask.with("state", Some(state)).with("ticket", Some("none"));
                return at.pages(ask, Cursor::Before, &rows, WITHOUT_TICKET).await;
            }
            let ask = ask.with("state", state);
            return at.pages(ask, Cursor::Before, &rows, COLUMNS).await;
        }
        AlarmCommand::Link(link) => {
            let (about, body) = link.body();
            return decide(&at, &about, "link", body).await;
        }
        AlarmCommand::Unlink(about) => {
            return decide(&at, &about, "unlink", json!({ "reason": about.reason })).await;
        }
        AlarmCommand::NoTicket(about) => {
            return decide(&at, &about, "no-ticket", json!({ "reason": about.reason })).await;
        }
        AlarmCommand::Raise(New { source, id, object, raised_at, details }) => {
            let raised_at = raised_at.unwrap_or_else(now);
            let mut event = Map::new();
            for (name, value) in [
                ("source", source),
                ("id", id),
                ("state", "raised".to_owned()),
                ("severity", "major".to_owned()),
                ("raised_at", raised_at),
                ("object", object),
            ] {
                event.insert(name.to_owned(), value.into());
            }
            details.over(&mut event);
            event
        }
        AlarmCommand::Update { source, id, details } => {
            let Some(mut event) = known(&at, &source, &id, "updated").await? else {
                return Ok(false);
            };
            details.over(&mut event);
            event
        }
        AlarmCommand::Clear { source, id } => match known(&at, &source, &id, "cleared").await? {
            Some(event) => event,
            None => return Ok(false),
        },
    };
    let answer = at.api(Ask::post(["alarms"], event.into())).await?;
    at.show(&answer, |_| "accepted".to_owned())
}

async fn decide(at: &At, about: &Decision, verb: &str, body: Value) -> anyhow::Result<bool> {
    // The backend may be asked first, in its turn.
    let ask = Ask::post(["alarms", &about.source, &about.id, verb], body).waiting(LOOK_WITHIN);
    let answer = at.api(ask).await?;
    at.show(&answer, |alarm| alarm["reason"].as_str().unwrap_or("done").to_owned())
}

const COLUMNS: &[(&str, &str)] = &[
    ("source", "/source"),
    ("id", "/id"),
    ("state", "/state"),
    ("severity", "/severity"),
    ("object", "/object"),
    ("changed", "/changed_at"),
    ("backend", "/backend"),
    ("ticket", "/ticket"),
    ("reason", "/reason"),
];

/// The reason is what one looks for.
const WITHOUT_TICKET: &[(&str, &str)] = &[
    ("source", "/source"),
    ("id", "/id"),
    ("severity", "/severity"),
    ("object", "/object"),
    ("changed", "/changed_at"),
    ("backend", "/backend"),
    ("looked at again", "/due_at"),
    ("why it has none", "/reason"),
];

/// An event that repeats what the service knows of an alarm; none if it knows no such alarm, which
/// is then told.
async fn known(
    at: &At,
    source: &str,
    id: &str,
    state: &str,
) -> anyhow::Result<Option<Map<String, Value>>> {
    let answer = at.api(Ask::get(["alarms", source, id])).await?;
    if !answer.ok() {
        at.show(&answer, |_| String::new())?;
        return Ok(None);
    }
    let newest = answer.body;
    let mut event = Map::new();
    for name in [
        "source",
        "id",
        "severity",
        "raised_at",
        "object",
        "object_name",
        "alarm_type",
        "probable_cause",
        "specific_problem",
        "text",
        "value",
        "properties",
    ] {
        if !newest[name].is_null() {
            event.insert(name.to_owned(), newest[name].clone());
        }
    }
    event.insert("state".to_owned(), json!(state));
    event.insert("changed_at".to_owned(), json!(now()));
    Ok(Some(event))
}
