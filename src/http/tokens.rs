//! The tokens that let somebody in.
//!
//! What always holds: a token is kept only as its digest, and two digests are compared in the same time
//! wherever they differ, all of them for each that is brought.

use super::access::{By, Caller, Role};
use crate::secrets::Secret;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use ticketgate_actors::model::BackendId;

/// Shorter ones can be guessed.
const CHARS_MIN: usize = 16;
/// What a header carries well.
const CHARS_MAX: usize = 4_096;

/// A token.
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
        bearer(header).is_some_and(|brought| self.is(&digest(brought)))
    }

    fn is(&self, brought: &[u8; 32]) -> bool {
        let differ = |unlike, (one, other): (&u8, &u8)| unlike | (one ^ other);
        self.0.iter().zip(brought).fold(0, differ) == 0
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// What an `Authorization` header of that scheme brings.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let mut words = header.splitn(2, |byte| *byte == b' ');
    let scheme = words.next().unwrap_or_default();
    let brought = words.next().unwrap_or_default().trim_ascii();
    scheme.eq_ignore_ascii_case(b"bearer").then_some(brought)
}

/// All tokens of the face, and whom each lets in; none: whoever reaches the port may act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<(Token, Caller)>);

impl Tokens {
    /// Adds one.
    ///
    /// # Errors
    /// It is somebody else's too: nobody could tell them apart.
    pub fn add(
        &mut self,
        token: Token,
        name: &str,
        role: Role,
        backends: Option<&[BackendId]>,
    ) -> Result<(), String> {
        if self.0.iter().any(|(other, _)| *other == token) {
            return Err("is the token of another one too".to_owned());
        }
        let backends = backends.map(|only| Arc::new(only.iter().cloned().collect()));
        self.0.push((token, Caller { name: name.into(), role, backends, by: By::Token }));
        Ok(())
    }

    /// Every backend that some token is limited to.
    pub fn limited_to(&self) -> BTreeSet<BackendId> {
        let limits = self.0.iter().filter_map(|(_, caller)| caller.backends.as_deref());
        limits.flatten().cloned().collect()
    }

    /// Is nobody asked?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whom the token in this `Authorization` header lets in.
    pub fn of_header(&self, header: &[u8]) -> Option<Caller> {
        self.of(bearer(header)?)
    }

    /// Whom this token lets in.
    pub fn of(&self, brought: &[u8]) -> Option<Caller> {
        let brought = digest(brought);
        let mut found = None;
        for (token, caller) in &self.0 {
            if token.is(&brought) {
                found = Some(caller);
            }
        }
        found.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(all: &[(&str, &str)]) -> Tokens {
        let mut tokens = Tokens::default();
        for (secret, name) in all {
            let token = Token::new(&(*secret).into()).unwrap();
            tokens.add(token, name, Role::Viewer, None).unwrap();
        }
        tokens
    }

    #[test]
    fn only_the_token_itself_is_admitted() {
        let tokens = tokens(&[
            ("fedcba9876543210", "bob"),
            ("0123456789abcdef", "ann"),
            ("00000000000000000", "cid"),
        ]);
        let one = Token::new(&"0123456789abcdef".into()).unwrap();
        for (header, admitted) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer   0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer", false),
            ("Bearer ", false),
            ("0123456789abcdef", false),
            ("Basic 0123456789abcdef", false),
            ("", false),
        ] {
            let name = tokens.of_header(header.as_bytes()).map(|caller| caller.name);
            assert_eq!(name.as_deref(), admitted.then_some("ann"), "{header:?}");
            assert_eq!(one.is_brought(header.as_bytes()), admitted, "{header:?}");
        }
    }

    #[test]
    fn a_token_that_no_header_carries_or_that_can_be_guessed_is_refused() {
        for text in ["", "short", "has a space in its midst", "not-ascii-ääääääääää"] {
            assert!(Token::new(&text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn no_token_is_shown() {
        let mut all = tokens(&[("0123456789abcdef", "ann")]);
        let text = format!("{all:?}");
        assert!(!text.contains("0123456789abcdef"), "{text}");
        let again = Token::new(&"0123456789abcdef".into()).unwrap();
        assert!(all.add(again, "bob", Role::Viewer, None).is_err(), "nobody could tell them apart");
    }
}
