//! One operation, from its first request to the lane's answer: the steps before its call, the call,
//! the pages of a search, the steps after it.
//!
//! What always holds: one request at a time, all within the call's time-out, and no repeat but one:
//! where a token of ours was refused, the request is made once more with a new one.
//!
//! What it leaves to others: one request (`saying`), the pages of a search (`pages`), a page of what
//! changed (`feed`), what is told when it
//! fails (`failing`), what one answer means (`judge`), order and retries (the lane).

use super::Inner;
use super::exchange::Answered;
use super::failing::Broken;
use super::judge::Case;
use super::plan::{CallPlan, Operation, OperationPlan, StepPlan};
use super::reading::Shown;
use super::selectors::Document;
use super::service::Place;
use super::variables::Variables;
use reqwest::Url;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;
use ticketgate_actors::model::{Fields, TicketError, Timestamp};
use ticketgate_actors::ports::{self, Answer, Call, Reading, Work};
use tokio::time::Instant;

/// An operation under way.
pub(super) struct Conversation<'a> {
    pub inner: &'a Inner,
    /// Where it is led.
    pub place: Cow<'a, Place>,
    pub call: &'a Call,
    pub operation: Operation,
    pub plan: &'a OperationPlan,
    pub variables: Variables,
    /// When the first request was about to be sent, all must end at this.
    pub(super) ends: Option<Instant>,
    /// Something may have been changed there.
    pub(super) wrote: bool,
    /// Its limit of calls is used up for so long.
    pub(super) quiet: Option<Duration>,
    /// Of the last answer.
    pub(super) http_status: Option<u16>,
    /// Their clock, as the last answer told it.
    pub(super) clock: Option<Timestamp>,
}

/// An answer that was a success.
pub(super) struct Heard {
    /// Where it was asked.
    pub url: Url,
    pub answered: Answered,
    pub document: Document,
}

impl<'a> Conversation<'a> {
    pub fn new(
        inner: &'a Inner,
        place: Cow<'a, Place>,
        call: &'a Call,
        plan: &'a OperationPlan,
    ) -> Self {
        let operation = Operation::of(&call.work);
        let variables = Variables::of(call, &inner.plan.statuses);
        Self {
            inner,
            place,
            call,
            operation,
            plan,
            variables,
            ends: None,
            wrote: false,
            quiet: None,
            http_status: None,
            clock: None,
        }
    }

    /// Carries it out.
    pub async fn run(mut self) -> ports::Heard {
        let answer = self.answer().await;
        let Self { quiet, http_status, clock, .. } = self;
        ports::Heard { answer, quiet, http_status, clock }
    }

    async fn answer(&mut self) -> Answer {
        if let Err(problem) = self.allowed() {
            return Answer::Refused(TicketError::because(problem));
        }
        let plan = self.plan;
        for step in &plan.before {
            match self.step(step).await {
                Ok(_) => {}
                Err(broken) => return self.told(broken, step.call.reads),
            }
        }
        if let Work::Search { limit, .. } = &self.call.work {
            return self.search(*limit as usize).await;
        }
        if let (Work::Changes { cursor, offset, limit, .. }, Some(feed)) =
            (&self.call.work, &plan.feed)
        {
            return self.page_of_changes(feed, cursor.as_deref(), *offset, *limit).await;
        }
        let heard = match self.say(&plan.call, None).await {
            Ok(heard) => heard,
            Err(broken) => return self.told(broken, plan.call.reads),
        };
        self.keep(self.operation.name(), &plan.call, &heard);
        self.wrote |= !plan.call.reads;
        if let Some(later) = &plan.later
            && later.status.contains(&heard.answered.status)
        {
            let reference = later.reference.as_ref();
            let whole = heard.document.whole();
            let backend_ref = reference.and_then(|it| it.text(whole, &heard.answered.headers));
            return Answer::Acknowledged { backend_ref };
        }
        self.finish(heard).await
    }

    /// After the call itself was a success.
    async fn finish(&mut self, heard: Heard) -> Answer {
        let plan = self.plan;
        let read = &plan.read;
        if read.is_list() {
            return self.one_of_a_list(&heard);
        }
        let shown_id = read.id(self.shown(&heard));
        let known = match &self.call.work {
            Work::Create { ticket, .. } if read.id.is_none() => Some(ticket.key.to_string()),
            Work::Create { .. } => None,
            // An answer to a get that does not say which ticket it is, may be any page.
            Work::Get { .. } if read.id.is_some() && shown_id.is_none() => None,
            Work::Get { backend_id, .. } => Some(backend_id.clone()),
            Work::Update { ticket, .. }
            | Work::Close { ticket, .. }
            | Work::Reopen { ticket, .. } => ticket.backend_id.clone(),
            Work::Search { .. } | Work::Changes { .. } | Work::Probe => None,
        };
        if let Some(id) = known.as_ref().or(shown_id.as_ref()) {
            self.variables.set("backend_id", id.as_str());
        }
        let shows_later = self.plan.after.iter().any(|step| step.shows);
        let Some(id) = known.or(shown_id).or_else(|| shows_later.then(String::new)) else {
            return self.unreadable(&self.plan.call, &heard, "the ticket's id is not in it");
        };

        let mut found = read.ticket(id, self.shown(&heard));
        for step in &plan.after {
            match self.step(step).await {
                Ok(None) => {}
                Ok(Some(later)) if step.shows => {
                    let shown = self.shown(&later);
                    let id = Some(found.backend_id).filter(|id| !id.is_empty());
                    let Some(id) = id.or_else(|| read.id(shown)) else {
                        return self.unreadable(&step.call, &later, "the ticket's id is not in it");
                    };
                    found = read.ticket(id, shown);
                }
                Ok(Some(_)) => {}
                Err(broken) => return self.told(broken, step.call.reads),
            }
        }
        if found.backend_id.is_empty() {
            return self.unreadable(&self.plan.call, &heard, "the ticket's id is not in it");
        }
        match self.operation {
            Operation::Get => {
                let tickets = vec![read.whole(found)];
                Answer::Read(Reading { tickets, ..Reading::default() })
            }
            _ => Answer::Done(found),
        }
    }

    /// A get whose answer is a list: of one, or of none.
    fn one_of_a_list(&self, heard: &Heard) -> Answer {
        match self.plan.read.hits(self.shown(heard), 2) {
            Ok(page) if page.length <= 1 => {
                let whole = |found| self.plan.read.whole(found);
                let tickets = page.tickets.into_iter().map(whole).collect();
                Answer::Read(Reading { tickets, ..Reading::default() })
            }
            Ok(_) => self.unreadable(&self.plan.call, heard, "several tickets have this id"),
            Err(why_not) => self.unreadable(&self.plan.call, heard, &why_not),
        }
    }

    /// What the description asks for before anything is sent.
    fn allowed(&self) -> Result<(), String> {
        let name = self.operation.name();
        let nothing = Fields::new();
        let fields = match &self.call.work {
            Work::Create { fields, .. }
            | Work::Update { fields, .. }
            | Work::Close { fields, .. }
            | Work::Reopen { fields, .. } => fields,
            Work::Get { .. } | Work::Search { .. } | Work::Changes { .. } | Work::Probe => &nothing,
        };
        for (field, allowed) in &self.plan.needs {
            let given = fields.get(field).filter(|value| !value.is_null());
            let text = match given {
                None => return Err(format!("{name} needs the field {field}")),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            if text.is_empty() || !(allowed.is_empty() || allowed.contains(&text)) {
                let allowed = allowed.join(", ");
                return Err(format!("{name}: the field {field} must be one of: {allowed}"));
            }
        }
        if !self.plan.finds_by.is_empty() {
            let mut names = self.variables.entries().map(|(name, _)| name);
            if let Some(other) = names.find(|name| !self.plan.finds_by.contains(name)) {
                let names = self.plan.finds_by.join(", ");
                return Err(format!("search: {other} cannot be searched for; what can: {names}"));
            }
        }
        Ok(())
    }

    /// One step; none if it is left out.
    async fn step(&mut self, step: &StepPlan) -> Result<Option<Heard>, Broken> {
        if let Some(when) = &step.when {
            let templates = &self.inner.plan.templates;
            let is = templates.value(when, &self.variables.as_value());
            match is.map(|is| is.is_true()) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(problem) => return Err(Broken::Unsayable(format!("when: {problem}"))),
            }
        }
        let heard = self.say(&step.call, None).await?;
        self.wrote |= !step.call.reads;
        self.keep(&step.name, &step.call, &heard);
        Ok(Some(heard))
    }

    fn keep(&mut self, name: &str, call: &CallPlan, heard: &Heard) {
        let Heard { answered, document, .. } = heard;
        let kept = call.keep.iter().filter_map(|(name, place)| {
            Some((name.clone(), place.value(document.whole(), &answered.headers)?))
        });
        self.variables.keep(name, kept.collect());
    }

    pub(super) fn shown<'b>(&'b self, heard: &'b Heard) -> Shown<'b> {
        Shown {
            plan: &self.inner.plan,
            base: self.place.base.as_str(),
            variables: &self.variables,
            document: &heard.document,
            headers: &heard.answered.headers,
        }
    }

    pub(super) fn case<'b>(&'b self, call: &'b CallPlan) -> Case<'b> {
        let gets_one = self.operation == Operation::Get && std::ptr::eq(call, &self.plan.call);
        Case { plan: &self.inner.plan, call, variables: &self.variables, gets_one }
    }

    pub(super) fn unreadable(&self, call: &CallPlan, heard: &Heard, why_not: &str) -> Answer {
        self.case(call).unreadable(&heard.answered, &heard.document, why_not).answer()
    }
}
