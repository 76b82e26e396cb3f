//! How a backend's later answer over HTTP is trusted and read: `[[callbacks]]`.
//!
//! A backend that brings a secret of its own needs none of the API's. What it says is either the body
//! of CONTRACT 1.5, or one of its own that selectors map to it.
//!
//! What always holds: a body is looked at only after its sender was believed; no error repeats a
//! secret.

use crate::http::Token;
use crate::secrets::Secret;
use crate::wire;
use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json_path::JsonPath;
use sha2::Sha256;
use std::path::PathBuf;
use ticketgate_actors::model::{BackendId, Fields};
use ticketgate_actors::ports::{Later, Malformed};

/// Characters of what a selector finds.
const FOUND_MAX: usize = 4_096;
/// The header of a signature, where none is configured.
const SIGNATURE_HEADER: &str = "x-signature-256";

/// `[[callbacks]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackSection {
    /// Whose answers come at `/callbacks/{backend}`.
    pub backend: BackendId,
    /// The file of a token that it brings as `Authorization: Bearer`.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Or the file of a key with which it signs each body: HMAC-SHA256, in hexadecimal.
    #[serde(default)]
    pub hmac_file: Option<PathBuf>,
    /// The header of that signature; `sha256=` may stand before it. Default `x-signature-256`.
    #[serde(default)]
    pub signature_header: Option<String>,
    /// Where a body of its own says what. Absent: it says it in our words.
    #[serde(default)]
    pub select: Option<SelectSection>,
}

/// `[callbacks.select]`: JSONPaths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSection {
    /// The answer's own id.
    pub id: Option<String>,
    /// Our request id.
    pub request_id: Option<String>,
    /// Our correlation key.
    pub correlation_key: Option<String>,
    /// Their name for the write.
    pub backend_ref: Option<String>,
    /// The ticket's id.
    pub backend_id: Option<String>,
    /// What became of it.
    pub outcome: Option<String>,
    /// The outcomes that mean: done.
    pub done: Vec<String>,
    /// The outcomes that mean: rejected.
    pub rejected: Vec<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What a backend must bring.
enum Trust {
    /// What every caller of the API must.
    Api,
    Token(Token),
    Signature {
        header: String,
        key: Secret,
    },
}

/// Reads and believes one backend's later answers.
pub struct Callback {
    trust: Trust,
    select: Option<Select>,
}

struct Select {
    paths: Vec<(&'static str, JsonPath)>,
    done: Vec<String>,
    rejected: Vec<String>,
}

impl Default for Callback {
    /// Believes whom the API believes, and reads our own words.
    fn default() -> Self {
        Self { trust: Trust::Api, select: None }
    }
}

impl CallbackSection {
    /// Makes what it describes.
    ///
    /// # Errors
    /// The key at fault below `[[callbacks]]`, and what is wrong with it.
    pub fn build(&self) -> Result<Callback, (&'static str, String)> {
        let trust = match (&self.token_file, &self.hmac_file) {
            (None, None) => Trust::Api,
            (Some(file), None) => {
                let token = Secret::from_file(file).and_then(|token| Token::new(&token));
                Trust::Token(token.map_err(|what| ("token_file", what))?)
            }
            (None, Some(file)) => {
                let key = Secret::from_file(file).map_err(|what| ("hmac_file", what))?;
                let header = self.signature_header.as_deref().unwrap_or(SIGNATURE_HEADER);
                Trust::Signature { header: header.to_ascii_lowercase(), key }
            }
            (Some(_), Some(_)) => {
                return Err(("token_file", "give either token_file or hmac_file".to_owned()));
            }
        };
        if self.signature_header.is_some() && self.hmac_file.is_none() {
            return Err(("signature_header", "needs hmac_file".to_owned()));
        }
        let select = self.select.as_ref().map(Select::of).transpose()?;
        Ok(Callback { trust, select })
    }
}

impl Select {
    fn of(section: &SelectSection) -> Result<Self, (&'static str, String)> {
        let mut paths = Vec::new();
        for (name, key, path) in [
            ("id", "select.id", &section.id),
            ("request_id", "select.request_id", &section.request_id),
            ("correlation_key", "select.correlation_key", &section.correlation_key),
            ("backend_ref", "select.backend_ref", &section.backend_ref),
            ("backend_id", "select.backend_id", &section.backend_id),
            ("outcome", "select.outcome", &section.outcome),
            ("error", "select.error", &section.error),
        ] {
            if let Some(text) = path {
                let path = JsonPath::parse(text)
                    .map_err(|error| (key, format!("is no JSONPath: {error}")))?;
                paths.push((name, path));
            }
        }
        if section.outcome.is_none() || section.done.is_empty() {
            let what = "needs outcome, and in done the words that mean: done".to_owned();
            return Err(("select", what));
        }
        let Some(_) = [&section.request_id, &section.correlation_key, &section.backend_ref]
            .into_iter()
            .flatten()
            .next()
        else {
            let what = "needs one of request_id, correlation_key and backend_ref".to_owned();
            return Err(("select", what));
        };
        Ok(Self { paths, done: section.done.clone(), rejected: section.rejected.clone() })
    }

    fn fields(&self, body: &[u8]) -> Result<Fields, Malformed> {
        let value: Value = serde_json::from_slice(body).map_err(|error| Malformed {
            field: None,
            reason: format!("the body is no JSON: {error}"),
        })?;
        let mut fields = Fields::new();
        for (name, path) in &self.paths {
            let Some(found) = path.query(&value).first() else { continue };
            let text = match found {
                Value::Null => continue,
                Value::String(text) => text.chars().take(FOUND_MAX).collect(),
                other => other.to_string().chars().take(FOUND_MAX).collect::<String>(),
            };
            let text = match *name {
                "outcome" if self.done.contains(&text) => "done".to_owned(),
                "outcome" if self.rejected.contains(&text) => "rejected".to_owned(),
                _ => text,
            };
            fields.insert((*name).to_owned(), text.into());
        }
        Ok(fields)
    }
}

impl Callback {
    /// Its sender brings a secret of its own, and needs none of the API's.
    pub fn has_own_secret(&self) -> bool {
        !matches!(self.trust, Trust::Api)
    }

    /// Is its sender who it should be? `header` gives the value of a header.
    pub fn believes<'a>(&self, header: impl Fn(&str) -> Option<&'a [u8]>, body: &[u8]) -> bool {
        match &self.trust {
            Trust::Api => true,
            Trust::Token(token) => header("authorization").is_some_and(|it| token.is_brought(it)),
            Trust::Signature { header: name, key } => {
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

    /// The answer in a body.
    ///
    /// # Errors
    /// What is wrong with it, and the field.
    pub fn read(&self, backend: &BackendId, body: &[u8]) -> Result<Later, Malformed> {
        match &self.select {
            None => wire::later_from_json(body, backend),
            Some(select) => wire::later_from_fields(select.fields(body)?, backend, body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use ticketgate_actors::changes::{Asked, Outcome};

    fn section(more: &str) -> CallbackSection {
        toml::from_str(&format!("backend = 'crm'\n{more}")).unwrap()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_foreign_body_is_mapped() {
        let callback = section(
            "[select]\nid = '$.event'\nbackend_ref = '$.order.no'\nbackend_id = '$.ticket'\n\
             outcome = '$.state'\ndone = ['OK', 'CREATED']\nrejected = ['NOK']\nerror = '$.text'",
        );
        let callback = callback.build().unwrap();
        let read = |body: Value| callback.read(&BackendId::new("crm"), body.to_string().as_bytes());
        let order = json!({"no": 7});
        let done = read(json!({"order": order, "state": "OK", "ticket": "INC1"})).unwrap();
        assert_eq!(done.asked, Asked::Reference("7".into()));
        let Outcome::Done(found) = done.outcome else { panic!() };
        assert_eq!(found.backend_id, "INC1");
        let no = read(json!({"order": order, "state": "NOK", "text": "no group"})).unwrap();
        let Outcome::Rejected(error) = no.outcome else { panic!() };
        assert_eq!(error.reason, "no group");
        let odd = read(json!({"order": order, "state": "LATER"})).unwrap_err();
        assert_eq!(odd.field.as_deref(), Some("outcome"));
        assert!(read(json!({"state": "OK"})).is_err());
        assert!(callback.read(&BackendId::new("crm"), b"<xml/>").is_err());
    }

    #[test]
    fn a_token_or_a_signature_is_believed_and_nothing_else() {
        let secret = file("0123456789abcdef");
        let path = secret.path().display();
        let token = section(&format!("token_file = '{path}'")).build().unwrap();
        let bearer =
            |name: &str| (name == "authorization").then_some(&b"Bearer 0123456789abcdef"[..]);
        assert!(token.has_own_secret() && token.believes(bearer, b"{}"));
        assert!(!token.believes(|_| None, b"{}"));
        assert!(!token.believes(|_| Some(&b"Bearer 0123456789abcdeF"[..]), b"{}"));

        let signed = section(&format!("hmac_file = '{path}'\nsignature_header = 'X-Sig'"));
        let signed = signed.build().unwrap();
        // By: printf '{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let good = b"sha256=f91e3e9f05cc2df64ac1c26f8adccdffda8d1e4a7a8c50a1a08eeadac6ddfec5";
        let with = |value: &'static [u8]| move |name: &str| (name == "x-sig").then_some(value);
        assert!(signed.believes(with(good), b"{}"));
        assert!(!signed.believes(with(good), b"{} "));
        assert!(!signed.believes(with(b"sha256=00"), b"{}"));
        assert!(!signed.believes(|_| None, b"{}"));
    }

    #[test]
    fn what_is_wrong_in_the_config_names_its_key() {
        for (more, key) in [
            ("token_file = '/nowhere'", "token_file"),
            ("token_file = 'a'\nhmac_file = 'b'", "token_file"),
            ("signature_header = 'x'", "signature_header"),
            ("[select]\noutcome = '$.a'\ndone = ['x']", "select"),
            ("[select]\nbackend_ref = '$.a'", "select"),
            ("[select]\nbackend_ref = '$.['\noutcome = '$.a'\ndone = ['x']", "select.backend_ref"),
        ] {
            assert_eq!(section(more).build().err().map(|it| it.0), Some(key), "{more}");
        }
    }
}
