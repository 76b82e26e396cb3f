//! Who we say we are.
//!
//! What always holds: a secret is shown to nobody but the header that carries it; no error repeats
//! it, not even one about its type. A secret in a file is read anew for each call, so that a new
//! one needs no restart.
//!
//! What it leaves to others: what a refusal of it means (`rest::judge`).

use crate::secrets::Secret;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use std::path::{Path, PathBuf};

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
        /// All of its value.
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
}

/// Where a secret is.
#[derive(Clone, Debug)]
enum Source {
    Text(Secret),
    File(PathBuf),
}

#[derive(Clone, Debug)]
enum Scheme {
    Basic { user: String },
    Header(HeaderName),
    Bearer,
}

/// A checked [`Auth`].
#[derive(Clone, Debug)]
pub(super) struct Credential {
    scheme: Scheme,
    source: Source,
}

impl Credential {
    /// Checks the description; none where nothing is to be sent.
    ///
    /// # Errors
    /// The key below `auth`, and what is wrong with it.
    pub fn of(auth: &Auth) -> Result<Option<Self>, (&'static str, String)> {
        let (scheme, text, file, key) = match auth {
            Auth::None => return Ok(None),
            Auth::Basic { user, password, password_file } => {
                (Scheme::Basic { user: user.clone() }, password, password_file, "password")
            }
            Auth::Bearer { token, token_file } => (Scheme::Bearer, token, token_file, "token"),
            Auth::Header { name, value, value_file } => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| ("name", "this is not the name of a header".to_owned()))?;
                (Scheme::Header(name), value, value_file, "value")
            }
        };
        let source = match (text, file) {
            (Some(text), None) => Source::Text(text.clone()),
            (None, Some(file)) => Source::File(file.clone()),
            _ => return Err((key, format!("give either {key} or {key}_file"))),
        };
        Ok(Some(Self { scheme, source }))
    }

    /// Whether it could be sent now: reads the file, if it is in one.
    pub fn check(&self) -> Result<(), String> {
        match &self.source {
            Source::Text(text) => header_value(text).map(|_| ()),
            Source::File(path) => {
                header_value(&from_file(path, std::fs::read_to_string(path))?).map(|_| ())
            }
        }
    }

    /// Puts it into a request.
    ///
    /// # Errors
    /// When its file cannot be read, or no header can carry it.
    pub async fn put_into(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let secret = match &self.source {
            Source::Text(text) => text.clone(),
            Source::File(path) => from_file(path, tokio::fs::read_to_string(path).await)?,
        };
        let value = header_value(&secret)?;
        Ok(match &self.scheme {
            Scheme::Basic { user } => request.basic_auth(user, Some(secret.expose())),
            Scheme::Bearer => request.bearer_auth(secret.expose()),
            Scheme::Header(name) => request.header(name, value),
        })
    }
}

fn header_value(secret: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_bytes(secret.expose().as_bytes())
        .map_err(|_| "the secret holds what no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn from_file(path: &Path, read: std::io::Result<String>) -> Result<Secret, String> {
    let text = read.map_err(|error| format!("the secret's file {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}
