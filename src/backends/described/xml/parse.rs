//! From bytes to the tree, within limits.
//!
//! What always holds: one pass over the bytes; each limit is looked at before what it bounds is kept.
//! The grammar is quick-xml's; names, namespaces, references and limits are looked after here.
//!
//! What it leaves to others: the size of the whole (the exchange's `max_answer`).

use super::{Child, Element, Name, is_allowed};
use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use std::sync::Arc;

/// Elements within elements. Envelopes and tickets need about ten.
const DEPTH_MAX: usize = 64;
/// Elements of a document: a thousand tickets of a hundred fields.
const ELEMENTS_MAX: usize = 100_000;
/// Attributes of one element, namespaces included: comparing them costs the square of this.
const ATTRIBUTES_MAX: usize = 64;
/// Namespaces that are in force at one place.
const NAMESPACES_MAX: usize = 256;

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a text is not read as XML. Never holds any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::backends) enum Refusal {
    #[error("it is no UTF-8")]
    NotUtf8,
    #[error("it says that it is written in another charset than UTF-8")]
    OtherCharset,
    #[error("it has a DOCTYPE, which is not read")]
    Doctype,
    #[error("its elements are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    #[error("it has more than {ELEMENTS_MAX} elements")]
    TooManyElements,
    #[error("an element has more than {ATTRIBUTES_MAX} attributes")]
    TooManyAttributes,
    #[error("more than {NAMESPACES_MAX} namespaces are in force at once")]
    TooManyNamespaces,
    #[error("it is cut off, or is no XML: {0}")]
    NoXml(&'static str),
}

/// Reads a document: its root element.
pub(in crate::backends) fn parse(bytes: &[u8]) -> Result<Element, Refusal> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::NotUtf8)?;
    if !text.chars().all(is_allowed) {
        return Err(Refusal::NoXml("it holds characters that XML does not have"));
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut tree = Tree::default();
    loop {
        match reader.read_event().map_err(|_| Refusal::NoXml("its marks do not fit"))? {
            Event::Start(start) => tree.open(&start)?,
            Event::Empty(start) => {
                tree.open(&start)?;
                tree.close()?;
            }
            // The reader has seen to it that the names are the same.
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.text(&text.xml10_content())?,
            Event::CData(text) => tree.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let character = character(&reference)?;
                tree.text(character.encode_utf8(&mut [0; 4]))?;
            }
            Event::Decl(declaration) => charset(&declaration)?,
            Event::DocType(_) => return Err(Refusal::Doctype),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return tree.whole(),
        }
    }
}

#[derive(Default)]
struct Tree {
    root: Option<Element>,
    open: Vec<Open>,
    namespaces: Vec<(Box<str>, Option<Arc<str>>)>,
    elements: usize,
}

/// An element whose end has not come, and how many namespaces were in force before it.
struct Open {
    element: Element,
    before: usize,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), Refusal> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(Refusal::TooManyElements);
        }
        if self.open.len() == DEPTH_MAX {
            return Err(Refusal::TooDeep);
        }
        if self.root.is_some() {
            return Err(Refusal::NoXml("it has more than one root"));
        }
        let before = self.namespaces.len();
        let mut raw = Vec::new();
        for attribute in start.attributes() {
            let attribute =
                attribute.map_err(|_| Refusal::NoXml("an attribute is malformed or doubled"))?;
            if raw.len() == ATTRIBUTES_MAX {
                return Err(Refusal::TooManyAttributes);
            }
            let value = value(&attribute.value)?;
            raw.push((attribute.key.as_ref().to_owned(), value));
        }
        let mut others = Vec::new();
        for (key, value) in raw {
            match key.strip_prefix("xmlns") {
                Some("") => self.declare("", value)?,
                Some(prefix) if prefix.starts_with(':') => self.declare(&prefix[1..], value)?,
                _ => others.push((key, value)),
            }
        }
        let mut attributes: Vec<(Name, String)> = Vec::with_capacity(others.len());
        for (key, value) in others {
            let name = self.name(&key, true)?;
            if attributes.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::NoXml("an attribute is doubled"));
            }
            attributes.push((name, value));
        }
        let name = self.name(start.name().as_ref(), false)?;
        let element = Element { name, attributes, children: Vec::new() };
        self.open.push(Open { element, before });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refusal> {
        let Some(Open { element, before }) = self.open.pop() else {
            return Err(Refusal::NoXml("an end has no beginning"));
        };
        self.namespaces.truncate(before);
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(Child::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Refusal> {
        match self.open.last_mut() {
            Some(open) => match open.element.children.last_mut() {
                Some(Child::Text(before)) => before.push_str(text),
                _ => open.element.children.push(Child::Text(text.to_owned())),
            },
            None if text.trim().is_empty() => {}
            None => return Err(Refusal::NoXml("there is text outside of its root")),
        }
        Ok(())
    }

    fn whole(self) -> Result<Element, Refusal> {
        if !self.open.is_empty() {
            return Err(Refusal::NoXml("an element has no end"));
        }
        self.root.ok_or(Refusal::NoXml("it has no root"))
    }

    fn declare(&mut self, prefix: &str, uri: String) -> Result<(), Refusal> {
        if self.namespaces.len() == NAMESPACES_MAX {
            return Err(Refusal::TooManyNamespaces);
        }
        if prefix.contains(':') || (uri.is_empty() && !prefix.is_empty()) {
            return Err(Refusal::NoXml("a namespace is malformed"));
        }
        let uri = (!uri.is_empty()).then(|| Arc::from(uri));
        self.namespaces.push((prefix.into(), uri));
        Ok(())
    }

    /// An attribute without a prefix has no namespace; an element has the default one.
    fn name(&self, raw: &str, is_attribute: bool) -> Result<Name, Refusal> {
        let (prefix, local) = raw.split_once(':').unwrap_or(("", raw));
        let no_name = |part: &str| part.is_empty() || part.contains(':') || part.starts_with('-');
        if no_name(local) || (raw.contains(':') && prefix.is_empty()) {
            return Err(Refusal::NoXml("a name is malformed"));
        }
        let known = || self.namespaces.iter().rev().find(|(known, _)| **known == *prefix);
        let namespace = match prefix {
            "" if is_attribute => None,
            "" => known().and_then(|(_, uri)| uri.clone()),
            "xml" => Some(Arc::from(XML)),
            _ => match known() {
                Some((_, uri)) => uri.clone(),
                None => return Err(Refusal::NoXml("a prefix has no namespace")),
            },
        };
        Ok(Name { namespace, local: local.into() })
    }
}

fn charset(declaration: &BytesDecl<'_>) -> Result<(), Refusal> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if ["utf-8", "utf8", "us-ascii"].contains(&&*name.to_ascii_lowercase()) => {
            Ok(())
        }
        Some(_) => Err(Refusal::OtherCharset),
    }
}

fn character(reference: &BytesRef<'_>) -> Result<char, Refusal> {
    let malformed = Refusal::NoXml("it refers to a character that there is not");
    match reference.resolve_char_ref() {
        Ok(Some(character)) if is_allowed(character) => Ok(character),
        Ok(None) => match &*reference.xml10_content() {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(Refusal::NoXml("it refers to an entity that there is not")),
        },
        _ => Err(malformed),
    }
}

/// An attribute's value: references resolved, line breaks written plainly read as spaces.
fn value(raw: &str) -> Result<String, Refusal> {
    if raw.contains('<') {
        return Err(Refusal::NoXml("an attribute holds a <"));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        plain(&mut out, &rest[..at]);
        let (name, after) = rest[at + 1..]
            .split_once(';')
            .ok_or(Refusal::NoXml("it refers to an entity that there is not"))?;
        out.push(character(&BytesRef::new(name))?);
        rest = after;
    }
    plain(&mut out, rest);
    Ok(out)
}

fn plain(out: &mut String, text: &str) {
    out.extend(text.chars().map(|c| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: impl AsRef<[u8]>) -> Refusal {
        parse(text.as_ref()).expect_err("it must be refused")
    }

    #[test]
    fn names_have_their_namespaces() {
        let root = parse(
            b"\xEF\xBB\xBF<?xml version='1.0' encoding='UTF-8'?>\n<!-- c --><a:r xmlns:a='urn:a' xmlns='urn:d' \
              a:x='1' y='2'><c/><a:c xmlns:a='urn:b'/><c xmlns=''/><a:c/>&lt;&#x41;<![CDATA[&<]]></a:r>",
        )
        .unwrap();
        let names =
            |name: &Name| (name.namespace.as_deref().map(str::to_owned), name.local.clone());
        assert_eq!(names(&root.name), (Some("urn:a".to_owned()), "r".into()));
        let attributes: Vec<_> = root.attributes.iter().map(|(name, _)| names(name)).collect();
        assert_eq!(attributes, [(Some("urn:a".to_owned()), "x".into()), (None, "y".into())]);
        let children: Vec<_> = root.elements().map(|c| names(&c.name).0).collect();
        let urn = |x: &str| Some(format!("urn:{x}"));
        assert_eq!(children, [urn("d"), urn("b"), None, urn("a")]);
        assert_eq!(root.text(), "<A&<");
    }

    #[test]
    fn what_is_no_xml_or_not_ours_is_refused() {
        for (text, says) in [
            ("", "no root"),
            ("text", "outside"),
            ("<a>", "no end"),
            ("<a><b></a></b>", "marks"),
            ("<a/><b/>", "more than one root"),
            ("<a></a>x", "outside"),
            ("<a", "marks"),
            ("<a b='1' b='2'/>", "doubled"),
            ("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "doubled"),
            ("<a b=1/>", "malformed"),
            ("<a b='<'/>", "<"),
            ("<p:a/>", "prefix"),
            ("<:a/>", "name"),
            ("<a>&nbsp;</a>", "entity"),
            ("<a>&#0;</a>", "character"),
            ("<a>&#x1;</a>", "character"),
            ("<a b='&x;'/>", "entity"),
            ("<a>\u{1}</a>", "characters"),
            ("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "DOCTYPE"),
            ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "charset"),
            ("<a><!-- a -- b --></a>", "marks"),
        ] {
            let told = refusal(text).to_string();
            assert!(told.contains(says), "{text}: {told}");
        }
        assert_eq!(refusal(b"<a>\xE9</a>"), Refusal::NotUtf8);
        let utf_16: Vec<u8> =
            "\u{feff}<a/>".encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
        assert_eq!(refusal(utf_16), Refusal::NotUtf8);
    }

    #[test]
    fn bombs_are_refused_at_their_limit() {
        let attributes: String = (0..60_000).map(|n| format!(" a{n}='x'")).collect();
        assert_eq!(refusal(format!("<a{attributes}/>")), Refusal::TooManyAttributes);
        let namespaces: String = (0..60_000).map(|n| format!(" xmlns:a{n}='x'")).collect();
        assert_eq!(refusal(format!("<a{namespaces}/>")), Refusal::TooManyAttributes);
        let nested: String = (0..60)
            .map(|n| (0..60).map(|m| format!(" xmlns:a{n}x{m}='x'")).collect::<String>())
            .map(|namespaces| format!("<a{namespaces}>"))
            .collect();
        assert_eq!(refusal(nested), Refusal::TooManyNamespaces);
        assert_eq!(refusal("<a>".repeat(200_000)), Refusal::TooDeep);
        let deep = format!("{}{}", "<a>".repeat(200_000), "</a>".repeat(200_000));
        assert_eq!(refusal(deep), Refusal::TooDeep);
        assert_eq!(refusal(format!("<a>{}</a>", "<b/>".repeat(100_000))), Refusal::TooManyElements);
        let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><l>&b;</l>";
        assert_eq!(refusal(laughs), Refusal::Doctype);
        // The greatest that is allowed is read.
        let wide: String = (0..64).map(|n| format!(" a{n}='x'")).collect();
        assert!(parse(format!("<a{wide}/>").as_bytes()).is_ok());
        let deep = format!("{}{}", "<a>".repeat(64), "</a>".repeat(64));
        assert!(parse(deep.as_bytes()).is_ok());
    }
}
