//! WS-Security's UsernameToken (OASIS, Username Token Profile 1.1).
//!
//! What always holds: a digest is made with a nonce and a moment of its own for each envelope.

use super::source::Source;
use crate::backends::described::xml_escape;
use crate::secrets::Secret;
use data_encoding::BASE64;
use serde::Deserialize;
use sha1::{Digest, Sha1};
use std::path::PathBuf;
use ticketgate_actors::model::Timestamp;
use uuid::Uuid;

const SECURITY: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
const UTILITY: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
const PROFILE: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0";
const MESSAGE: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0";

/// `[backend.auth]` with `type = "wsse"`. Without a password the token is a name alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WsseDescription {
    /// The user's name.
    pub user: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Or the file that holds it.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// `text` or `digest`. Default `text`.
    #[serde(default)]
    pub send: PasswordType,
}

/// How a password is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordType {
    /// As it is: only over TLS.
    #[default]
    Text,
    /// SHA-1 over nonce, moment and password.
    Digest,
}

#[derive(Debug)]
pub(super) struct Wsse {
    user: String,
    password: Option<Source>,
    send: PasswordType,
}

impl Wsse {
    pub fn of(described: &WsseDescription) -> Result<Self, (&'static str, String)> {
        let password = match (&described.password, &described.password_file) {
            (None, None) => None,
            (text, file) => Some(Source::of("password", text, file)?),
        };
        if password.is_none() && described.send == PasswordType::Digest {
            return Err(("password", "a digest needs a password".to_owned()));
        }
        Ok(Self { user: described.user.clone(), password, send: described.send })
    }

    pub fn check(&self) -> Result<(), String> {
        self.password.as_ref().map_or(Ok(()), |password| password.read().map(|_| ()))
    }

    pub async fn header(&self, now: Timestamp, as_user: Option<&str>) -> Result<String, String> {
        let password = match &self.password {
            Some(password) => Some(password.read_later().await?),
            None => None,
        };
        // 122 of its bits are random.
        let user = as_user.unwrap_or(&self.user);
        Ok(self.written(user, password.as_ref(), *Uuid::new_v4().as_bytes(), &now.to_string()))
    }

    fn written(
        &self,
        user: &str,
        password: Option<&Secret>,
        nonce: [u8; 16],
        created: &str,
    ) -> String {
        let password = match (password, self.send) {
            (None, _) => String::new(),
            (Some(password), PasswordType::Text) => format!(
                "<wsse:Password Type=\"{PROFILE}#PasswordText\">{}</wsse:Password>",
                xml_escape(password.expose())
            ),
            (Some(password), PasswordType::Digest) => {
                let digest = Sha1::new()
                    .chain_update(nonce)
                    .chain_update(created)
                    .chain_update(password.expose())
                    .finalize();
                format!(
                    "<wsse:Password Type=\"{PROFILE}#PasswordDigest\">{}</wsse:Password>\
                     <wsse:Nonce EncodingType=\"{MESSAGE}#Base64Binary\">{}</wsse:Nonce>\
                     <wsu:Created>{created}</wsu:Created>",
                    BASE64.encode(&digest),
                    BASE64.encode(&nonce)
                )
            }
        };
        format!(
            "<wsse:Security xmlns:wsse=\"{SECURITY}\" xmlns:wsu=\"{UTILITY}\"><wsse:UsernameToken>\
             <wsse:Username>{}</wsse:Username>{password}</wsse:UsernameToken></wsse:Security>",
            xml_escape(user)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wsse(send: PasswordType) -> Wsse {
        Wsse { user: "a<b".to_owned(), password: Some(Source::Text("p&w".into())), send }
    }

    #[test]
    fn a_password_is_sent_as_text_or_as_a_digest_of_nonce_moment_and_password() {
        let secret = Secret::from("p&w");
        let written =
            |send| wsse(send).written("a<b", Some(&secret), [7; 16], "2026-11-21T10:00:00.000Z");
        let text = written(PasswordType::Text);
        assert!(text.contains("<wsse:Username>a&lt;b</wsse:Username>"), "{text}");
        assert!(text.contains("#PasswordText\">p&amp;w</wsse:Password>"), "{text}");
        let digest = written(PasswordType::Digest);
        // printf '\x07%.0s' {1..16}; printf '2026-11-21T10:00:00.000Zp&w'  | openssl sha1 -binary | base64
        assert!(
            digest.contains("#PasswordDigest\">HfSuwoZ+11uqzPQoROF0C9gwedc=</wsse:Password>"),
            "{digest}"
        );
        assert!(
            digest.contains("#Base64Binary\">BwcHBwcHBwcHBwcHBwcHBw==</wsse:Nonce>"),
            "{digest}"
        );
        assert!(!digest.contains("p&amp;w") && !digest.contains("p&w"), "{digest}");
    }
}
