//! Who asks, and what that one may do: roles, and the backends that a token is limited to.
//!
//! What always holds: every handler that changes something has a [`Caller`], put there by the guard
//! after it has looked at what was brought; a handler that is reached without one refuses. The name that
//! is audited is the caller's.

use super::problem::Problem;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::sync::Arc;
use ticketgate_actors::model::{BackendId, Timestamp};

/// Who acts where no token is configured.
const SOMEBODY: &str = "operator";

/// What somebody may do; each may what those before it may.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything but the config.
    #[default]
    Viewer,
    /// Send alarms and commands.
    Submitter,
    /// Decide: settle, retry, hold, mend.
    Operator,
    /// Change how the service works.
    Admin,
}

impl Role {
    /// The word in the config and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// How somebody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// No token is configured: whoever reaches the port may act.
    Open,
    /// A token came with the request.
    Token,
    /// A session, which ends then if it is not used before.
    Session(Timestamp),
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name, as the audit has it.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// The only backends that they may see and act on; none: all.
    pub backends: Option<Arc<BTreeSet<BackendId>>>,
    /// How they were let in.
    pub by: By,
}

impl Caller {
    /// Whoever it is, where nobody is asked.
    pub fn somebody() -> Self {
        Self { name: SOMEBODY.into(), role: Role::Admin, backends: None, by: By::Open }
    }

    /// The name for the audit.
    pub fn who(&self) -> String {
        self.name.to_string()
    }

    /// May this one see what is of that backend?
    pub fn sees(&self, backend: &BackendId) -> bool {
        self.backends.as_ref().is_none_or(|only| only.contains(backend))
    }

    /// Refuses what is of a backend that is not theirs.
    ///
    /// # Errors
    /// 403.
    pub fn must_see(&self, backend: &BackendId) -> Result<(), Problem> {
        match self.sees(backend) {
            true => Ok(()),
            false => Err(Problem::forbidden(format!(
                "{} is limited to other backends than {backend}",
                self.name
            ))),
        }
    }

    /// Refuses whoever is limited to some backends, where something concerns all.
    ///
    /// # Errors
    /// 403.
    pub fn must_see_all(&self) -> Result<(), Problem> {
        match &self.backends {
            None => Ok(()),
            Some(_) => Err(Problem::forbidden(format!(
                "this concerns every backend, and {} is limited to some",
                self.name
            ))),
        }
    }

    /// The one backend to which a list must be limited, where this one sees not all: the backend that
    /// was asked for, or the only one there is.
    ///
    /// # Errors
    /// 403 for another one's; 400 where it must be said which.
    pub fn list_of(&self, asked: Option<&str>) -> Result<Option<BackendId>, Problem> {
        let asked = asked.map(BackendId::new);
        match (&self.backends, asked) {
            (None, asked) => Ok(asked),
            (Some(_), Some(asked)) => self.must_see(&asked).map(|()| Some(asked)),
            (Some(only), None) => match only.iter().next() {
                Some(one) if only.len() == 1 => Ok(Some(one.clone())),
                _ => {
                    let names: Vec<_> = only.iter().map(BackendId::as_str).collect();
                    let detail = format!("say which backend: {}", names.join(", "));
                    Err(Problem::field("backend", detail))
                }
            },
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        ready(caller.ok_or_else(|| Problem::unauthorised("sign in")))
    }
}
