//! A description, compiled: what each call says and how its answers read.
//!
//! What always holds: after `Plan::of` succeeded, no template or selector can fail by its grammar,
//! bodies that can be tried out are JSON or XML, and the calls that the capability relies on are there
//! and carry what they are found by (`demands`).
//!
//! What it leaves to others: filling in (`request`), reading (`reading`, `judge`), the order of a
//! call's steps (`conversation`).

use super::body::BodyPlan;
use super::callback::CallbackReader;
use super::calls;
use super::compiler::Compiler;
use super::demands;
use super::feed::FeedPlan;
use super::places::Place;
use super::reading::ReadPlan;
use super::selectors::Selector;
use super::soap::{Envelope, fault_selectors};
use super::templates::{Style, Template, Templates};
use super::wire::{CallDescription, Means, Method, PagingBy, WireDescription};
use crate::backends::auth::Credential;
use crate::backends::description::{Description, DescriptionError};
use reqwest::header::HeaderName;
use std::collections::BTreeMap;
use std::time::Duration;
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
    Changes,
}

impl Operation {
    pub fn of(work: &Work) -> Self {
        match work {
            Work::Create { .. } => Self::Create,
            Work::Update { .. } => Self::Update,
            Work::Close { .. } => Self::Close,
            Work::Reopen { .. } => Self::Reopen,
            Work::Get { .. } => Self::Get,
            Work::Search { .. } | Work::Probe => Self::Search,
            Work::Changes { .. } => Self::Changes,
        }
    }

    /// Its part of a description.
    pub fn described(self, wire: &WireDescription) -> Option<&CallDescription> {
        match self {
            Self::Create => wire.create.as_ref(),
            Self::Update => wire.update.as_ref(),
            Self::Close => wire.close.as_ref(),
            Self::Reopen => wire.reopen.as_ref(),
            Self::Get => wire.get.as_ref(),
            Self::Search => wire.search.as_ref(),
            Self::Changes => wire.changes.as_ref(),
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
            Self::Changes => "changes",
        }
    }

    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Search | Self::Changes)
    }

    /// Is its answer a page of many tickets?
    pub fn is_many(self) -> bool {
        matches!(self, Self::Search | Self::Changes)
    }
}

/// A whole description, compiled.
#[derive(Debug)]
pub(super) struct Plan {
    pub templates: Templates,
    pub credential: Option<Credential>,
    /// Where SOAP is spoken.
    pub envelope: Option<Envelope>,
    pub envelope_header: Option<Template>,
    pub operations: BTreeMap<Operation, OperationPlan>,
    /// Fields that writes send and no answer is read for.
    pub unread: Vec<String>,
    pub failures: Vec<FailurePlan>,
    pub statuses: BTreeMap<String, TicketStatus>,
    pub error_codes: Vec<Selector>,
    pub error_descriptions: Vec<Selector>,
}

/// One operation: a call, and the steps around it.
#[derive(Debug)]
pub(super) struct OperationPlan {
    pub needs: BTreeMap<String, Vec<String>>,
    pub finds_by: Vec<String>,
    pub before: Vec<StepPlan>,
    pub call: CallPlan,
    pub after: Vec<StepPlan>,
    pub paging: Option<PagingPlan>,
    pub read: ReadPlan,
    pub later: Option<LaterPlan>,
    /// For what changed.
    pub feed: Option<FeedPlan>,
}

/// A success that says only that a write was taken.
#[derive(Debug)]
pub(super) struct LaterPlan {
    pub status: Vec<u16>,
    pub reference: Option<Place>,
}

/// A step.
#[derive(Debug)]
pub(super) struct StepPlan {
    pub name: String,
    pub when: Option<Template>,
    pub shows: bool,
    pub call: CallPlan,
}

/// One request and how its answer is judged.
#[derive(Debug)]
pub(super) struct CallPlan {
    /// What it is called where people read of it.
    pub label: String,
    pub reads: bool,
    pub method: Method,
    pub path: Template,
    pub query: Vec<[Template; 2]>,
    pub query_each_where: Vec<[Template; 2]>,
    pub headers: Vec<(HeaderName, Template)>,
    pub action: Option<Template>,
    pub body: BodyPlan,
    pub success_status: Vec<u16>,
    pub required: Vec<Selector>,
    pub checks: Vec<CheckPlan>,
    pub any_body: bool,
    pub failures: Vec<FailurePlan>,
    pub keep: Vec<(String, Place)>,
}

/// How the next page is asked for.
#[derive(Debug)]
pub(super) struct PagingPlan {
    pub by: PagingBy,
    pub size: u32,
    pub first: u32,
    pub next: Option<Place>,
    pub pages: u32,
}

/// What must be so of what a selector finds.
#[derive(Debug)]
pub(super) struct CheckPlan {
    pub select: Selector,
    pub is: Vec<Template>,
    pub is_not: Vec<Template>,
}

/// How a failure reads.
#[derive(Debug)]
pub(super) struct FailurePlan {
    pub status: Vec<u16>,
    pub words: Option<String>,
    pub check: Option<CheckPlan>,
    pub means: Means,
    pub after: Option<Duration>,
}

impl Plan {
    /// Compiles a description.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub fn of(
        description: &Description,
        wire: &WireDescription,
    ) -> Result<Self, Vec<DescriptionError>> {
        let mut compiler = Compiler::of(description, wire)?;
        let mut operations = BTreeMap::new();
        let mut used = BTreeMap::new();
        for (operation, call) in [
            (Operation::Create, &wire.create),
            (Operation::Update, &wire.update),
            (Operation::Close, &wire.close),
            (Operation::Reopen, &wire.reopen),
            (Operation::Get, &wire.get),
            (Operation::Search, &wire.search),
            (Operation::Changes, &wire.changes),
        ] {
            let Some(call) = call else { continue };
            let plan = calls::operation(&mut compiler, operation, call, wire);
            let mut names = compiler.templates.take_used();
            let feed = FeedPlan::of(&mut compiler, operation, call, &names, wire);
            if let Some(plan) = plan {
                operations.insert(operation, OperationPlan { feed, ..plan });
            }
            if !call.query_each_where.is_empty() {
                names.insert("where".to_owned());
            }
            used.insert(operation, names);
        }
        demands::check(&mut compiler, description.lane.capability, wire, &used);

        let credential = Credential::of(&wire.auth).unwrap_or_else(|(key, problem)| {
            compiler.wrong(&format!("auth.{key}"), problem);
            None
        });
        if wire.soap.is_none() && credential.as_ref().is_some_and(Credential::is_in_envelope) {
            compiler.wrong("auth.type", "wsse stands in envelopes: it needs type = \"soap\"");
        }
        let header = wire.soap.as_ref().and_then(|soap| soap.header.as_deref());
        let envelope_header =
            header.and_then(|text| compiler.template("soap.header", text, Style::Xml));
        let (mut error_codes, mut error_descriptions) = match wire.soap {
            Some(_) => fault_selectors(),
            None => Default::default(),
        };
        // What the description says comes first.
        if let Some(code) = compiler.selector("error.code", wire.error.code.as_deref()) {
            error_codes.insert(0, code);
        }
        let words = wire.error.description.as_deref();
        if let Some(words) = compiler.selector("error.description", words) {
            error_descriptions.insert(0, words);
        }
        let failures = calls::failures(&mut compiler, "failure", &wire.failure);

        if let Some(callback) = &wire.callback {
            let namespaces = wire.soap.as_ref().map(|soap| &soap.namespaces);
            if let Err((key, problem)) = CallbackReader::of(callback, namespaces) {
                let dot = if key.is_empty() { "" } else { "." };
                compiler.wrong(&format!("callback{dot}{key}"), problem);
            }
        }

        let templates = compiler.finish()?;
        Ok(Self {
            templates,
            credential,
            envelope: wire.soap.as_ref().map(Envelope::of),
            envelope_header,
            operations,
            unread: demands::unread(wire, &used),
            failures,
            statuses: wire.statuses.clone(),
            error_codes,
            error_descriptions,
        })
    }
}
