//! Compiling operations: their call, their steps, how their failures read.
//!
//! What always holds: a key where it has no meaning is a mistake, and never silently nothing.
//!
//! What it leaves to others: what the capability asks of all of them together (`demands`).

use super::body::BodyPlan;
use super::compiler::Compiler;
use super::places::Place;
use super::plan::{
    CallPlan, CheckPlan, FailurePlan, LaterPlan, Operation, OperationPlan, PagingPlan, StepPlan,
};
use super::reading::ReadPlan;
use super::templates::{Style, Template};
use super::wire::{
    CallDescription, FailureDescription, Means, Method, PagingBy, PagingDescription,
    WireDescription,
};
use std::collections::BTreeSet;
use ticketgate_actors::logic::lane::Capability;

/// A page larger than this is not one.
const PAGE_SIZE_MAX: u32 = 10_000;
/// Pages that are read unless the description says otherwise.
const PAGES: u32 = 10;
/// Steps of one operation: each takes its share of the call's time-out.
const STEPS_MAX: usize = 8;

/// Compiles an operation; none if something is wrong, which is then noted.
pub(super) fn operation(
    compiler: &mut Compiler<'_>,
    operation: Operation,
    described: &CallDescription,
    wire: &WireDescription,
) -> Option<OperationPlan> {
    let name = operation.name();
    let key = |below: &str| format!("{name}.{below}");
    for (given, below) in [
        (described.name.is_some(), "name"),
        (described.when.is_some(), "when"),
        (described.reads.is_some(), "reads"),
        (described.shows, "shows"),
    ] {
        compiler.wrong_if(given, &key(below), "only a step of before or after has this");
    }
    let is_search = operation == Operation::Search;
    for (given, below) in [
        (!described.query_each_where.is_empty(), "query_each_where"),
        (!described.finds_by.is_empty(), "finds_by"),
        (described.paging.is_some(), "paging"),
    ] {
        compiler.wrong_if(given && !is_search, &key(below), "only a search has this");
    }
    let is_feed = operation == Operation::Changes;
    for (given, below) in [(described.by.is_some(), "by"), (described.size.is_some(), "size")] {
        compiler.wrong_if(given && !is_feed, &key(below), "only [backend.changes] has this");
    }
    let any_after = !described.after.is_empty();
    compiler.wrong_if(is_feed && any_after, &key("after"), "nothing comes after reading changes");
    let needs = !described.needs.is_empty();
    compiler.wrong_if(needs && operation.is_read(), &key("needs"), "a read has no fields");
    let steps = described.before.len() + described.after.len();
    compiler.wrong_if(steps > STEPS_MAX, &key("before"), "there may be 8 steps at the most");

    let mut names = BTreeSet::from([name.to_owned()]);
    let before = steps_of(compiler, &key("before"), &described.before, wire, &mut names);
    let call = call(compiler, name, name, operation.is_read(), described, wire);
    let after = steps_of(compiler, &key("after"), &described.after, wire, &mut names);
    let shown = described.before.iter().any(|step| step.shows);
    compiler.wrong_if(shown, &key("before"), "the ticket is not read before the call");
    let shown = described.after.iter().filter(|step| step.shows).count();
    compiler.wrong_if(shown > 1, &key("after"), "one step at the most shows the ticket");

    let paging = described.paging.as_ref().and_then(|paging| {
        let plan = paging_of(compiler, &key("paging"), paging);
        plan.filter(|_| is_search)
    });
    let asked = compiler.templates.take_used();
    let read = ReadPlan::of(compiler, operation, &described.read, &wire.read, &wire.append);
    if is_feed {
        // A link to a ticket is made of the answer, and knows more than what is asked.
        compiler.templates.take_used();
    }
    compiler.templates.note_used(asked);
    must_be_read(compiler, operation, described, wire);
    let later = described.later.as_ref().map(|later| LaterPlan {
        status: later.status.clone(),
        reference: later
            .reference
            .as_ref()
            .and_then(|place| Place::of(compiler, &key("later.reference"), place)),
    });
    if described.later.is_some() && operation.is_read() {
        compiler.wrong(&key("later"), "belongs to a write: a read is answered at once");
    }
    if later.as_ref().is_some_and(|later| later.status.is_empty()) {
        compiler.wrong(&key("later.status"), "names at least one status, such as [202]");
    }
    Some(OperationPlan {
        later,
        needs: described.needs.clone(),
        finds_by: described.finds_by.clone(),
        before,
        call: call?,
        after,
        paging,
        read,
        feed: None,
    })
}

fn must_be_read(
    compiler: &mut Compiler<'_>,
    operation: Operation,
    described: &CallDescription,
    wire: &WireDescription,
) {
    let key = |below: &str| format!("{}.{below}", operation.name());
    let has_id = described.read.id.is_some() || wire.read.id.is_some();
    let id_is_ours = compiler.capability() == Capability::ClientId;
    let needs_id = match operation {
        Operation::Create => !id_is_ours,
        Operation::Search | Operation::Changes => true,
        _ => false,
    };
    if needs_id && !has_id {
        let example = if compiler.is_soap() { "/t:Answer/t:Id" } else { "$.id" };
        let problem = format!("say where the ticket's id is, for example {example:?}");
        compiler.wrong(&key("read.id"), problem);
    }
    let any = described.success.any_body;
    let in_body =
        operation == Operation::Create && has_id && !described.after.iter().any(|s| s.shows);
    let id = described.read.id.as_ref().or(wire.read.id.as_ref());
    let in_header = id.is_some_and(|id| id.header.is_some());
    compiler.wrong_if(
        any && in_body && !in_header,
        &key("success.any_body"),
        "the id is in this answer's body",
    );
}

fn steps_of(
    compiler: &mut Compiler<'_>,
    key: &str,
    steps: &[CallDescription],
    wire: &WireDescription,
    names: &mut BTreeSet<String>,
) -> Vec<StepPlan> {
    let mut compiled = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let below = |below: &str| format!("{key}.{below}");
        let Some(name) = &step.name else {
            compiler.wrong(&below("name"), "a step needs a name");
            continue;
        };
        compiler.wrong_if(!names.insert(name.clone()), &below("name"), "this name is taken");
        for (given, what) in [
            (!step.needs.is_empty(), "needs"),
            (!step.finds_by.is_empty(), "finds_by"),
            (!step.query_each_where.is_empty(), "query_each_where"),
            (step.paging.is_some(), "paging"),
            (step.by.is_some(), "by"),
            (step.size.is_some(), "size"),
            (!step.before.is_empty(), "before"),
            (!step.after.is_empty(), "after"),
        ] {
            compiler.wrong_if(given, &below(what), "a step does not have this");
        }
        let when = compiler.condition(&below("when"), step.when.as_deref());
        let reads = step.reads.unwrap_or(step.method == Some(Method::Get));
        let call = call(compiler, &key, name, reads, step, wire);
        let (name, shows) = (name.clone(), step.shows);
        compiled.extend(call.map(|call| StepPlan { name, when, shows, call }));
    }
    compiled
}

fn call(
    compiler: &mut Compiler<'_>,
    place: &str,
    label: &str,
    reads: bool,
    described: &CallDescription,
    wire: &WireDescription,
) -> Option<CallPlan> {
    let key = |below: &str| format!("{place}.{below}");
    let is_soap = compiler.is_soap();
    let no_path = is_soap && described.path.is_empty();
    let starts = described.path.starts_with('/');
    compiler.wrong_if(!no_path && !starts, &key("path"), "must begin with /");
    compiler.wrong_if(described.action.is_some() && !is_soap, &key("action"), "only SOAP has this");
    let method = match (described.method, is_soap) {
        (Some(Method::Post) | None, true) => Some(Method::Post),
        (Some(_), true) => {
            compiler.wrong(&key("method"), "SOAP is always POST");
            None
        }
        (Some(method), false) => Some(method),
        (None, false) => {
            compiler.wrong(&key("method"), "say one of GET, POST, PUT, PATCH, DELETE");
            None
        }
    };
    let path = compiler.template(&key("path"), &described.path, Style::Path);
    let query = compiler.pairs(&key("query"), &described.query);
    let query_each_where = compiler.pairs(&key("query_each_where"), &described.query_each_where);
    let mut headers = compiler.headers(&key("headers"), &described.headers);
    // Theirs first: a call's own header takes the place of the common one.
    for (header, template) in compiler.headers("headers", &wire.headers) {
        if !headers.iter().any(|(own, _)| *own == header) {
            headers.push((header, template));
        }
    }
    let action = described.action.as_deref();
    let action = action.and_then(|text| compiler.template(&key("action"), text, Style::Line));
    let body = BodyPlan::of(compiler, place, described);
    let mut required = Vec::new();
    for (index, text) in described.success.required.iter().enumerate() {
        let key = key(&format!("success.required[{index}]"));
        required.extend(compiler.selector(&key, Some(text)));
    }
    let mut checks = Vec::new();
    for (index, check) in described.success.checks.iter().enumerate() {
        let key = key(&format!("success.checks[{index}]"));
        checks.extend(check_of(compiler, &key, Some(&check.select), &check.is, &check.is_not));
    }
    let is_needed = reads || !required.is_empty() || !checks.is_empty();
    compiler.wrong_if(
        described.success.any_body && is_needed,
        &key("success.any_body"),
        "this answer's body is needed",
    );
    let failures = failures(compiler, &key("failure"), &described.failure);
    let mut keep = Vec::new();
    for (name, place) in &described.keep {
        let place = Place::of(compiler, &key(&format!("keep.{name}")), place);
        keep.extend(place.map(|place| (name.clone(), place)));
    }
    Some(CallPlan {
        label: label.to_owned(),
        reads,
        method: method?,
        path: path?,
        query,
        query_each_where,
        headers,
        action,
        body: body?,
        success_status: described.success.status.clone(),
        required,
        checks,
        any_body: described.success.any_body,
        failures,
        keep,
    })
}

/// Compiles how failures read.
pub(super) fn failures(
    compiler: &mut Compiler<'_>,
    key: &str,
    failures: &[FailureDescription],
) -> Vec<FailurePlan> {
    let mut compiled = Vec::new();
    for (index, failure) in failures.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let words = failure.when_body_contains.clone();
        if failure.status.is_empty() && words.is_none() && failure.select.is_none() {
            compiler.wrong(&key, "say by status, body or select when this fits");
        }
        let waits = matches!(failure.means, Means::Busy | Means::Retryable);
        let after = failure.after;
        compiler.wrong_if(
            after.is_some() && !waits,
            &format!("{key}.after"),
            "only busy and retryable come back",
        );
        let (select, is, is_not) = (failure.select.as_deref(), &failure.is, &failure.is_not);
        let given = !is.is_empty() || !is_not.is_empty();
        compiler.wrong_if(given && select.is_none(), &key, "is and is_not need a select");
        let check = check_of(compiler, &key, select, is, is_not);
        let (status, means) = (failure.status.clone(), failure.means);
        compiled.push(FailurePlan { status, words, check, means, after });
    }
    compiled
}

fn check_of(
    compiler: &mut Compiler<'_>,
    key: &str,
    select: Option<&str>,
    is: &[String],
    is_not: &[String],
) -> Option<CheckPlan> {
    let select = compiler.selector(&format!("{key}.select"), select)?;
    let is: Vec<Template> = compiler.lines(&format!("{key}.is"), is);
    let is_not = compiler.lines(&format!("{key}.is_not"), is_not);
    Some(CheckPlan { select, is, is_not })
}

fn paging_of(
    compiler: &mut Compiler<'_>,
    key: &str,
    described: &PagingDescription,
) -> Option<PagingPlan> {
    let below = |below: &str| format!("{key}.{below}");
    let size = described.size;
    let bad_size = size == 0 || size > PAGE_SIZE_MAX;
    compiler.wrong_if(bad_size, &below("size"), "must be from 1 to 10000");
    let pages = described.pages.unwrap_or(PAGES);
    compiler.wrong_if(pages == 0, &below("pages"), "must be at least 1");
    let says = matches!(described.by, PagingBy::Cursor | PagingBy::Link);
    match (&described.next, says) {
        (None, true) => compiler.wrong(&below("next"), "say where the next page is told"),
        (Some(_), false) => compiler.wrong(&below("next"), "only cursor and link have this"),
        _ => {}
    }
    let numbered = described.by == PagingBy::Page;
    compiler.wrong_if(
        described.first.is_some() && !numbered,
        &below("first"),
        "only page has this",
    );
    let next = match &described.next {
        Some(next) => Some(Place::of(compiler, &below("next"), next)?),
        None => None,
    };
    let first = described.first.unwrap_or(1);
    Some(PagingPlan { by: described.by, size, first, next, pages })
}
