//! How a backend's later answer over HTTP is trusted and read: `[[callbacks]]`.
//!
//! A backend that brings a secret of its own needs none of the API's. What it says is either the body
//! of CONTRACT 1.5, or one of its own that selectors map to it.
//!
//! What always holds: a body is looked at only after its sender was believed; no error repeats a
//! secret.

use crate::trust::Trust;
use crate::wire;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json_path::JsonPath;
use std::path::PathBuf;
use ticketgate_actors::model::{BackendId, Fields};
use ticketgate_actors::ports::{Later, Malformed};

/// Characters of what a selector finds.
const FOUND_MAX: usize = 4_096;

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
        let (token, hmac) = (self.token_file.as_deref(), self.hmac_file.as_deref());
        let trust = Trust::of(token, hmac, self.signature_header.as_deref())?;
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
    /// How its sender is believed.
    pub fn trust(&self) -> &Trust {
        &self.trust
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
