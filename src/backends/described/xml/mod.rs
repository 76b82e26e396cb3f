//! XML as we read and write it: a small tree with namespaces, and text that is safe in it.
//!
//! What always holds: no DOCTYPE, and so no entities but the five of XML itself; size, depth,
//! elements and attributes are bounded while it is read, so that no document costs more than a
//! fraction of a second; only UTF-8. Whatever breaks a rule is refused whole, and nothing is guessed.
//!
//! What it leaves to others: which part of a document means what (`path`, `reading`).

mod parse;
pub mod path;

pub(super) use parse::parse;

use std::fmt::Write;
use std::sync::Arc;

/// A name with its namespace; none: no namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub namespace: Option<Arc<str>>,
    pub local: Box<str>,
}

/// An element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub name: Name,
    pub attributes: Vec<(Name, String)>,
    pub children: Vec<Child>,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Element(Element),
    Text(String),
}

const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

impl Element {
    /// The elements in it.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            Child::Text(_) => None,
        })
    }

    /// All text below it, in order.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.add_text(&mut text);
        text
    }

    /// Whether it says `xsi:nil`.
    pub fn is_nil(&self) -> bool {
        self.attributes.iter().any(|(name, value)| {
            name.namespace.as_deref() == Some(SCHEMA_INSTANCE)
                && &*name.local == "nil"
                && matches!(value.as_str(), "true" | "1")
        })
    }

    fn add_text(&self, text: &mut String) {
        for child in &self.children {
            match child {
                Child::Text(more) => text.push_str(more),
                // As deep as a document may be (`parse`).
                Child::Element(element) => element.add_text(text),
            }
        }
    }
}

/// Writes a text so that it stays one, in an element and in an attribute. What XML 1.0 cannot say at
/// all, such as a zero byte, becomes `U+FFFD`.
pub(in crate::backends) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Else an attribute's line breaks, and every carriage return, would be read as others.
            '\t' | '\n' | '\r' => {
                // A String takes whatever is written.
                let _ = write!(out, "&#{};", u32::from(character));
            }
            character if is_allowed(character) => out.push(character),
            _ => out.push('\u{FFFD}'),
        }
    }
    out
}

/// Whether a text can be the name of an element: a prefix at most, and what XML allows of ASCII.
pub(super) fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    match text.split_once(':') {
        Some((prefix, local)) => part(prefix) && part(local),
        None => part(text),
    }
}

/// The characters of XML 1.0.
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_back_as_it_was() {
        let nasty = "<a>&\"'\t\r\n]]> é 𝄞 {{ x }} <!-- --> &amp; <![CDATA[x";
        for around in ["<r>TEXT</r>", "<r><a>TEXT</a></r>"] {
            let document = parse(around.replace("TEXT", &escape(nasty)).as_bytes()).unwrap();
            assert_eq!(document.text(), nasty);
        }
        let attribute = format!("<r a=\"{}\"/>", escape(nasty));
        assert_eq!(parse(attribute.as_bytes()).unwrap().attributes[0].1, nasty);
    }

    #[test]
    fn what_xml_cannot_say_is_replaced() {
        assert_eq!(escape("a\u{0}b\u{1f}c\u{fffe}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn names_are_told_from_what_is_none() {
        for name in ["a", "t:Title", "_x-1.y"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ":a", "a:", "a b", "1a", "a:b:c", "a>"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
