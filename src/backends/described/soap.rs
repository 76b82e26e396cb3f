//! SOAP's envelope, both versions: how it is put around a body, and how it is taken off an answer.
//!
//! What always holds: what is sent is one well-formed document, whatever the values are. An answer is
//! taken for one only if it is an envelope with a body; which version it is in does not matter, for a
//! server that does not know ours answers in its own.
//!
//! What it leaves to others: what body and fault mean (`judge`).

use super::selectors::{Document, Grammar, Selector};
use super::wire::{SoapDescription, SoapVersion};
use super::xml::path::{SOAP_11, SOAP_12};
use super::xml::{self, Element};
use std::collections::BTreeMap;

/// How envelopes are made.
#[derive(Debug)]
pub(super) struct Envelope {
    version: SoapVersion,
    /// The opening tag, with all namespaces.
    open: String,
}

impl Envelope {
    /// Of a description whose namespaces were checked.
    pub fn of(described: &SoapDescription) -> Self {
        let uri = match described.version {
            SoapVersion::V11 => SOAP_11,
            SoapVersion::V12 => SOAP_12,
        };
        let mut open = format!("<soap:Envelope xmlns:soap=\"{uri}\"");
        for (prefix, uri) in &described.namespaces {
            open.push_str(&format!(" xmlns:{prefix}=\"{}\"", xml::escape(uri)));
        }
        open.push('>');
        Self { version: described.version, open }
    }

    /// What a request says that it holds.
    pub fn content_type(&self, action: Option<&str>) -> String {
        match (self.version, action) {
            (SoapVersion::V12, Some(action)) => {
                format!("application/soap+xml; charset=utf-8; action=\"{action}\"")
            }
            (SoapVersion::V12, None) => "application/soap+xml; charset=utf-8".to_owned(),
            (SoapVersion::V11, _) => "text/xml; charset=utf-8".to_owned(),
        }
    }

    /// The header `SOAPAction`, which only the older version has, and always.
    pub fn action_header(&self, action: Option<&str>) -> Option<String> {
        let quoted = || format!("\"{}\"", action.unwrap_or_default());
        (self.version == SoapVersion::V11).then(quoted)
    }

    /// Around a body.
    ///
    /// # Errors
    /// If the whole is no XML; without any value.
    pub fn around(&self, header: &str, body: &str) -> Result<String, String> {
        let open = &self.open;
        let header = match header {
            "" => String::new(),
            header => format!("<soap:Header>{header}</soap:Header>"),
        };
        let whole = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             {open}{header}<soap:Body>{body}</soap:Body></soap:Envelope>"
        );
        match unwrapped(whole.as_bytes()) {
            Ok(_) => Ok(whole),
            Err(problem) => Err(format!("this makes no envelope: {problem}")),
        }
    }
}

/// Takes an answer's envelope off: its body.
///
/// # Errors
/// Why it is no envelope.
pub(super) fn unwrapped(bytes: &[u8]) -> Result<Document, String> {
    let root = xml::parse(bytes).map_err(|refusal| refusal.to_string())?;
    if !is_soap(&root, "Envelope") {
        return Err("it is no SOAP envelope".to_owned());
    }
    let mut bodies = root.children.into_iter().filter_map(|child| match child {
        xml::Child::Element(element) if is_soap(&element, "Body") => Some(element),
        _ => None,
    });
    match (bodies.next(), bodies.next()) {
        (Some(body), None) => Ok(Document::Xml(body)),
        _ => Err("the envelope has no body, or several".to_owned()),
    }
}

/// Whether a body holds a fault.
pub(super) fn is_fault(document: &Document) -> bool {
    match document {
        Document::Xml(body) => body.elements().any(|element| is_soap(element, "Fault")),
        Document::Json(_) => false,
    }
}

/// Where faults say their code and their words, in either version.
pub(super) fn fault_selectors() -> (Vec<Selector>, Vec<Selector>) {
    let none = BTreeMap::new();
    let parsed = |texts: [&str; 2]| {
        // A test reads them.
        texts.iter().filter_map(|text| Selector::parse(text, Grammar::Xml(&none)).ok()).collect()
    };
    (
        parsed(["/soap:Fault/faultcode", "/soap:Fault/soap:Code/soap:Value"]),
        parsed(["/soap:Fault/faultstring", "/soap:Fault/soap:Reason/soap:Text[1]"]),
    )
}

fn is_soap(element: &Element, local: &str) -> bool {
    matches!(element.name.namespace.as_deref(), Some(SOAP_11 | SOAP_12))
        && &*element.name.local == local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(version: SoapVersion) -> Envelope {
        let namespaces = BTreeMap::from([("t".to_owned(), "urn:t&x".to_owned())]);
        Envelope::of(&SoapDescription { version, namespaces, header: None })
    }

    #[test]
    fn an_envelope_goes_around_a_body_and_comes_off_again() {
        for (version, uri) in [(SoapVersion::V11, SOAP_11), (SoapVersion::V12, SOAP_12)] {
            let whole = envelope(version).around("<t:h/>", "<t:a>x</t:a>").unwrap();
            assert!(whole.contains(uri) && whole.contains("urn:t&amp;x"), "{whole}");
            let document = unwrapped(whole.as_bytes()).unwrap();
            let Document::Xml(body) = &document else { panic!() };
            assert_eq!((body.text().as_str(), is_fault(&document)), ("x", false));
        }
        for body in ["<t:a>", "<u:a/>", "<a/></soap:Body><soap:Body>", "&nbsp;"] {
            assert!(envelope(SoapVersion::V11).around("", body).is_err(), "{body}");
        }
    }

    #[test]
    fn actions_stand_where_their_version_has_them() {
        let (old, new) = (envelope(SoapVersion::V11), envelope(SoapVersion::V12));
        assert_eq!(old.action_header(Some("urn:a")).as_deref(), Some("\"urn:a\""));
        assert_eq!(old.action_header(None).as_deref(), Some("\"\""));
        assert_eq!(new.action_header(Some("urn:a")), None);
        assert!(new.content_type(Some("urn:a")).ends_with("; action=\"urn:a\""));
        assert_eq!(old.content_type(Some("urn:a")), "text/xml; charset=utf-8");
    }

    #[test]
    fn faults_are_known_and_read_in_both_versions() {
        for (uri, fault) in [
            (SOAP_11, "<faultcode>s:Client</faultcode><faultstring>no</faultstring>"),
            (
                SOAP_12,
                "<s:Code><s:Value>s:Client</s:Value></s:Code><s:Reason><s:Text>no</s:Text></s:Reason>",
            ),
        ] {
            let text = format!(
                "<s:Envelope xmlns:s='{uri}'><s:Body><s:Fault>{fault}</s:Fault></s:Body></s:Envelope>"
            );
            let document = unwrapped(text.as_bytes()).unwrap();
            assert!(is_fault(&document));
            let (codes, words) = fault_selectors();
            assert_eq!((codes.len(), words.len()), (2, 2));
            let read = |selectors: &[Selector]| {
                selectors.iter().find_map(|selector| selector.text(document.whole()))
            };
            assert_eq!(read(&codes).as_deref(), Some("s:Client"));
            assert_eq!(read(&words).as_deref(), Some("no"));
        }
    }

    #[test]
    fn what_is_no_envelope_is_told() {
        for text in [
            "",
            "<html/>",
            "<Envelope/>",
            "{}",
            "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'/>",
        ] {
            assert!(unwrapped(text.as_bytes()).is_err(), "{text}");
        }
    }
}
