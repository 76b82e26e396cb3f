//! How a backend's later answer over HTTP is trusted and read: `[[callbacks]]`.
//!
//! A backend that brings a secret of its own needs none of the API's. What it says is either the body
//! of CONTRACT 1.5, or one of its own that selectors map to it.
//!
//! What always holds: a body is looked at only after its sender was believed; no error repeats a
//! secret.

use crate::backends::{CallbackDescription, CallbackReader, Description};
use crate::trust::Trust;
use crate::wire;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::{Later, Malformed};

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
    /// Where a body of its own says what. Absent: as the backend's description says, or in our words.
    #[serde(default)]
    pub select: Option<CallbackDescription>,
}

/// Reads and believes one backend's later answers.
pub struct Callback {
    trust: Trust,
    select: Option<CallbackReader>,
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
        let select = self.select.as_ref().map(|select| CallbackReader::of(select, None));
        let select = select.transpose().map_err(|(key, what)| (below_select(key), what))?;
        Ok(Callback { trust, select })
    }
}

fn below_select(key: &str) -> &'static str {
    match key {
        "id" => "select.id",
        "request_id" => "select.request_id",
        "correlation_key" => "select.correlation_key",
        "backend_ref" => "select.backend_ref",
        "backend_id" => "select.backend_id",
        "outcome" => "select.outcome",
        "error" => "select.error",
        _ => "select",
    }
}

/// How each backend's later answers are believed and read: as its `[[callbacks]]` says, and where that
/// maps no body, as its description does.
///
/// # Errors
/// The key at fault below `callbacks`, and what is wrong with it.
pub fn by_backend(
    sections: &[CallbackSection],
    described: &[Description],
) -> Result<HashMap<BackendId, Arc<Callback>>, (&'static str, String)> {
    let mut callbacks = HashMap::new();
    for description in described {
        let select = description.callback();
        let section = sections.iter().find(|section| section.backend == description.id);
        let built = section.map(CallbackSection::build).transpose()?;
        if built.is_none() && select.is_none() {
            continue;
        }
        let mut callback = built.unwrap_or_default();
        callback.select = callback.select.or(select);
        callbacks.insert(description.id.clone(), Arc::new(callback));
    }
    Ok(callbacks)
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
            Some(select) => {
                let fields = select.fields(body);
                let fields = fields.map_err(|reason| Malformed { field: None, reason })?;
                wire::later_from_fields(fields, backend, body)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
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
