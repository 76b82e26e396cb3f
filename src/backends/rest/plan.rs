//! A description, compiled: what each call says and how its answers read.
//!
//! What always holds: after `Plan::of` succeeded, no template or selector can fail by its grammar,
//! bodies that can be tried out are JSON, and the calls that the capability relies on are there and
//! carry what they are found by. A backend that is called searchable and is not told our key would
//! read as "absent" for ever, and be sent every ticket twice.
//!
//! What it leaves to others: filling in (`request`), reading (`reading`, `judge`).

use super::body::BodyPlan;
use super::compiler::Compiler;
use super::reading::ReadPlan;
use super::selectors::Selector;
use super::templates::{Template, Templates};
use super::wire::{FailureDescription, Method, RestDescription};
use crate::backends::auth::Credential;
use crate::backends::description::{Description, DescriptionError};
use reqwest::header::HeaderName;
use std::collections::BTreeMap;
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
        let mut compiler = Compiler::of(description);
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

        let templates = compiler.finish()?;
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
