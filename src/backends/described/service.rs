//! Where a call goes: the backend's own address, or that of one of its services.
//!
//! What always holds: a service changes the address, the user's name and the time-out, and nothing else of
//! what the description says; no secret is in it.
//!
//! What it leaves to others: which service a call is for (the gateway).

use super::Inner;
use crate::backends::connection;
use crate::words;
use reqwest::{Client, Url};
use std::borrow::Cow;
use ticketgate_actors::model::Service;

/// The address of one call, and what it is reached with.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub base: Url,
    pub client: Client,
    /// In the place of the sign-in's own.
    pub user: Option<String>,
}

impl Inner {
    /// Where calls to this service go; none: to the backend's own address.
    ///
    /// # Errors
    /// Why nothing can be sent there.
    pub fn place_of(&self, service: Option<&Service>) -> Result<Cow<'_, Place>, String> {
        let Some(service) = service else { return Ok(Cow::Borrowed(&self.place)) };
        let wrong = |problem| format!("service {}: {problem}", service.name);
        let base = connection::base_url(&service.base_url()).map_err(wrong)?;
        let client = if service.tls && connection::is_plain(&self.description) {
            let made = self.tls_client.get_or_init(|| {
                connection::tls_client(&self.description).map_err(|error| error.to_string())
            });
            made.clone().map_err(wrong)?
        } else {
            self.place.client.clone()
        };
        Ok(Cow::Owned(Place { base, client, user: service.user.clone() }))
    }

    /// # Errors
    /// The field at fault, and what is wrong with it.
    pub fn check_service(&self, service: &Service) -> Result<(), (&'static str, String)> {
        connection::base_url(&service.base_url()).map_err(|problem| ("host", problem))?;
        let takes_user = self.plan.credential.as_ref().is_some_and(|it| it.has_user());
        if service.user.is_some() && !takes_user {
            let what = "the backend's [auth] has no user that it could take the place of";
            return Err(("user", what.to_owned()));
        }
        let most = self.description.lane.timeout;
        if service.timeout.is_some_and(|timeout| timeout > most) {
            let most = words::format_duration(most);
            let what = format!("may not be longer than the backend's own timeout of {most}");
            return Err(("timeout", what));
        }
        Ok(())
    }
}
