//! A description, compiled: what each call says and how its answers read.
//!
//! What always holds: after `Plan::of` succeeded, no template or selector can fail by its grammar,
//! bodies that can be tried out are JSON, and the calls that the capability relies on are there and
//! carry what they are found by. A backend that is called searchable and is not told our key would
//! read as "absent" for ever, and be sent every ticket twice.
//!
//! What it leaves to others: filling in (`request`), reading (`reading`, `judge`).

use super::body::BodyPlan;
use super::reading::ReadPlan;
use super::selectors::Selector;
use super::templates::{Style, Template, Templates};
use super::variables::NAMES;
use super::wire::{CallDescription, FailureDescription, Method, RestDescription};
use crate::backends::auth::Credential;
use crate::backends::description::{Description, DescriptionError};
use reqwest::header::HeaderName;
use std::collections::{BTreeMap, BTreeSet};
use ticketgate_actors::logic::lane::Capability;
use ticketgate_actors::model::TicketStatus;
use ticketgate_actors::ports::Work;

/// What is done, by its key in the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Create,
    Update,
    Close,
    Reopen,
    Get,
    Search,
}

impl Operation {
    pub fn of(work: &Work) -> Self {
        match work {
            Work::Create { .. } => Self::Create,
            Work::Update { .. } => Self::Update,
            Work::Close { .. } => Self::Close,
            Work::Reopen { .. } => Self::Reopen,
            Work::Get { .. } => Self::Get,
            Work::Search { .. } => Self::Search,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Close => "close",
            Self::Reopen => "reopen",
            Self::Get => "get",
            Self::Search => "search",
        }
    }

    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Search)
    }
}

/// A whole description, compiled.
#[derive(Debug)]
pub(super) struct Plan {
    pub templates: Templates,
    pub credential: Option<Credential>,
    pub calls: BTreeMap<Operation, CallPlan>,
    pub failures: Vec<FailureDescription>,
    pub statuses: BTreeMap<String, TicketStatus>,
    pub error_code: Option<Selector>,
    pub error_description: Option<Selector>,
}

/// One call, compiled.
#[derive(Debug)]
pub(super) struct CallPlan {
    pub method: Method,
    pub path: Template,
    pub query: Vec<[Template; 2]>,
    pub query_each_where: Vec<[Template; 2]>,
    pub headers: Vec<(HeaderName, Template)>,
    pub body: BodyPlan,
    pub success_status: Vec<u16>,
    pub json_required: Vec<Selector>,
    pub any_body: bool,
    pub failures: Vec<FailureDescription>,
    pub read: ReadPlan,
}

impl Plan {
    /// Compiles a description.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn of(
        description: &Description,
        rest: &RestDescription,
    ) -> Result<Self, Vec<DescriptionError>> {
        let mut compiler =
            Compiler { description, templates: Templates::new(), errors: Vec::new() };
        let capability = description.lane.capability;
        let mut calls = BTreeMap::new();
        let mut used = BTreeMap::new();
        for (operation, call) in [
            (Operation::Create, &rest.create),
            (Operation::Update, &rest.update),
            (Operation::Close, &rest.close),
            (Operation::Reopen, &rest.reopen),
            (Operation::Get, &rest.get),
            (Operation::Search, &rest.search),
        ] {
            let Some(call) = call else { continue };
            if let Some(plan) = compiler.call(operation, call, rest) {
                calls.insert(operation, plan);
            }
            let mut names = compiler.templates.take_used();
            if !call.query_each_where.is_empty() {
                names.insert("where".to_owned());
            }
            used.insert(operation, names);
        }
        compiler.capability(capability, &used);

        let credential = Credential::of(&rest.auth).unwrap_or_else(|(key, problem)| {
            compiler.wrong(&format!("auth.{key}"), problem);
            None
        });
        let error_code = compiler.selector("error.code", rest.error.code.as_deref());
        let error_description =
            compiler.selector("error.description", rest.error.description.as_deref());
        compiler.failures("failure", &rest.failure);

        let Compiler { templates, mut errors, .. } = compiler;
        // The common headers are compiled for each call.
        errors.dedup();
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            templates,
            credential,
            calls,
            failures: rest.failure.clone(),
            statuses: rest.statuses.clone(),
            error_code,
            error_description,
        })
    }
}

/// Compiles, and collects what is wrong.
pub(super) struct Compiler<'a> {
    description: &'a Description,
    pub templates: Templates,
    errors: Vec<DescriptionError>,
}

impl Compiler<'_> {
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

    fn call(
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
        self.must_be_read(operation, call, &read);
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

    fn must_be_read(&mut self, operation: Operation, call: &CallDescription, read: &ReadPlan) {
        let id_is_ours = self.description.lane.capability == Capability::ClientId;
        let needs_id = match operation {
            Operation::Create => !id_is_ours,
            Operation::Search => true,
            _ => false,
        };
        let key = |below: &str| format!("{}.{below}", operation.name());
        if needs_id && read.id.is_none() {
            self.wrong(&key("read.id"), "say where the ticket's id is, for example \"$.id\"");
        }
        if operation == Operation::Create && read.id.is_some() && call.success.any_body {
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

    fn failures(&mut self, key: &str, failures: &[FailureDescription]) {
        for (index, failure) in failures.iter().enumerate() {
            if failure.status.is_empty() && failure.when_body_contains.is_none() {
                self.wrong(&format!("{key}.{index}"), "say by status or body when this fits");
            }
        }
    }

    /// Whether the calls are there, and carry what the capability needs.
    fn capability(&mut self, capability: Capability, used: &BTreeMap<Operation, BTreeSet<String>>) {
        for (operation, names) in used {
            for name in names.iter().filter(|name| !is_known(name)) {
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

fn is_known(name: &str) -> bool {
    /// The functions of the template language, which read as variables.
    const FUNCTIONS: &[&str] = &["dict", "range", "namespace", "debug"];
    NAMES.contains(&name) || FUNCTIONS.contains(&name)
}
