//! How the sender of a body over HTTP is believed that brings a secret of its own: a backend that
//! answers later, a foreign alarm system.
//!
//! What always holds: the body is looked at only after this; two secrets are compared in the same
//! time wherever they differ; no error repeats one.

use crate::http::Token;
use crate::secrets::Secret;
use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::path::Path;

/// The header of a signature, where none is configured.
const SIGNATURE_HEADER: &str = "x-signature-256";

/// What a sender must bring.
#[derive(Debug, Default)]
pub enum Trust {
    /// What every caller of the API must.
    #[default]
    Api,
    /// A token, as `Authorization: Bearer`.
    Token(Token),
    /// HMAC-SHA256 of the body, in hexadecimal.
    Signature {
        /// In lower case.
        header: String,
        /// Shared with the sender.
        key: Secret,
    },
}

impl Trust {
    /// As the config's keys say: one of the two files, or none.
    ///
    /// # Errors
    /// The key at fault, and what is wrong with it.
    pub fn of(
        token_file: Option<&Path>,
        hmac_file: Option<&Path>,
        signature_header: Option<&str>,
    ) -> Result<Self, (&'static str, String)> {
        if signature_header.is_some() && hmac_file.is_none() {
            return Err(("signature_header", "needs hmac_file".to_owned()));
        }
        match (token_file, hmac_file) {
            (None, None) => Ok(Self::Api),
            (Some(file), None) => {
                let token = Secret::from_file(file).and_then(|token| Token::new(&token));
                token.map(Self::Token).map_err(|what| ("token_file", what))
            }
            (None, Some(file)) => {
                let key = Secret::from_file(file).map_err(|what| ("hmac_file", what))?;
                let header = signature_header.unwrap_or(SIGNATURE_HEADER).to_ascii_lowercase();
                Ok(Self::Signature { header, key })
            }
            (Some(_), Some(_)) => {
                Err(("token_file", "give either token_file or hmac_file".to_owned()))
            }
        }
    }

    /// The sender brings a secret of its own, and needs none of the API's.
    pub fn is_own(&self) -> bool {
        !matches!(self, Self::Api)
    }

    /// Is the sender who it should be? `header` gives the value of a header.
    pub fn believes<'a>(&self, header: impl Fn(&str) -> Option<&'a [u8]>, body: &[u8]) -> bool {
        match self {
            Self::Api => true,
            Self::Token(token) => header("authorization").is_some_and(|it| token.is_brought(it)),
            Self::Signature { header: name, key } => {
                let Some(signature) = header(name).and_then(|it| std::str::from_utf8(it).ok())
                else {
                    return false;
                };
                let hex = signature.trim().trim_start_matches("sha256=");
                let Ok(signature) = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()) else {
                    return false;
                };
                let key = key.expose().as_bytes();
                Hmac::<Sha256>::new_from_slice(key)
                    .is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_or_a_signature_is_believed_and_nothing_else() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "0123456789abcdef").unwrap();
        let token = Trust::of(Some(secret.path()), None, None).unwrap();
        let bearer =
            |name: &str| (name == "authorization").then_some(&b"Bearer 0123456789abcdef"[..]);
        assert!(token.is_own() && token.believes(bearer, b"{}"));
        assert!(!token.believes(|_| None, b"{}"));
        assert!(!token.believes(|_| Some(&b"Bearer 0123456789abcdeF"[..]), b"{}"));

        let signed = Trust::of(None, Some(secret.path()), Some("X-Sig")).unwrap();
        // By: printf '{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let good = b"sha256=f91e3e9f05cc2df64ac1c26f8adccdffda8d1e4a7a8c50a1a08eeadac6ddfec5";
        let with = |value: &'static [u8]| move |name: &str| (name == "x-sig").then_some(value);
        assert!(signed.believes(with(good), b"{}"));
        assert!(!signed.believes(with(good), b"{} "));
        assert!(!signed.believes(with(b"sha256=00"), b"{}"));
        assert!(!signed.believes(|_| None, b"{}"));
    }
}
