//! Who we say we are.
//!
//! What always holds: a secret is shown to nobody but the request that carries it; no error repeats
//! it, not even one about its type. A secret in a file is read anew for each call, so that a new one
//! needs no restart.
//!
//! What it leaves to others: what a refusal of it means (`described::judge`); certificates of ours
//! (`connection`).

mod oauth;
mod source;
mod wsse;

pub(super) use oauth::{Oauth2, SignInFailed};
pub use oauth::{Oauth2Description, SendSecret};
pub use wsse::{PasswordType, WsseDescription};

use crate::secrets::Secret;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use source::Source;
use std::path::PathBuf;
use ticketgate_actors::model::Timestamp;
use wsse::Wsse;

/// `[backend.auth]`, by `type`. Of a secret and its file exactly one is given; a file's last line
/// break does not count.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Nothing is sent. The default.
    #[default]
    None,
    /// `Authorization: Basic`.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Option<Secret>,
        /// Or the file that holds it.
        password_file: Option<PathBuf>,
    },
    /// Any header, such as `X-Redmine-API-Key`, or `Authorization` with the value `token T`.
    Header {
        /// The header's name.
        name: String,
        /// What stands before the secret, such as `token `. Default nothing.
        #[serde(default)]
        prefix: String,
        /// The value.
        value: Option<Secret>,
        /// Or the file that holds it.
        value_file: Option<PathBuf>,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Option<Secret>,
        /// Or the file that holds it.
        token_file: Option<PathBuf>,
    },
    /// A bearer token that is requested with client credentials.
    Oauth2(Oauth2Description),
    /// WS-Security: a UsernameToken in the header of each envelope.
    Wsse(WsseDescription),
}

#[derive(Debug)]
enum Scheme {
    Basic { user: String, password: Source },
    Header { name: HeaderName, prefix: String, value: Source },
    Bearer(Source),
    Oauth2(Box<Oauth2>),
    Wsse(Wsse),
}

/// A checked [`Auth`].
#[derive(Debug)]
pub(super) struct Credential(Scheme);

impl Credential {
    /// Checks the description; none where nothing is to be sent.
    ///
    /// # Errors
    /// The key below `auth`, and what is wrong with it.
    pub fn of(auth: &Auth) -> Result<Option<Self>, (&'static str, String)> {
        Ok(Some(Self(match auth {
            Auth::None => return Ok(None),
            Auth::Basic { user, password, password_file } => {
                let password = Source::of("password", password, password_file)?;
                Scheme::Basic { user: user.clone(), password }
            }
            Auth::Bearer { token, token_file } => {
                Scheme::Bearer(Source::of("token", token, token_file)?)
            }
            Auth::Header { name, prefix, value, value_file } => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| ("name", "this is not the name of a header".to_owned()))?;
                let value = Source::of("value", value, value_file)?;
                Scheme::Header { name, prefix: prefix.clone(), value }
            }
            Auth::Oauth2(described) => Scheme::Oauth2(Box::new(Oauth2::of(described)?)),
            Auth::Wsse(described) => Scheme::Wsse(Wsse::of(described)?),
        })))
    }

    /// Whether it stands in envelopes, which only SOAP has.
    pub fn is_in_envelope(&self) -> bool {
        matches!(self.0, Scheme::Wsse(_))
    }

    /// Whether it could be sent now: reads the file, if it is in one.
    pub fn check(&self) -> Result<(), String> {
        let header = |source: &Source| header_value("", &source.read()?).map(|_| ());
        match &self.0 {
            Scheme::Basic { password, .. } => password.read().map(|_| ()),
            Scheme::Header { value, .. } => header(value),
            Scheme::Bearer(token) => header(token),
            Scheme::Oauth2(oauth) => oauth.check(),
            Scheme::Wsse(wsse) => wsse.check(),
        }
    }

    /// Where a token must be requested first: what does that.
    pub fn token(&self) -> Option<&Oauth2> {
        match &self.0 {
            Scheme::Oauth2(oauth) => Some(oauth),
            _ => None,
        }
    }

    /// Its type, as the config names it.
    pub fn word(&self) -> &'static str {
        match &self.0 {
            Scheme::Basic { .. } => "basic",
            Scheme::Header { .. } => "header",
            Scheme::Bearer(_) => "bearer",
            Scheme::Oauth2(_) => "oauth2",
            Scheme::Wsse(_) => "wsse",
        }
    }

    /// Whether a user's name is part of it.
    pub fn has_user(&self) -> bool {
        matches!(self.0, Scheme::Basic { .. } | Scheme::Wsse(_))
    }

    /// Puts it into a request. `token` is what was requested for it, `as_user` takes the place of its
    /// user.
    ///
    /// # Errors
    /// When its file cannot be read, or no header can carry it.
    pub async fn put_into(
        &self,
        request: RequestBuilder,
        token: Option<&Secret>,
        as_user: Option<&str>,
    ) -> Result<RequestBuilder, String> {
        Ok(match &self.0 {
            Scheme::Basic { user, password } => {
                let user = as_user.unwrap_or(user);
                request.basic_auth(user, Some(password.read_later().await?.expose()))
            }
            Scheme::Header { name, prefix, value } => {
                request.header(name, header_value(prefix, &value.read_later().await?)?)
            }
            Scheme::Bearer(token) => {
                let value = header_value("Bearer ", &token.read_later().await?)?;
                request.header(reqwest::header::AUTHORIZATION, value)
            }
            Scheme::Oauth2(_) => match token {
                Some(token) => {
                    let value = header_value("Bearer ", token)?;
                    request.header(reqwest::header::AUTHORIZATION, value)
                }
                None => return Err("no token was requested".to_owned()),
            },
            Scheme::Wsse(_) => request,
        })
    }

    /// What the envelope's header holds of it, at this moment.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub async fn envelope_header(
        &self,
        now: Timestamp,
        as_user: Option<&str>,
    ) -> Result<Option<String>, String> {
        match &self.0 {
            Scheme::Wsse(wsse) => wsse.header(now, as_user).await.map(Some),
            _ => Ok(None),
        }
    }
}

fn header_value(prefix: &str, secret: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_bytes([prefix, secret.expose()].concat().as_bytes())
        .map_err(|_| "the secret holds what no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
