//! Who asks, and what that one may do: roles, and the backends that a token is limited to.
//!
//! What always holds: every handler that changes something has a [`Caller`], put there by the guard
//! after it has looked at what was brought; a handler that is reached without one refuses. The name that
//! is audited is the caller's. Of whom a token is limited to some backends, `endpoints::Scope` says what
//! each endpoint leaves.

use super::problem::Problem;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::future::{Ready, ready};
use std::sync::Arc;
use ticketgate_actors::model::{Alarm, BackendId, Timestamp};

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

    /// The backends of which a list is made, each to be asked for by itself; none: all together.
    ///
    /// # Errors
    /// 403 for one that is not theirs.
    pub fn lists_of(&self, asked: Option<&str>) -> Result<Vec<Option<BackendId>>, Problem> {
        let asked = asked.map(BackendId::new);
        match (&self.backends, asked) {
            (None, asked) => Ok(vec![asked]),
            (Some(_), Some(asked)) => self.must_see(&asked).map(|()| vec![Some(asked)]),
            (Some(only), None) => Ok(only.iter().cloned().map(Some).collect()),
        }
    }

    /// May this one see an alarm? What policy gives to no backend is for whoever may look at alarms: it is
    /// they who ask why there is no ticket, and whose ticket it may yet become.
    pub fn sees_alarm(&self, alarm: &Alarm) -> bool {
        alarm.backend.as_ref().is_none_or(|backend| self.sees(backend))
    }

    /// Does this one see every backend?
    pub fn sees_all(&self) -> bool {
        self.backends.is_none()
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
