//! One request of an operation, and its answer.
//!
//! What always holds: the clock is looked at just before the first one; all others share its time-out. It
//! is made once, and once more where a token of ours was refused (rule G12).

use super::conversation::{Conversation, Heard};
use super::exchange::{Exchange, Limits, exchange};
use super::failing::Broken;
use super::judge::Verdict;
use super::plan::CallPlan;
use super::request::{Making, request};
use super::service::Place;
use super::wire::Means;
use super::{Inner, causes};
use reqwest::Url;
use tokio::time::Instant;

impl Conversation<'_> {
    /// One request and its answer; once more where a token of ours was refused.
    pub(super) async fn say(
        &mut self,
        call: &CallPlan,
        page: Option<&Url>,
    ) -> Result<Heard, Broken> {
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
        let Inner { clock, plan, .. } = self.inner;
        let Place { base, client, user } = &*self.place;
        let user = user.as_deref();
        let credential = plan.credential.as_ref();
        let mut lent = None;
        if let Some(oauth) = credential.and_then(|credential| credential.token()) {
            let left = self.ends.map(|ends| ends.saturating_duration_since(Instant::now()));
            let patience = left.unwrap_or(self.call.timeout);
            match oauth.lend(&self.inner.place.client, &**clock, patience).await {
                Ok(token) => lent = Some(token),
                Err(failed) => return (Err(Broken::SignIn(failed)), None),
            }
        }
        let number = lent.as_ref().map(|lent| lent.number);
        let security = match credential {
            Some(credential) => match credential.envelope_header(clock.now().wall, user).await {
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
            filled = match credential.put_into(filled, token, user).await {
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
        let url = request.url().clone();
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
        self.quiet = self.quiet.max(answered.quiet);
        self.http_status = Some(answered.status);
        self.clock = answered.clock;
        let verdict = self.case(call).judge(&answered);
        let heard = match verdict {
            Verdict::Success(document) => Ok(Heard { url, answered, document }),
            Verdict::Failed(failed) => Err(Broken::Failed(failed)),
        };
        (heard, number)
    }
}
