//! One operation, from its first request to the lane's answer: the steps before its call, the call,
//! the pages of a search, the steps after it.
//!
//! What always holds: one request at a time, all within the call's time-out, and no repeat but one:
//! where a token of ours was refused, the request is made once more with a new one. Until something
//! was written, a failure is told as it is: nothing was done. After that, whatever the description
//! does not itself call a refusal is in doubt, for part of it was done.
//!
//! What it leaves to others: what one answer means (`judge`), order and retries (the lane).

use super::exchange::{Answered, Exchange, Limits, exchange};
use super::judge::{Case, Failed, Verdict};
use super::plan::{CallPlan, Operation, OperationPlan, StepPlan};
use super::reading::Shown;
use super::request::next_page;
use super::request::{Making, request};
use super::selectors::Document;
use super::variables::Variables;
use super::wire::{Means, PagingBy};
use super::{Inner, causes};
use crate::backends::auth::SignInFailed;
use reqwest::Url;
use serde_json::Value;
use ticketgate_actors::model::{Fields, TicketError};
use ticketgate_actors::ports::{Answer, Call, Reading, Work};
use tokio::time::Instant;

/// An operation under way.
pub(super) struct Conversation<'a> {
    pub inner: &'a Inner,
    pub call: &'a Call,
    pub operation: Operation,
    pub plan: &'a OperationPlan,
    pub variables: Variables,
    /// When the first request was about to be sent, all must end at this.
    ends: Option<Instant>,
    /// Something may have been changed there.
    wrote: bool,
}

/// An answer that was a success.
pub(super) struct Heard {
    pub answered: Answered,
    pub document: Document,
}

/// Why a request came to no success.
enum Broken {
    /// It could not be filled in.
    Unsayable(String),
    NotSent(String),
    Lost(String),
    SignIn(SignInFailed),
    Failed(Failed),
}

impl<'a> Conversation<'a> {
    pub fn new(inner: &'a Inner, call: &'a Call, plan: &'a OperationPlan) -> Self {
        let operation = Operation::of(&call.work);
        let variables = Variables::of(call);
        Self { inner, call, operation, plan, variables, ends: None, wrote: false }
    }

    /// Carries it out.
    pub async fn run(mut self) -> Answer {
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
        let heard = match self.say(&plan.call, None).await {
            Ok(heard) => heard,
            Err(broken) => return self.told(broken, plan.call.reads),
        };
        self.keep(self.operation.name(), &plan.call, &heard);
        self.wrote |= !plan.call.reads;
        self.finish(heard).await
    }

    /// After the call itself was a success.
    async fn finish(mut self, heard: Heard) -> Answer {
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
            Work::Search { .. } => None,
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
            Operation::Get => Answer::Read(Reading { tickets: vec![found], more: false }),
            _ => Answer::Done(found),
        }
    }

    /// A get whose answer is a list: of one, or of none.
    fn one_of_a_list(&self, heard: &Heard) -> Answer {
        match self.plan.read.hits(self.shown(heard), 2) {
            Ok(page) if page.length <= 1 => {
                Answer::Read(Reading { tickets: page.tickets, more: false })
            }
            Ok(_) => self.unreadable(&self.plan.call, heard, "several tickets have this id"),
            Err(why_not) => self.unreadable(&self.plan.call, heard, &why_not),
        }
    }

    /// The pages of a search, until there are enough.
    async fn search(mut self, limit: usize) -> Answer {
        let mut tickets: Vec<ticketgate_actors::model::Found> = Vec::new();
        let mut at: Option<Url> = None;
        let mut held = 0;
        let plan = self.plan;
        let paging = plan.paging.as_ref();
        let size = paging.map_or(limit, |paging| (paging.size as usize).min(limit));
        for number in 0.. {
            if let Some(paging) = paging {
                self.variables.set("page", paging.first + number);
                self.variables.set("offset", held as u64);
                self.variables.set("page_size", size as u64);
            }
            let heard = match self.say(&plan.call, at.as_ref()).await {
                Ok(heard) => heard,
                Err(broken) => return self.told(broken, true),
            };
            let left = limit - tickets.len();
            let page = match self.plan.read.hits(self.shown(&heard), left) {
                Ok(page) => page,
                Err(why_not) => return self.unreadable(&self.plan.call, &heard, &why_not),
            };
            held += page.length;
            for found in page.tickets {
                // What moves while it is read may be on two pages.
                if !tickets.iter().any(|known| known.backend_id == found.backend_id) {
                    tickets.push(found);
                }
            }
            let next = paging.and_then(|paging| paging.next.as_ref());
            let told =
                next.and_then(|next| next.text(heard.document.whole(), &heard.answered.headers));
            let counted = page.total.map(|total| total > held as u64);
            // Where nothing tells, a page that is full may have a next one.
            let by_length = || page.more.is_none() && page.total.is_none() && page.length >= size;
            let more = page.more == Some(true)
                || counted == Some(true)
                || match next {
                    Some(_) => told.is_some(),
                    None => by_length(),
                };
            let more_than_taken = page.length > left;
            let pages = paging.map_or(1, |paging| paging.pages);
            let has_next = match (paging, next) {
                (None, _) => false,
                (Some(_), Some(_)) => told.is_some(),
                (Some(_), None) => more && page.length > 0,
            };
            if tickets.len() >= limit || !has_next || number + 1 >= pages {
                return Answer::Read(Reading { tickets, more: more || more_than_taken });
            }
            let told = told.unwrap_or_default();
            match paging.map(|paging| paging.by) {
                Some(PagingBy::Link) => {
                    let from = at.as_ref().unwrap_or(&self.inner.base);
                    match next_page(&self.inner.base, from, &told) {
                        Ok(url) => at = Some(url),
                        Err(why_not) => return self.unreadable(&self.plan.call, &heard, &why_not),
                    }
                }
                Some(PagingBy::Cursor) => self.variables.set("cursor", told),
                _ => {}
            }
        }
        unreachable!("the pages are bounded")
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
            Work::Get { .. } | Work::Search { .. } => &nothing,
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
            let names = self.variables.entries();
            let other = names.iter().map(|(name, _)| name.to_string());
            let other = other.into_iter().find(|name| !self.plan.finds_by.contains(name));
            if let Some(other) = other {
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
        let Heard { answered, document } = heard;
        let kept = call.keep.iter().filter_map(|(name, place)| {
            Some((name.clone(), place.value(document.whole(), &answered.headers)?))
        });
        self.variables.keep(name, kept.collect());
    }

    fn shown<'b>(&'b self, heard: &'b Heard) -> Shown<'b> {
        Shown {
            plan: &self.inner.plan,
            base: self.inner.base.as_str(),
            variables: &self.variables,
            document: &heard.document,
            headers: &heard.answered.headers,
        }
    }

    /// One request and its answer; once more where a token of ours was refused.
    async fn say(&mut self, call: &CallPlan, page: Option<&Url>) -> Result<Heard, Broken> {
        let mut again = true;
        loop {
            let (heard, lent) = self.say_once(call, page).await;
            let token = self.inner.plan.credential.as_ref().and_then(|c| c.token());
            match (heard, token.zip(lent)) {
                (Err(Broken::Failed(failed)), Some((token, number)))
                    if failed.means == Means::Unauthorised =>
                {
                    token.drop_token(number).await;
                    if !again {
                        return Err(Broken::Failed(failed));
                    }
                    again = false;
                }
                (heard, _) => return heard,
            }
        }
    }

    async fn say_once(
        &mut self,
        call: &CallPlan,
        page: Option<&Url>,
    ) -> (Result<Heard, Broken>, Option<u64>) {
        let Inner { client, clock, base, plan, .. } = self.inner;
        let credential = plan.credential.as_ref();
        let mut lent = None;
        if let Some(oauth) = credential.and_then(|credential| credential.token()) {
            let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
            let patience = left.unwrap_or(self.call.timeout);
            match oauth.lend(client, &**clock, patience).await {
                Ok(token) => lent = Some(token),
                Err(failed) => return (Err(Broken::SignIn(failed)), None),
            }
        }
        let number = lent.as_ref().map(|lent| lent.number);
        let security = match credential {
            Some(credential) => match credential.envelope_header(clock.now().wall).await {
                Ok(header) => header,
                Err(problem) => return (Err(Broken::NotSent(problem)), number),
            },
            None => None,
        };
        let making = Making { client, base, plan, variables: &self.variables, page, security };
        let mut filled = match request(making, call) {
            Ok(request) => request,
            Err(problem) => {
                let problem = format!("{}.{problem}", call.label);
                return (Err(Broken::Unsayable(problem)), number);
            }
        };
        if let Some(credential) = credential {
            let token = lent.as_ref().map(|lent| &lent.secret);
            filled = match credential.put_into(filled, token).await {
                Ok(request) => request,
                Err(problem) => return (Err(Broken::NotSent(problem)), number),
            };
        }
        let request = match filled.build() {
            Ok(request) => request,
            Err(error) => {
                return (Err(Broken::Unsayable(format!("no request: {}", causes(&error)))), number);
            }
        };
        let first = self.ends.is_none();
        let ends = *self.ends.get_or_insert_with(|| Instant::now() + self.call.timeout);
        let limits = Limits {
            send_by: first.then_some(self.call.send_by),
            ends,
            timeout: self.call.timeout,
            answer_bytes: self.inner.answer_bytes,
        };
        let answered = match exchange(client, request, &limits, &**clock).await {
            Exchange::NotSent(reason) => return (Err(Broken::NotSent(reason)), number),
            Exchange::Lost(reason) => return (Err(Broken::Lost(reason)), number),
            Exchange::Answered(answered) => answered,
        };
        let verdict = self.case(call).judge(&answered);
        let heard = match verdict {
            Verdict::Success(document) => Ok(Heard { answered, document }),
            Verdict::Failed(failed) => Err(Broken::Failed(failed)),
        };
        (heard, number)
    }

    fn case<'b>(&'b self, call: &'b CallPlan) -> Case<'b> {
        let gets_one = self.operation == Operation::Get && std::ptr::eq(call, &self.plan.call);
        Case { plan: &self.inner.plan, call, variables: &self.variables, gets_one }
    }

    fn unreadable(&self, call: &CallPlan, heard: &Heard, why_not: &str) -> Answer {
        self.case(call).unreadable(&heard.answered, &heard.document, why_not).answer()
    }

    /// What the lane hears of a request that came to no success.
    fn told(&self, broken: Broken, reads: bool) -> Answer {
        if self.wrote {
            return in_part_done(self.operation, broken);
        }
        let is_read = self.operation.is_read();
        match broken {
            Broken::Unsayable(problem) => Answer::Refused(TicketError::because(problem)),
            Broken::NotSent(reason) | Broken::SignIn(SignInFailed::Away(reason)) => {
                Answer::NotSent(reason)
            }
            Broken::SignIn(SignInFailed::Refused(error)) => Answer::Unauthorised(error),
            // A step that only reads was lost: of the write nothing was sent.
            Broken::Lost(reason) if reads && !is_read => Answer::NotSent(reason),
            Broken::Lost(reason) => Answer::InDoubt(TicketError::because(reason)),
            Broken::Failed(failed) => self.failed(failed, reads),
        }
    }

    fn failed(&self, failed: Failed, reads: bool) -> Answer {
        let is_read = self.operation.is_read();
        let is_step = failed_in_step(&failed, &self.plan.call);
        match failed.means {
            // Of a look only its own call says that there is nothing.
            Means::Absent if is_read && is_step => Answer::InDoubt(failed.error),
            Means::Absent if !is_read => Answer::Refused(failed.error),
            Means::InDoubt if reads && !is_read => {
                Answer::Retryable { error: failed.error, retry_after: failed.retry_after }
            }
            _ => failed.answer(),
        }
    }
}

/// Whether a failure is another call's than the operation's own.
fn failed_in_step(failed: &Failed, call: &CallPlan) -> bool {
    failed.label != call.label
}

fn in_part_done(operation: Operation, broken: Broken) -> Answer {
    let doubt = |reason: String| {
        let reason = format!("part of the {} was done, then: {reason}", operation.name());
        Answer::InDoubt(TicketError::because(reason))
    };
    match broken {
        Broken::Failed(Failed { means: Means::Refused, error, described: true, .. }) => {
            Answer::Refused(error)
        }
        Broken::Failed(failed) => {
            let reason =
                format!("part of the {} was done, then: {}", operation.name(), failed.error.reason);
            Answer::InDoubt(TicketError { reason, ..failed.error })
        }
        Broken::Unsayable(reason) | Broken::NotSent(reason) | Broken::Lost(reason) => doubt(reason),
        Broken::SignIn(SignInFailed::Away(reason)) => doubt(reason),
        Broken::SignIn(SignInFailed::Refused(error)) => doubt(error.reason),
    }
}
