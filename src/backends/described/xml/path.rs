//! Selectors for XML: the part of XPath that answers of ticketing systems need.
//!
//! `/t:Answer/t:Ticket`, `t:Id`, `//t:Id`, `*`, `@at`, `text()`, `(t:A|t:B)`, and what must be so of
//! an element in brackets: `[t:Id]`, `[t:Name='x']`, `[@at='x']`, `[2]`. A leading `/` and none are
//! the same: both begin at the place where the selector is used. Prefixes are those of the
//! description's `namespaces`; `soap` is both versions' envelope. A name without prefix has no
//! namespace.
//!
//! What always holds: a selector costs at most its number of steps times the size of the document.
//!
//! What it leaves to others: what is done with what was found (`selectors`).

use super::{Element, Name};
use std::collections::BTreeMap;

/// The namespaces of the two envelopes.
pub(in crate::backends) const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub(in crate::backends) const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";

/// A prefix that descriptions need not declare.
const SOAP_PREFIX: &str = "soap";

/// A compiled selector.
#[derive(Clone, Debug)]
pub(in crate::backends) struct Path {
    steps: Vec<Step>,
    last: Last,
}

#[derive(Clone, Debug)]
struct Step {
    anywhere_below: bool,
    /// Any of these.
    names: Vec<NameTest>,
    conditions: Vec<Condition>,
}

/// What is taken of the elements that the steps find.
#[derive(Clone, Debug)]
enum Last {
    Element,
    Text,
    Attribute(NameTest),
}

#[derive(Clone, Debug)]
struct NameTest {
    namespace: Namespace,
    /// None: any.
    local: Option<Box<str>>,
}

#[derive(Clone, Debug)]
enum Namespace {
    Any,
    None,
    Soap,
    Is(Box<str>),
}

#[derive(Clone, Debug)]
enum Condition {
    Number(usize),
    Is(Path, Option<String>),
}

/// What a selector found.
#[derive(Clone, Copy, Debug)]
pub(in crate::backends) enum Found<'a> {
    Element(&'a Element),
    Text(&'a Element),
    Attribute(&'a str),
}

impl Found<'_> {
    /// Its text; none for nil.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Element(element) if element.is_nil() => None,
            Self::Element(element) | Self::Text(element) => Some(element.text()),
            Self::Attribute(value) => Some((*value).to_owned()),
        }
    }
}

impl Path {
    /// Compiles one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, namespaces: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut parser = Parser { rest: text, namespaces };
        let path =
            parser.path().map_err(|problem| format!("{text:?} is not a selector: {problem}"))?;
        match parser.rest {
            "" => Ok(path),
            rest => Err(format!("{text:?} is not a selector: {rest:?} is left over")),
        }
    }

    /// The same without its last step: where the elements are that it finds.
    pub fn parent(&self) -> Self {
        let mut steps = self.steps.clone();
        steps.pop();
        Self { steps, last: Last::Element }
    }

    /// Whether it finds elements, by a last step that is one of names.
    pub fn finds_elements(&self) -> bool {
        matches!(self.last, Last::Element)
            && self.steps.last().is_some_and(|step| !step.anywhere_below)
    }

    /// All that it finds, from an element on, in the document's order.
    pub fn all<'a>(&self, from: &'a Element) -> Vec<Found<'a>> {
        let mut here = vec![from];
        for step in &self.steps {
            here = here.into_iter().flat_map(|element| step.take(element)).collect();
            // Below one there is what is below another: an element is found once.
            if step.anywhere_below {
                let mut seen = std::collections::HashSet::new();
                here.retain(|element| seen.insert(std::ptr::from_ref(*element)));
            }
        }
        match &self.last {
            Last::Element => here.into_iter().map(Found::Element).collect(),
            Last::Text => here.into_iter().map(Found::Text).collect(),
            Last::Attribute(test) => {
                let of = |element: &'a Element| {
                    element.attributes.iter().filter(|(name, _)| test.fits(name))
                };
                here.into_iter().flat_map(of).map(|(_, value)| Found::Attribute(value)).collect()
            }
        }
    }
}

impl Step {
    fn take<'a>(&self, from: &'a Element) -> Vec<&'a Element> {
        let mut found = Vec::new();
        self.look(from, &mut found);
        for condition in &self.conditions {
            match condition {
                Condition::Number(number) => {
                    found = found.get(number - 1).copied().into_iter().collect();
                }
                Condition::Is(path, wanted) => found.retain(|element| {
                    path.all(element).iter().any(|found| match wanted {
                        Some(wanted) => found.text().as_ref() == Some(wanted),
                        None => true,
                    })
                }),
            }
        }
        found
    }

    fn look<'a>(&self, from: &'a Element, found: &mut Vec<&'a Element>) {
        for element in from.elements() {
            if self.names.iter().any(|test| test.fits(&element.name)) {
                found.push(element);
            }
            if self.anywhere_below {
                // As deep as a document may be (`parse`).
                self.look(element, found);
            }
        }
    }
}

impl NameTest {
    fn fits(&self, name: &Name) -> bool {
        let namespace = name.namespace.as_deref();
        let is = match &self.namespace {
            Namespace::Any => true,
            Namespace::None => namespace.is_none(),
            Namespace::Soap => matches!(namespace, Some(SOAP_11 | SOAP_12)),
            Namespace::Is(uri) => namespace == Some(uri),
        };
        is && self.local.as_ref().is_none_or(|local| *local == name.local)
    }
}

struct Parser<'a> {
    rest: &'a str,
    namespaces: &'a BTreeMap<String, String>,
}

impl Parser<'_> {
    fn path(&mut self) -> Result<Path, String> {
        let mut steps = Vec::new();
        let mut anywhere_below = self.takes("//");
        if !anywhere_below {
            self.takes("/");
        }
        loop {
            if self.takes("text()") {
                return Ok(Path { steps, last: Last::Text });
            }
            if self.takes("@") {
                let last = Last::Attribute(self.name()?);
                return Ok(Path { steps, last });
            }
            if steps.is_empty() && !anywhere_below && self.takes(".") {
                return Ok(Path { steps, last: Last::Element });
            }
            let names = self.names()?;
            let mut conditions = Vec::new();
            while self.takes("[") {
                conditions.push(self.condition()?);
            }
            steps.push(Step { anywhere_below, names, conditions });
            anywhere_below = self.takes("//");
            if !anywhere_below && !self.takes("/") {
                return Ok(Path { steps, last: Last::Element });
            }
        }
    }

    fn names(&mut self) -> Result<Vec<NameTest>, String> {
        if !self.takes("(") {
            return Ok(vec![self.name()?]);
        }
        let mut names = vec![self.name()?];
        while self.takes("|") {
            names.push(self.name()?);
        }
        if self.takes(")") { Ok(names) } else { Err("a ) is missing".to_owned()) }
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let condition = if digits > 0 {
            let number = self.rest[..digits].parse().ok().filter(|number| *number > 0);
            self.rest = &self.rest[digits..];
            Condition::Number(number.ok_or("numbers begin at 1")?)
        } else {
            let path = self.path()?;
            let wanted = if self.takes("=") { Some(self.quoted()?) } else { None };
            Condition::Is(path, wanted)
        };
        if self.takes("]") { Ok(condition) } else { Err("a ] is missing".to_owned()) }
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mark = self.rest.chars().next().filter(|mark| ['\'', '"'].contains(mark));
        let mark = mark.ok_or("after = there must be a text in quotes")?;
        let (text, rest) = self.rest[1..].split_once(mark).ok_or("a quote is not closed")?;
        self.rest = rest;
        Ok(text.to_owned())
    }

    fn name(&mut self) -> Result<NameTest, String> {
        let first = self.word()?;
        if !self.takes(":") {
            let namespace = if first == "*" { Namespace::Any } else { Namespace::None };
            return Ok(NameTest { namespace, local: Self::local(first) });
        }
        let local = Self::local(self.word()?);
        let namespace = match first.as_str() {
            "*" => Namespace::Any,
            SOAP_PREFIX => Namespace::Soap,
            prefix => {
                let uri = self
                    .namespaces
                    .get(prefix)
                    .ok_or_else(|| format!("the prefix {prefix:?} is not in [soap.namespaces]"))?;
                Namespace::Is(uri.as_str().into())
            }
        };
        Ok(NameTest { namespace, local })
    }

    fn local(word: String) -> Option<Box<str>> {
        (word != "*").then(|| word.into_boxed_str())
    }

    fn word(&mut self) -> Result<String, String> {
        if self.takes("*") {
            return Ok("*".to_owned());
        }
        let is_part = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if !word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(format!("a name is missing before {rest:?}"));
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    fn takes(&mut self, mark: &str) -> bool {
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn namespaces() -> BTreeMap<String, String> {
        BTreeMap::from([("t".to_owned(), "urn:t".to_owned())])
    }

    fn found(path: &str) -> Vec<String> {
        let root = parse(
            b"<r xmlns='urn:t' xmlns:x='urn:x'><list><ticket at='1'><id>A</id><n>a</n><n>b</n></ticket>\
              <ticket at='2'><id>B</id></ticket><x:ticket><x:id>C</x:id></x:ticket></list><plain xmlns=''>p</plain></r>",
        )
        .unwrap();
        let document = Element {
            children: vec![super::super::Child::Element(root)],
            ..parse(b"<d/>").unwrap()
        };
        let path = Path::parse(path, &namespaces()).unwrap_or_else(|error| panic!("{error}"));
        path.all(&document).iter().filter_map(Found::text).collect()
    }

    #[test]
    fn elements_are_found_by_names_in_their_namespaces() {
        for (path, expected) in [
            ("/t:r/t:list/t:ticket/t:id", vec!["A", "B"]),
            ("t:r/t:list/t:ticket/t:id", vec!["A", "B"]),
            ("//t:id", vec!["A", "B"]),
            ("//*:id", vec!["A", "B", "C"]),
            ("/*/*/*/t:id", vec!["A", "B"]),
            ("/t:r/(t:list|t:none)/(t:ticket|t:other)/t:id", vec!["A", "B"]),
            ("//t:ticket/@at", vec!["1", "2"]),
            ("//t:ticket[@at='2']/t:id/text()", vec!["B"]),
            ("//t:ticket[t:id='A']/t:n", vec!["a", "b"]),
            ("//t:ticket[t:n]/t:id", vec!["A"]),
            ("//t:ticket[2]/t:id", vec!["B"]),
            ("//t:n[2]", vec!["b"]),
            ("/t:r/plain", vec!["p"]),
            ("/r", vec![]),
            ("//id", vec![]),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn a_mistake_is_told() {
        for (path, says) in [
            ("", "name"),
            ("/", "name"),
            ("/t:r/", "name"),
            ("/u:r", "\"u\""),
            ("/t:r[", "name"),
            ("/t:r[1", "]"),
            ("/t:r[0]", "1"),
            ("/t:r[t:x=1]", "quotes"),
            ("/(t:r|t:s", ")"),
            ("/t:r)", "left over"),
            ("$.id", "name"),
        ] {
            let told = Path::parse(path, &namespaces()).unwrap_err();
            assert!(told.contains(says), "{path}: {told}");
        }
    }
}
