//! Compiling a description's calls, and collecting all that is wrong with them.
//!
//! What always holds: a mistake ends nothing; the next part is looked at all the same.
//!
//! What it leaves to others: what is kept of it (`plan`).

use super::body::BodyPlan;
use super::plan::{CallPlan, Operation};
use super::reading::ReadPlan;
use super::selectors::Selector;
use super::templates::{Style, Template, Templates};
use super::variables::NAMES;
use super::wire::{CallDescription, FailureDescription, RestDescription};
use crate::backends::description::{Description, DescriptionError};
use reqwest::header::HeaderName;
use std::collections::{BTreeMap, BTreeSet};
use ticketgate_actors::logic::lane::Capability;

/// Compiles, and collects what is wrong.
pub(super) struct Compiler<'a> {
    description: &'a Description,
    pub templates: Templates,
    errors: Vec<DescriptionError>,
}

impl<'a> Compiler<'a> {
    /// Nothing compiled yet.
    pub fn of(description: &'a Description) -> Self {
        Self { description, templates: Templates::new(), errors: Vec::new() }
    }

    /// The templates.
    ///
    /// # Errors
    /// Everything that was wrong, each once: what is common to all calls is compiled for each.
    pub fn finish(self) -> Result<Templates, Vec<DescriptionError>> {
        let mut errors: Vec<DescriptionError> = Vec::new();
        for error in self.errors {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(self.templates) } else { Err(errors) }
    }

    /// Notes a mistake.
    pub fn wrong(&mut self, key: &str, problem: impl Into<String>) {
        self.errors.push(DescriptionError::new(self.description.key(key), problem));
    }

    /// Compiles a template.
    pub fn template(&mut self, key: &str, text: &str, style: Style) -> Option<Template> {
        match self.templates.add(key, text, style) {
            Ok(template) => Some(template),
            Err(problem) => {
                self.wrong(key, problem);
                None
            }
        }
    }

    /// Compiles a selector, where there is one.
    pub fn selector(&mut self, key: &str, text: Option<&str>) -> Option<Selector> {
        match text.map(Selector::parse)? {
            Ok(selector) => Some(selector),
            Err(problem) => {
                self.wrong(key, problem);
                None
            }
        }
    }

    /// Compiles a call; none if something is wrong, which is then noted.
    pub fn call(
        &mut self,
        operation: Operation,
        call: &CallDescription,
        rest: &RestDescription,
    ) -> Option<CallPlan> {
        let name = operation.name();
        let key = |below: &str| format!("{name}.{below}");
        if !call.path.starts_with('/') {
            self.wrong(&key("path"), "must begin with /");
        }
        if operation != Operation::Search && !call.query_each_where.is_empty() {
            self.wrong(&key("query_each_where"), "only a search has a where");
        }
        let path = self.template(&key("path"), &call.path, Style::Path);
        let query = self.pairs(&key("query"), &call.query);
        let query_each_where = self.pairs(&key("query_each_where"), &call.query_each_where);
        let mut headers = self.headers(&key("headers"), &call.headers);
        // Theirs first: a call's own header takes the place of the common one.
        for (header, template) in self.headers("headers", &rest.headers) {
            if !headers.iter().any(|(own, _)| *own == header) {
                headers.push((header, template));
            }
        }
        let body = BodyPlan::of(self, operation, call);
        let mut json_required = Vec::new();
        for (index, text) in call.success.json_required.iter().enumerate() {
            json_required
                .extend(self.selector(&key(&format!("success.json_required.{index}")), Some(text)));
        }
        if call.success.any_body && (operation.is_read() || !json_required.is_empty()) {
            self.wrong(&key("success.any_body"), "this answer's body is needed");
        }
        self.failures(&key("failure"), &call.failure);
        let read = ReadPlan::of(self, operation, &call.read, &rest.read);
        let has_id = call.read.id.is_some() || rest.read.id.is_some();
        self.must_be_read(operation, call, has_id);
        Some(CallPlan {
            method: call.method,
            path: path?,
            query,
            query_each_where,
            headers,
            body: body?,
            success_status: call.success.status.clone(),
            json_required,
            any_body: call.success.any_body,
            failures: call.failure.clone(),
            read,
        })
    }

    fn must_be_read(&mut self, operation: Operation, call: &CallDescription, has_id: bool) {
        let id_is_ours = self.description.lane.capability == Capability::ClientId;
        let needs_id = match operation {
            Operation::Create => !id_is_ours,
            Operation::Search => true,
            _ => false,
        };
        let key = |below: &str| format!("{}.{below}", operation.name());
        if needs_id && !has_id {
            self.wrong(&key("read.id"), "say where the ticket's id is, for example \"$.id\"");
        }
        if operation == Operation::Create && has_id && call.success.any_body {
            self.wrong(&key("success.any_body"), "the id is in this answer's body");
        }
    }

    fn pairs(&mut self, key: &str, pairs: &[[String; 2]]) -> Vec<[Template; 2]> {
        let mut compiled = Vec::new();
        for (index, [name, value]) in pairs.iter().enumerate() {
            let name = self.template(&format!("{key}.{index}.name"), name, Style::Line);
            let value = self.template(&format!("{key}.{index}.value"), value, Style::Line);
            compiled.extend(name.zip(value).map(|(name, value)| [name, value]));
        }
        compiled
    }

    fn headers(
        &mut self,
        key: &str,
        headers: &BTreeMap<String, String>,
    ) -> Vec<(HeaderName, Template)> {
        let mut compiled = Vec::new();
        for (name, text) in headers {
            let key = format!("{key}.{name}");
            let template = self.template(&key, text, Style::Line);
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => compiled.extend(template.map(|template| (name, template))),
                Err(_) => self.wrong(&key, "this is not the name of a header"),
            }
        }
        compiled
    }

    /// Checks how failures read.
    pub fn failures(&mut self, key: &str, failures: &[FailureDescription]) {
        for (index, failure) in failures.iter().enumerate() {
            if failure.status.is_empty() && failure.when_body_contains.is_none() {
                self.wrong(&format!("{key}.{index}"), "say by status or body when this fits");
            }
        }
    }

    /// Whether the calls are there, and carry what the capability needs.
    pub fn capability(
        &mut self,
        capability: Capability,
        used: &BTreeMap<Operation, BTreeSet<String>>,
    ) {
        for (operation, names) in used {
            for name in names.iter().filter(|name| !NAMES.contains(&name.as_str())) {
                let problem = format!("a template uses {name}; there are: {}", NAMES.join(", "));
                self.wrong(operation.name(), problem);
            }
        }
        let (look, sent, looked_by): (_, &[&str], &[&str]) = match capability {
            Capability::None => return,
            Capability::IdempotencyKey => (None, &["correlation_key", "key", "request_id"], &[]),
            Capability::ClientId => (Some(Operation::Get), &["key"], &["backend_id"]),
            Capability::Searchable => {
                (Some(Operation::Search), &["correlation_key"], &["correlation_key", "where"])
            }
        };
        let uses = |operation: Operation, any: &[&str]| {
            used.get(&operation).is_none_or(|used| any.iter().any(|name| used.contains(*name)))
        };
        if !uses(Operation::Create, sent) {
            let problem = format!("with this capability it must send {}", sent.join(" or "));
            self.wrong("create", problem);
        }
        let Some(look) = look else { return };
        if !used.contains_key(&look) {
            self.wrong("capability", format!("this needs [backend.{}]", look.name()));
        } else if !uses(look, looked_by) {
            self.wrong(look.name(), format!("it must ask by {}", looked_by.join(" or ")));
        }
    }
}
