//! Tickets out of answers.
//!
//! What always holds: what is not there is not made up. A list of a search that is not there is no
//! empty list, and a hit without an id spoils the answer: a failed look never reads as "absent"
//! (rule G9).
//!
//! What it leaves to others: whether the answer is one to be read (`judge`).

use super::compiler::Compiler;
use super::plan::Operation;
use super::selectors::Selector;
use super::wire::ReadDescription;
use serde_json::Value;
use std::collections::BTreeMap;
use ticketgate_actors::model::{Found, TicketStatus};
use ticketgate_actors::ports::Reading;

/// Where a ticket's parts are, compiled.
#[derive(Debug)]
pub(super) struct ReadPlan {
    items: Option<Selector>,
    /// Finds the list that `items` takes its hits from.
    list: Option<Selector>,
    more: Option<Selector>,
    total: Option<Selector>,
    pub id: Option<Selector>,
    url: Option<Selector>,
    status: Option<Selector>,
    correlation_key: Option<Selector>,
    fields: Vec<(String, Selector)>,
}

impl ReadPlan {
    /// Compiles a call's own selectors, and where it has none, the common ones.
    pub fn of(
        compiler: &mut Compiler<'_>,
        operation: Operation,
        own: &ReadDescription,
        common: &ReadDescription,
    ) -> Self {
        let mut either = |part: &str, own: &Option<String>, common: &Option<String>| match own {
            Some(own) => compiler.selector(&format!("{}.read.{part}", operation.name()), Some(own)),
            None => compiler.selector(&format!("read.{part}"), common.as_deref()),
        };
        let id = either("id", &own.id, &common.id);
        let url = either("url", &own.url, &common.url);
        let status = either("status", &own.status, &common.status);
        let correlation_key =
            either("correlation_key", &own.correlation_key, &common.correlation_key);
        let items = either("items", &own.items, &None);
        let more = either("more", &own.more, &None);
        let total = either("total", &own.total, &None);
        let mut fields = Vec::new();
        let names =
            own.fields.keys().chain(common.fields.keys().filter(|n| !own.fields.contains_key(*n)));
        for name in names {
            let (own, common) = (own.fields.get(name).cloned(), common.fields.get(name).cloned());
            let selector = either(&format!("fields.{name}"), &own, &common);
            fields.extend(selector.map(|selector| (name.clone(), selector)));
        }

        let key = |part: &str| format!("{}.read.{part}", operation.name());
        let mut list = None;
        match (&own.items, operation) {
            (Some(items), Operation::Search) => match items.strip_suffix("[*]") {
                Some(prefix) => list = Selector::parse(prefix).ok(),
                None => compiler.wrong(&key("items"), "must end with [*]: each ticket of a list"),
            },
            (None, Operation::Search) => {
                compiler.wrong(&key("items"), "say where the tickets are, as \"$.tickets[*]\"");
            }
            (Some(_), _) => compiler.wrong(&key("items"), "only a search has items"),
            (None, _) => {}
        }
        if operation != Operation::Search && (own.more.is_some() || own.total.is_some()) {
            compiler.wrong(&key("more"), "only a search has more and total");
        }
        for (part, selector) in
            [("items", &common.items), ("more", &common.more), ("total", &common.total)]
        {
            if selector.is_some() {
                compiler.wrong(&format!("read.{part}"), "belongs into [backend.search.read]");
            }
        }
        Self { items, list, more, total, id, url, status, correlation_key, fields }
    }

    /// Their id of the ticket that an answer shows.
    pub fn id(&self, document: &Value) -> Option<String> {
        self.id.as_ref().and_then(|id| id.text(document))
    }

    /// The ticket that an answer shows, by an id that is known.
    pub fn ticket(
        &self,
        backend_id: String,
        document: &Value,
        statuses: &BTreeMap<String, TicketStatus>,
    ) -> Found {
        let text = |selector: &Option<Selector>| selector.as_ref()?.text(document);
        let backend_status = text(&self.status);
        let fields = self.fields.iter();
        Found {
            backend_id,
            correlation_key: text(&self.correlation_key),
            url: text(&self.url),
            status: backend_status.as_ref().and_then(|theirs| statuses.get(theirs)).copied(),
            backend_status,
            fields: fields
                .filter_map(|(name, selector)| Some((name.clone(), selector.value(document)?)))
                .collect(),
        }
    }

    /// The hits of a search, at most `limit`.
    ///
    /// # Errors
    /// Why this is no answer to a search.
    pub fn hits(
        &self,
        document: &Value,
        limit: u32,
        statuses: &BTreeMap<String, TicketStatus>,
    ) -> Result<Reading, &'static str> {
        let (Some(items), Some(list)) = (&self.items, &self.list) else {
            return Err("the description does not say where the tickets are");
        };
        if !matches!(list.all(document).as_slice(), [Value::Array(_)]) {
            return Err("the list of tickets is not in it");
        }
        let items = items.all(document);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let told = self.more.as_ref().is_some_and(|more| more.truth(document));
        let count = self.total.as_ref().and_then(|total| total.count(document));
        let total = count.is_some_and(|total| total > items.len() as u64);
        // Where nothing tells, a page that is full may have a next one.
        let full = self.more.is_none() && self.total.is_none() && items.len() >= limit;
        let more = told || total || full || items.len() > limit;
        let tickets = items.into_iter().take(limit).map(|item| {
            let id = self.id(item).ok_or("a ticket without an id is in it")?;
            Ok(self.ticket(id, item, statuses))
        });
        Ok(Reading { tickets: tickets.collect::<Result<_, &str>>()?, more })
    }
}
