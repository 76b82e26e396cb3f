//! Who may ask: with a token configured, every path but the two that say whether the service is
//! well needs `Authorization: Bearer TOKEN` (RFC 6750). A backend or a source with a secret of its own
//! brings that to its `/callbacks` or `/webhooks` instead, where its handler looks at it.
//!
//! What always holds: the check runs before any handler and before a body is read, also for paths
//! that do not exist; the token itself is not kept, only its digest, and two digests are compared in
//! the same time wherever they differ.

use super::problem::Problem;
use super::{Face, callbacks, webhooks};
use crate::secrets::Secret;
use crate::trust::Trust;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::web;
use sha2::{Digest, Sha256};
use ticketgate_actors::model::BackendId;

/// Who watches over the service must need no secret, and learns none here.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// Shorter ones can be guessed.
const CHARS_MIN: usize = 16;
/// What a header carries well.
const CHARS_MAX: usize = 4_096;

/// What a caller must bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// Checks a token.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn new(secret: &Secret) -> Result<Self, String> {
        let text = secret.expose();
        if !(CHARS_MIN..=CHARS_MAX).contains(&text.len()) {
            return Err(format!("a token has {CHARS_MIN} to {CHARS_MAX} characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token has no spaces, and only ASCII characters".to_owned());
        }
        Ok(Self(digest(text.as_bytes())))
    }

    /// Is it in this `Authorization` header?
    pub fn is_brought(&self, header: &[u8]) -> bool {
        let mut words = header.splitn(2, |byte| *byte == b' ');
        let scheme = words.next().unwrap_or_default();
        let brought = words.next().unwrap_or_default().trim_ascii();
        scheme.eq_ignore_ascii_case(b"bearer") && self.is(brought)
    }

    fn is(&self, brought: &[u8]) -> bool {
        let differ = |unlike, (one, other): (&u8, &u8)| unlike | (one ^ other);
        self.0.iter().zip(&digest(brought)).fold(0, differ) == 0
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

pub(super) async fn guard(
    face: web::Data<Face>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if let Some(token) = &face.token
        && !OPEN.contains(&request.path())
        && !brings_its_own(&face, request.path())
    {
        admit(token, request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()))?;
    }
    next.call(request).await
}

/// A backend that answers later, or a foreign alarm system, with a secret of its own; its handler
/// looks at that.
fn brings_its_own(face: &Face, path: &str) -> bool {
    let backend = path.strip_prefix(callbacks::PREFIX);
    let callback = backend.and_then(|name| face.callbacks.get(&BackendId::new(name)));
    let source = path.strip_prefix(webhooks::PREFIX);
    let source = source.and_then(|name| face.sources.iter().find(|source| source.name == name));
    let trust = callback.map(|it| it.trust()).or_else(|| source.map(|it| it.trust()));
    trust.is_some_and(Trust::is_own)
}

fn admit(token: &Token, header: Option<&[u8]>) -> Result<(), Problem> {
    let Some(header) = header else {
        return Err(Problem::unauthorised(
            "bring the service's token: Authorization: Bearer TOKEN",
        ));
    };
    match token.is_brought(header) {
        true => Ok(()),
        false => Err(Problem::unauthorised("this is not the service's token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_admitted() {
        let token = Token::new(&"0123456789abcdef".into()).unwrap();
        for (header, admitted) in [
            (None, false),
            (Some("Bearer 0123456789abcdef"), true),
            (Some("bearer   0123456789abcdef"), true),
            (Some("Bearer 0123456789abcdeF"), false),
            (Some("Bearer 0123456789abcde"), false),
            (Some("Bearer 0123456789abcdef0"), false),
            (Some("Bearer"), false),
            (Some("Bearer "), false),
            (Some("0123456789abcdef"), false),
            (Some("Basic 0123456789abcdef"), false),
            (Some(""), false),
        ] {
            let header = header.map(str::as_bytes);
            assert_eq!(admit(&token, header).is_ok(), admitted, "{header:?}");
        }
    }

    #[test]
    fn a_token_that_no_header_carries_or_that_can_be_guessed_is_refused() {
        for text in ["", "short", "has a space in its midst", "not-ascii-ääääääääää"] {
            assert!(Token::new(&text.into()).is_err(), "{text}");
        }
    }
}
