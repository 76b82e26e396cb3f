//! Tickets out of answers.
//!
//! What always holds: what is not there is not made up. A list of a search that is not there is no
//! empty list, and a hit without an id spoils the answer: a failed look never reads as "absent"
//! (rule G9).
//!
//! What it leaves to others: whether the answer is one to be read (`judge`).

use super::compiler::Compiler;
use super::places::{Place, PlaceDescription};
use super::plan::{Operation, Plan};
use super::selectors::{Document, Item, Selector};
use super::templates::{Style, Template};
use super::variables::Variables;
use super::wire::{DeletedDescription, ReadDescription};
use reqwest::header::HeaderMap;
use serde_json::Value;
use ticketgate_actors::model::{Found, Timestamp};

/// Where a ticket's parts are, compiled.
#[derive(Debug)]
pub(super) struct ReadPlan {
    items: Option<Selector>,
    /// Finds what `items` takes its hits from.
    list: Option<Selector>,
    more: Option<Selector>,
    total: Option<Selector>,
    ticket: Option<Selector>,
    pub id: Option<Place>,
    url: Option<Place>,
    link: Option<Template>,
    status: Option<Place>,
    correlation_key: Option<Place>,
    changed_at: Option<Place>,
    deleted: Option<Deleted>,
    /// Where the next page begins, of what changed.
    pub cursor: Option<Place>,
    fields: Vec<(String, Place)>,
}

/// How a ticket that is gone reads.
#[derive(Debug)]
struct Deleted {
    select: Selector,
    /// None of these: what it finds must be true.
    is: Vec<String>,
}

/// A page of a search, or of what changed.
#[derive(Debug)]
pub(super) struct Page {
    pub tickets: Vec<Found>,
    /// How many it held, whatever was taken of it.
    pub length: usize,
    /// What it says of others: none if it says nothing.
    pub more: Option<bool>,
    pub total: Option<u64>,
}

/// An answer that was judged to be a success, and what is needed to read it.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub plan: &'a Plan,
    /// The backend's address.
    pub base: &'a str,
    pub variables: &'a Variables,
    pub document: &'a Document,
    pub headers: &'a HeaderMap,
}

impl ReadPlan {
    /// Compiles a call's own places, and where it has none, the common ones.
    pub fn of(
        compiler: &mut Compiler<'_>,
        operation: Operation,
        own: &ReadDescription,
        common: &ReadDescription,
        append: &[String],
    ) -> Self {
        let name = operation.name();
        let mut place =
            |part: &str, own: Option<&PlaceDescription>, common: Option<&PlaceDescription>| match (
                own, common,
            ) {
                (Some(own), _) => Place::of(compiler, &format!("{name}.read.{part}"), own),
                (None, Some(common)) => Place::of(compiler, &format!("read.{part}"), common),
                (None, None) => None,
            };
        let id = place("id", own.id.as_ref(), common.id.as_ref());
        let url = place("url", own.url.as_ref(), common.url.as_ref());
        let status = place("status", own.status.as_ref(), common.status.as_ref());
        let correlation_key =
            place("correlation_key", own.correlation_key.as_ref(), common.correlation_key.as_ref());
        let changed_at = place("changed_at", own.changed_at.as_ref(), common.changed_at.as_ref());
        let changed_at = changed_at.map(Place::of_time);
        let cursor = place("cursor", own.cursor.as_ref(), None);
        let mut fields = Vec::new();
        let names =
            own.fields.keys().chain(common.fields.keys().filter(|n| !own.fields.contains_key(*n)));
        for name in names {
            let (own, common) = (own.fields.get(name), common.fields.get(name));
            let part = format!("fields.{name}");
            let compiled = place(&part, own, common);
            let adds_up = append.contains(name);
            if adds_up && !own.or(common).is_some_and(|place| place.list) {
                let problem = "a field that adds up must be read as a list: say list = true";
                compiler.wrong(&format!("read.{part}"), problem);
                break;
            }
            fields.extend(compiled.map(|place| (name.clone(), place)));
        }

        let key = |part: &str| format!("{name}.read.{part}");
        let items = compiler.selector(&key("items"), own.items.as_deref());
        let more = compiler.selector(&key("more"), own.more.as_deref());
        let total = compiler.selector(&key("total"), own.total.as_deref());
        let (ticket_key, ticket) = match (&own.ticket, &common.ticket) {
            (Some(own), _) => (key("ticket"), Some(own.as_str())),
            (None, common) => ("read.ticket".to_owned(), common.as_deref()),
        };
        // In a list each hit is the ticket.
        let ticket = ticket.filter(|_| own.ticket.is_some() || own.items.is_none());
        let ticket = compiler.selector(&ticket_key, ticket);
        let link = match (&own.link, &common.link) {
            (Some(own), _) => compiler.template(&key("link"), own, Style::Path),
            (None, Some(common)) => compiler.template("read.link", common, Style::Path),
            (None, None) => None,
        };
        let list =
            list_of(compiler, &key("items"), operation, own.items.as_deref(), items.as_ref());
        let told = own.more.is_some() || own.total.is_some();
        compiler.wrong_if(
            !operation.is_many() && told,
            &key("more"),
            "only search and changes have more and total",
        );
        compiler.wrong_if(
            operation != Operation::Changes && own.cursor.is_some(),
            &key("cursor"),
            "only [backend.changes.read] has this",
        );
        for (part, given) in [
            ("items", common.items.is_some()),
            ("more", common.more.is_some()),
            ("total", common.total.is_some()),
            ("cursor", common.cursor.is_some()),
        ] {
            let problem = "belongs into [backend.search.read] or [backend.changes.read]";
            compiler.wrong_if(given, &format!("read.{part}"), problem);
        }
        let deleted = match (&own.deleted, &common.deleted) {
            (Some(own), _) => Deleted::of(compiler, &key("deleted"), own),
            (None, Some(common)) => Deleted::of(compiler, "read.deleted", common),
            (None, None) => None,
        };
        Self {
            items,
            list,
            more,
            total,
            ticket,
            id,
            url,
            link,
            status,
            correlation_key,
            changed_at,
            deleted,
            cursor,
            fields,
        }
    }

    /// Whether the answer is a list of tickets.
    pub fn is_list(&self) -> bool {
        self.items.is_some()
    }

    /// Their id of the ticket that an answer shows.
    pub fn id(&self, shown: Shown<'_>) -> Option<String> {
        self.id_of(self.root(shown), shown)
    }

    /// The ticket that an answer shows, by an id that is known.
    pub fn ticket(&self, backend_id: String, shown: Shown<'_>) -> Found {
        self.found(backend_id, self.root(shown), shown)
    }

    /// The ticket of an answer to a get. That shows all that the description reads: what is not in it is
    /// empty there, which says that a write of it was not done, or that it was emptied.
    pub fn whole(&self, mut found: Found) -> Found {
        for (name, _) in &self.fields {
            found.fields.entry(name.clone()).or_insert(Value::Null);
        }
        found
    }

    /// The hits of a search, at most `limit`.
    ///
    /// # Errors
    /// Why this is no answer to a search.
    pub fn hits(&self, shown: Shown<'_>, limit: usize) -> Result<Page, String> {
        let items = self.items(shown)?;
        let length = items.len();
        let tickets = items.into_iter().take(limit).map(|item| {
            let id = self.id_of(Some(item), shown);
            let id = id.ok_or("a ticket without an id is in it")?;
            Ok(self.found(id, Some(item), shown))
        });
        let tickets = tickets.collect::<Result<_, &str>>()?;
        let (more, total) = self.others(shown);
        Ok(Page { tickets, length, more, total })
    }

    /// The rows of a page of what changed, each as it is: one that does not say which ticket it is has an
    /// empty id, since it must not stop all that come after it.
    ///
    /// # Errors
    /// Why this is no such page.
    pub fn rows(&self, shown: Shown<'_>) -> Result<Page, String> {
        let items = self.items(shown)?;
        let length = items.len();
        let row = |item| {
            let id = self.id_of(Some(item), shown).unwrap_or_default();
            self.found(id, Some(item), shown)
        };
        let tickets = items.into_iter().map(row).collect();
        let (more, total) = self.others(shown);
        Ok(Page { tickets, length, more, total })
    }

    fn items<'a>(&self, shown: Shown<'a>) -> Result<Vec<Item<'a>>, String> {
        let (Some(items), Some(list)) = (&self.items, &self.list) else {
            return Err("the description does not say where the tickets are".to_owned());
        };
        let whole = shown.document.whole();
        match list.all(whole).as_slice() {
            [Item::Json(Value::Array(_)) | Item::Xml(_)] => Ok(items.all(whole)),
            _ => Err("the list of tickets is not in it".to_owned()),
        }
    }

    /// What a page says of others: that there are more, and how many there are in all.
    fn others(&self, shown: Shown<'_>) -> (Option<bool>, Option<u64>) {
        let whole = shown.document.whole();
        let more = self.more.as_ref().map(|more| more.truth(whole));
        (more, self.total.as_ref().and_then(|total| total.count(whole)))
    }

    /// None where the ticket is not in it.
    fn root<'a>(&self, shown: Shown<'a>) -> Option<Item<'a>> {
        let whole = shown.document.whole();
        match &self.ticket {
            Some(ticket) => ticket.only(whole),
            None => Some(whole),
        }
    }

    fn id_of(&self, item: Option<Item<'_>>, shown: Shown<'_>) -> Option<String> {
        self.id.as_ref()?.text(item.unwrap_or(Item::Json(&Value::Null)), shown.headers)
    }

    fn found(&self, backend_id: String, item: Option<Item<'_>>, shown: Shown<'_>) -> Found {
        let item = item.unwrap_or(Item::Json(&Value::Null));
        let text = |place: &Option<Place>| place.as_ref()?.text(item, shown.headers);
        let backend_status = text(&self.status);
        let statuses = &shown.plan.statuses;
        let fields = self.fields.iter();
        let link = || {
            let mut variables = shown.variables.clone();
            variables.set("backend_id", backend_id.as_str());
            let link = self.link.as_ref()?;
            let link = shown.plan.templates.text(link, &variables.as_value()).ok()?;
            let base = if link.starts_with('/') { shown.base.trim_end_matches('/') } else { "" };
            Some(format!("{base}{link}"))
        };
        Found {
            correlation_key: text(&self.correlation_key),
            changed_at: text(&self.changed_at).and_then(|at| Timestamp::parse(&at).ok()),
            deleted: self.deleted.as_ref().is_some_and(|deleted| deleted.is_so(item)),
            url: text(&self.url).or_else(link),
            status: backend_status.as_ref().and_then(|theirs| statuses.get(theirs)).copied(),
            backend_status,
            fields: fields
                .filter_map(|(name, place)| Some((name.clone(), place.value(item, shown.headers)?)))
                .collect(),
            backend_id,
        }
    }
}

impl Deleted {
    fn of(compiler: &mut Compiler<'_>, key: &str, of: &DeletedDescription) -> Option<Self> {
        let nothing = of.is.as_ref().is_some_and(Vec::is_empty);
        compiler.wrong_if(nothing, &format!("{key}.is"), "name at least one word");
        let select = compiler.selector(key, Some(&of.select))?;
        Some(Self { select, is: of.is.clone().unwrap_or_default() })
    }

    fn is_so(&self, item: Item<'_>) -> bool {
        if self.is.is_empty() {
            return self.select.truth(item);
        }
        let found = self.select.all(item);
        found.iter().filter_map(Item::text).any(|text| self.is.contains(&text))
    }
}

/// What `items` takes its hits from must be there even if there are none.
fn list_of(
    compiler: &mut Compiler<'_>,
    key: &str,
    operation: Operation,
    text: Option<&str>,
    items: Option<&Selector>,
) -> Option<Selector> {
    let Some(text) = text else {
        if operation.is_many() {
            let example = if compiler.is_soap() { "/t:Answer/t:Ticket" } else { "$.tickets[*]" };
            compiler.wrong(key, format!("say where the tickets are, as {example:?}"));
        }
        return None;
    };
    if !operation.is_read() {
        compiler.wrong(key, "only a read has items");
        return None;
    }
    match items? {
        Selector::Json(_) | Selector::Members(_) => match text.strip_suffix("[*]") {
            Some(prefix) => compiler.selector(key, Some(prefix)),
            None => {
                compiler.wrong(key, "must end with [*]: each ticket of a list");
                None
            }
        },
        Selector::Xml(path) if path.finds_elements() => Some(Selector::Xml(path.parent())),
        Selector::Xml(_) => {
            compiler.wrong(key, "must end with an element's name: each ticket of a list");
            None
        }
    }
}
