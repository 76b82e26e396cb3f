//! A backend's later answer in a body of its own: what is picked out of JSON or XML (CONTRACT 1.5).
//!
//! What always holds: what is not found is left out, and never guessed. XML is read under the limits
//! of `xml`; an envelope is taken off first.
//!
//! What it leaves to others: who is believed (`crate::callbacks`), what the answer means (`crate::wire`).

use super::selectors::{Document, Grammar, Item, Selector};
use super::{soap, xml};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ticketgate_actors::model::Fields;

/// Characters of what a selector finds.
const FOUND_MAX: usize = 4_096;

/// `[backend.callback]` and `[callbacks.select]`: selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallbackDescription {
    /// For XML: the namespaces of prefixes; then the selectors are those of XML. Absent: JSON, or in a
    /// description of `type = "soap"` that one's own namespaces.
    pub namespaces: Option<BTreeMap<String, String>>,
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

/// Picks the parts of later answers out of their bodies.
#[derive(Clone, Debug)]
pub struct CallbackReader {
    is_xml: bool,
    selectors: Vec<(&'static str, Selector)>,
    done: Vec<String>,
    rejected: Vec<String>,
}

impl CallbackReader {
    /// Compiles a description; `envelope` has the namespaces of the backend's own, where it speaks SOAP.
    ///
    /// # Errors
    /// The key at fault (empty: all of it), and what is wrong with it.
    pub fn of(
        described: &CallbackDescription,
        envelope: Option<&BTreeMap<String, String>>,
    ) -> Result<Self, (&'static str, String)> {
        let namespaces = described.namespaces.as_ref().or(envelope);
        let grammar = namespaces.map_or(Grammar::Json, Grammar::Xml);
        let mut selectors = Vec::new();
        for (key, text) in [
            ("id", &described.id),
            ("request_id", &described.request_id),
            ("correlation_key", &described.correlation_key),
            ("backend_ref", &described.backend_ref),
            ("backend_id", &described.backend_id),
            ("outcome", &described.outcome),
            ("error", &described.error),
        ] {
            let Some(text) = text else { continue };
            let selector = Selector::parse(text, grammar).map_err(|problem| (key, problem))?;
            selectors.push((key, selector));
        }
        if described.outcome.is_none() || described.done.is_empty() {
            return Err(("", "needs outcome, and in done the words that mean: done".to_owned()));
        }
        let names = [&described.request_id, &described.correlation_key, &described.backend_ref];
        if names.into_iter().all(Option::is_none) {
            let what = "needs one of request_id, correlation_key and backend_ref";
            return Err(("", what.to_owned()));
        }
        let (done, rejected) = (described.done.clone(), described.rejected.clone());
        Ok(Self { is_xml: namespaces.is_some(), selectors, done, rejected })
    }

    /// The parts of a body, by the names of the contract.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn fields(&self, body: &[u8]) -> Result<Fields, String> {
        let document = self.document(body)?;
        let mut fields = Fields::new();
        for (name, selector) in &self.selectors {
            let found = selector.all(document.whole());
            let Some(text) = found.first().and_then(text) else { continue };
            let text = match *name {
                "outcome" if self.done.contains(&text) => "done".to_owned(),
                "outcome" if self.rejected.contains(&text) => "rejected".to_owned(),
                _ => text,
            };
            fields.insert((*name).to_owned(), text.into());
        }
        Ok(fields)
    }

    fn document(&self, body: &[u8]) -> Result<Document, String> {
        if !self.is_xml {
            let json = serde_json::from_slice(body);
            return json
                .map(Document::Json)
                .map_err(|error| format!("the body is no JSON: {error}"));
        }
        if let Ok(body) = soap::unwrapped(body) {
            return Ok(body);
        }
        let root = xml::parse(body).map_err(|refusal| format!("the body is no XML: {refusal}"))?;
        // As in an envelope: selectors begin at what holds the document's own element.
        let name = xml::Name { namespace: None, local: "document".into() };
        let children = vec![xml::Child::Element(root)];
        Ok(Document::Xml(xml::Element { name, attributes: Vec::new(), children }))
    }
}

/// What was found, as text; nothing for null and for what is empty in XML.
fn text(found: &Item<'_>) -> Option<String> {
    let text = match found {
        Item::Json(serde_json::Value::Null) => return None,
        Item::Json(serde_json::Value::String(text)) => text.clone(),
        Item::Json(other) => other.to_string(),
        Item::Xml(found) => {
            found.text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())?
        }
    };
    Some(text.chars().take(FOUND_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(more: &str) -> CallbackDescription {
        toml::from_str(more).unwrap()
    }

    const XML: &str = "namespaces = { o = 'urn:o' }\nrequest_id = '/o:Answer/o:For'\n\
                       outcome = '/o:Answer/@result'\ndone = ['DONE']\nrejected = ['FAILED']\n\
                       backend_id = '/o:Answer/o:Id'\nerror = '/o:Answer/o:Why'";

    #[test]
    fn xml_is_read_in_an_envelope_and_without_one() {
        let reader = CallbackReader::of(&described(XML), None).unwrap();
        let answer = "<x:Answer xmlns:x='urn:o' result='FAILED'><x:For> r1\n</x:For><x:Id/>\
                      <x:Why>no &lt;group&gt;</x:Why></x:Answer>";
        let envelope = format!(
            "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>{answer}\
             </s:Body></s:Envelope>"
        );
        for body in [answer, &envelope] {
            let fields = reader.fields(body.as_bytes()).unwrap();
            assert_eq!(fields["request_id"], "r1");
            assert_eq!(fields["outcome"], "rejected");
            assert_eq!(fields["error"], "no <group>");
            assert!(!fields.contains_key("backend_id"), "what is empty is not there");
        }
        for body in ["{}", "", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"] {
            assert!(reader.fields(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_soap_backends_own_namespaces_count_where_none_are_given() {
        let text = XML.replace("namespaces = { o = 'urn:o' }\n", "");
        assert!(CallbackReader::of(&described(&text), None).is_err(), "this is no JSONPath");
        let own = BTreeMap::from([("o".to_owned(), "urn:o".to_owned())]);
        assert!(CallbackReader::of(&described(&text), Some(&own)).is_ok());
    }
}
