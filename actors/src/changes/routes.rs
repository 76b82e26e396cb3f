//! Where the final answers of a backend's work go that no command sends elsewhere: set by a person, in
//! the place of what the config says.

use super::{Applied, Halt, Refusal};
use crate::model::{BackendId, Route, Timestamp};
use crate::ports::Tx;

/// A person sets a backend's route, or takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRoute {
    /// Whose answers.
    pub backend: BackendId,
    /// Where they go; none: where the config says.
    pub route: Option<Route>,
    /// It must not be there yet.
    pub only_new: bool,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

pub(super) fn set(tx: &mut dyn Tx, it: &SetRoute, now: Timestamp) -> Result<Applied, Halt> {
    let before = tx.route(&it.backend)?;
    if it.only_new && before.is_some() {
        return Err(Refusal::Conflict.into());
    }
    if it.route.is_none() && before.is_none() {
        return Err(Refusal::NotFound.into());
    }
    tx.put_route(&it.backend, it.route.as_ref())?;
    let what = match &it.route {
        Some(route) => format!(
            "route of {} set to exchange {:?}, key {:?}",
            it.backend, route.exchange, route.key
        ),
        None => format!("route of {} removed", it.backend),
    };
    tx.audit(now, &it.who, &what, &it.why)?;
    Ok(Applied::Done)
}
