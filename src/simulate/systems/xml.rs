//! XML for the simulated SOAP systems, read by another reader than the product's.
//!
//! What always holds: an envelope is SOAP 1.1, as the originals speak it.

use super::super::fate::Reply;

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// A SOAP answer around a body.
pub(super) fn envelope(status: u16, namespaces: &str, body: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<s:Envelope xmlns:s=\"{ENVELOPE}\" {namespaces}>\
         <s:Body>{body}</s:Body></s:Envelope>"
    );
    Reply { status, content_type: "text/xml; charset=utf-8", headers: Vec::new(), body }
}

/// A fault.
pub(super) fn fault(namespaces: &str, code: &str, words: &str, detail: &str) -> Reply {
    let detail =
        if detail.is_empty() { String::new() } else { format!("<detail>{detail}</detail>") };
    let body = format!(
        "<s:Fault><faultcode>{code}</faultcode><faultstring>{}</faultstring>{detail}</s:Fault>",
        escape(words)
    );
    envelope(500, namespaces, &body)
}

/// An element with a text, or nothing without one.
pub(super) fn element(name: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<{name}>{}</{name}>", escape(text)) }
}

/// A text as it stands in an element.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}

/// What a request's envelope holds: the first element of its body, which is given to `read`.
///
/// # Errors
/// Why it is no envelope.
pub(super) fn unwrap<T>(
    bytes: &[u8],
    read: impl FnOnce(roxmltree::Node<'_, '_>, Option<roxmltree::Node<'_, '_>>) -> Result<T, String>,
) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !root.has_tag_name((ENVELOPE, "Envelope")) {
        return Err("it is no SOAP 1.1 envelope".to_owned());
    }
    let part = |name| root.children().find(|child| child.has_tag_name((ENVELOPE, name)));
    let body = part("Body").ok_or("the envelope has no body")?;
    let first = body.first_element_child().ok_or("the body is empty")?;
    read(first, part("Header"))
}

/// The text of an element within another, by its local name.
pub(super) fn child(node: roxmltree::Node<'_, '_>, name: &str) -> Option<String> {
    let child = node.children().find(|child| child.tag_name().name() == name)?;
    Some(child.text().unwrap_or_default().to_owned())
}

/// The password of a WS-Security UsernameToken, as text.
pub(super) fn wsse_password(header: Option<roxmltree::Node<'_, '_>>) -> Option<String> {
    let header = header?;
    let password = header.descendants().find(|node| node.tag_name().name() == "Password")?;
    password.text().map(str::to_owned)
}
