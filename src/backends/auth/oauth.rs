//! OAuth2 client credentials (RFC 6749, 4.4): a token that is requested, kept, and renewed before it
//! expires.
//!
//! What always holds: one request for a token at a time; nothing of the ticket's call has been sent
//! while one is under way. A token that the backend refuses is dropped, once; whoever comes with an
//! older one does not drop the new. Neither token nor secret is in an error.
//!
//! What it leaves to others: the call, and the second one after a 401 (`described::conversation`).

use super::source::Source;
use crate::backends::described::{Exchange, Limits, exchange};
use crate::secrets::Secret;
use crate::words;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;
use ticketgate_actors::model::{Mono, TicketError, Timestamp};
use ticketgate_actors::ports::{Clock, TokenState};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Tokens and what stands around them are small.
const ANSWER_BYTES: usize = 64 * 1024;
/// How long a token lasts that does not say it.
const UNTOLD_LIFE: Duration = Duration::from_secs(300);

/// `[backend.auth]` with `type = "oauth2"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth2Description {
    /// Where tokens are requested: `http://` or `https://`.
    pub token_url: String,
    /// Who asks.
    pub client_id: String,
    /// The secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// Or the file that holds it.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What it is asked for; all of it must be granted. Default nothing.
    #[serde(default)]
    pub scope: Option<String>,
    /// `basic` (a header) or `body`. Default `basic`.
    #[serde(default)]
    pub send: SendSecret,
    /// More of what the request says, such as `audience`.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// A new token is requested so long before the old one expires. Default 60s.
    #[serde(default = "a_minute", with = "words::duration")]
    pub refresh_before: Duration,
}

/// Where client id and secret stand in the request for a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendSecret {
    /// `Authorization: Basic`.
    #[default]
    Basic,
    /// In the form.
    Body,
}

fn a_minute() -> Duration {
    Duration::from_secs(60)
}

/// Why there is no token.
#[derive(Debug)]
pub(in crate::backends) enum SignInFailed {
    /// Nobody answered, or nothing that makes sense: later.
    Away(String),
    /// We are refused.
    Refused(TicketError),
}

#[derive(Clone, Debug)]
struct Token {
    secret: Secret,
    /// From here on a new one is requested.
    renew_at: Mono,
    /// For people.
    expires: Timestamp,
    number: u64,
}

#[derive(Debug)]
pub(in crate::backends) struct Oauth2 {
    url: Url,
    client_id: String,
    client_secret: Source,
    scope: Option<String>,
    send: SendSecret,
    parameters: BTreeMap<String, String>,
    refresh_before: Duration,
    /// One request at a time.
    token: Mutex<(Option<Token>, u64)>,
    /// For people, who must not wait for a request that is under way.
    shown: std::sync::Mutex<TokenState>,
}

/// A token for one call, and its number by which it can be dropped.
#[derive(Clone, Debug)]
pub(in crate::backends) struct Lent {
    pub secret: Secret,
    pub expires: Timestamp,
    pub number: u64,
}

impl Oauth2 {
    pub fn of(described: &Oauth2Description) -> Result<Self, (&'static str, String)> {
        let url = crate::backends::connection::base_url(&described.token_url)
            .map_err(|problem| ("token_url", problem))?;
        let (text, file) = (&described.client_secret, &described.client_secret_file);
        let client_secret = Source::of("client_secret", text, file)?;
        for name in ["grant_type", "client_id", "client_secret", "scope"] {
            if described.parameters.contains_key(name) {
                return Err(("parameters", format!("{name} has a key of its own")));
            }
        }
        Ok(Self {
            url,
            client_id: described.client_id.clone(),
            client_secret,
            scope: described.scope.clone(),
            send: described.send,
            parameters: described.parameters.clone(),
            refresh_before: described.refresh_before,
            token: Mutex::new((None, 0)),
            shown: std::sync::Mutex::default(),
        })
    }

    pub fn check(&self) -> Result<(), String> {
        self.client_secret.read().map(|_| ())
    }

    /// The token that there is, or a new one.
    pub async fn lend(
        &self,
        client: &Client,
        clock: &dyn Clock,
        timeout: Duration,
    ) -> Result<Lent, SignInFailed> {
        self.lend_from(self.token.lock().await, client, clock, timeout).await
    }

    /// A new token, whatever there was: a person wants it so.
    pub async fn renew(
        &self,
        client: &Client,
        clock: &dyn Clock,
        timeout: Duration,
    ) -> Result<Lent, SignInFailed> {
        let mut held = self.token.lock().await;
        held.0 = None;
        self.lend_from(held, client, clock, timeout).await
    }

    /// How it stands, for people.
    pub fn shown(&self) -> TokenState {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, state: TokenState) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    async fn lend_from(
        &self,
        mut held: MutexGuard<'_, (Option<Token>, u64)>,
        client: &Client,
        clock: &dyn Clock,
        timeout: Duration,
    ) -> Result<Lent, SignInFailed> {
        let (kept, number) = &mut *held;
        match kept {
            Some(token) if clock.now().mono < token.renew_at => {}
            _ => {
                *kept = None;
                let requested = self.request(client, clock, timeout).await;
                let (secret, life) = requested.inspect_err(|why| {
                    let reason = match why {
                        SignInFailed::Away(reason) => reason.clone(),
                        SignInFailed::Refused(error) => error.in_words(),
                    };
                    let error = Some((clock.now().wall, reason));
                    self.show(TokenState { expires: None, error });
                })?;
                *number += 1;
                let renew_at = clock.now().mono.plus(life.saturating_sub(self.refresh_before));
                let expires = clock.now().wall.plus(life);
                self.show(TokenState { expires: Some(expires), error: None });
                *kept = Some(Token { secret, renew_at, expires, number: *number });
            }
        }
        let token = kept.as_ref().expect("it was there, or was put there just now");
        Ok(Lent { secret: token.secret.clone(), expires: token.expires, number: token.number })
    }

    /// The backend refused this one.
    pub async fn drop_token(&self, number: u64) {
        let mut held = self.token.lock().await;
        if held.0.as_ref().is_some_and(|token| token.number == number) {
            held.0 = None;
            self.show(TokenState { expires: None, ..self.shown() });
        }
    }

    async fn request(
        &self,
        client: &Client,
        clock: &dyn Clock,
        timeout: Duration,
    ) -> Result<(Secret, Duration), SignInFailed> {
        let secret = self.client_secret.read_later().await.map_err(SignInFailed::Away)?;
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        form.extend(self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if self.send == SendSecret::Body {
            form.extend([
                ("client_id", self.client_id.as_str()),
                ("client_secret", secret.expose()),
            ]);
        }
        let mut request = client
            .post(self.url.clone())
            .header(reqwest::header::ACCEPT, "application/json")
            .form(&form);
        if self.send == SendSecret::Basic {
            request = request.basic_auth(&self.client_id, Some(secret.expose()));
        }
        let request = request
            .build()
            .map_err(|_| SignInFailed::Away("no request for a token can be made".to_owned()))?;
        let limits = Limits {
            send_by: None,
            ends: Instant::now() + timeout,
            timeout,
            answer_bytes: ANSWER_BYTES,
        };
        let answered = match exchange(client, request, &limits, clock).await {
            Exchange::Answered(answered) => answered,
            Exchange::NotSent(reason) | Exchange::Lost(reason) => {
                return Err(SignInFailed::Away(format!("no token: {reason}")));
            }
        };
        let document: Value = serde_json::from_slice(&answered.body).unwrap_or_default();
        let word = |name: &str| document.get(name).and_then(Value::as_str);
        let refused = |reason: String| {
            SignInFailed::Refused(TicketError {
                reason,
                http_status: Some(answered.status),
                code: word("error").map(shortened),
                description: word("error_description").map(shortened),
            })
        };
        match (answered.status, word("access_token")) {
            (200, Some(token)) if !token.is_empty() => {
                self.granted(word("scope")).map_err(&refused)?;
                let life = document.get("expires_in").and_then(|life| match life {
                    Value::String(text) => text.parse().ok(),
                    other => other.as_u64(),
                });
                Ok((token.into(), life.map_or(UNTOLD_LIFE, Duration::from_secs)))
            }
            (400 | 401 | 403, _) => {
                Err(refused(format!("the request for a token was answered {}", answered.status)))
            }
            (status, _) => Err(SignInFailed::Away(format!(
                "the request for a token was answered {status}, without one"
            ))),
        }
    }

    /// Some services leave out a scope without a word.
    fn granted(&self, granted: Option<&str>) -> Result<(), String> {
        let (Some(asked), Some(granted)) = (&self.scope, granted) else { return Ok(()) };
        let has = |scope: &str| granted.split_whitespace().any(|word| word == scope);
        match asked.split_whitespace().find(|scope| !has(scope)) {
            Some(missing) => Err(format!("the token was granted without the scope {missing}")),
            None => Ok(()),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
