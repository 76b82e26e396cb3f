//! Selectors, compiled once, and what they find as the plain things that we read: JSONPath in JSON,
//! a part of XPath in XML (`xml::path`).
//!
//! What always holds: null, and an element that says `xsi:nil`, is nothing; what has another type
//! than what is read is nothing as well, and never a guess.
//!
//! What it leaves to others: which selector reads what (`places`, `reading`).

use super::xml::Element;
use super::xml::path::{Found, Path};
use serde_json::Value;
use serde_json_path::JsonPath;
use std::collections::BTreeMap;

/// What an answer says.
#[derive(Debug)]
pub(super) enum Document {
    Json(Value),
    /// What the body of an envelope holds.
    Xml(Element),
}

impl Document {
    /// The whole of it.
    pub fn whole(&self) -> Item<'_> {
        match self {
            Self::Json(value) => Item::Json(value),
            Self::Xml(element) => Item::Xml(Found::Element(element)),
        }
    }
}

/// A place in a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'a> {
    Json(&'a Value),
    Xml(Found<'a>),
}

/// How selectors are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grammar<'a> {
    Json,
    /// With the namespaces by their prefixes.
    Xml(&'a BTreeMap<String, String>),
}

/// A compiled selector.
#[derive(Clone, Debug)]
pub(super) enum Selector {
    Json(JsonPath),
    /// A JSONPath such as `$.ticket.id`, as most are: these members, one within the other.
    Members(Vec<String>),
    Xml(Path),
}

impl Selector {
    /// Compiles one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, grammar: Grammar<'_>) -> Result<Self, String> {
        match grammar {
            Grammar::Json => match (JsonPath::parse(text), members(text)) {
                (Ok(_), Some(members)) => Ok(Self::Members(members)),
                (Ok(path), None) => Ok(Self::Json(path)),
                (Err(error), _) => {
                    let (message, at) = (error.message(), error.position());
                    Err(format!("{text:?} is not a JSONPath ({message}, at {at})"))
                }
            },
            Grammar::Xml(namespaces) => Path::parse(text, namespaces).map(Self::Xml),
        }
    }

    /// All that it finds from a place on.
    pub fn all<'a>(&self, from: Item<'a>) -> Vec<Item<'a>> {
        match (self, from) {
            (Self::Json(path), Item::Json(value)) => {
                path.query(value).all().into_iter().map(Item::Json).collect()
            }
            (Self::Members(names), Item::Json(value)) => {
                let found = names.iter().try_fold(value, |at, name| at.get(name));
                found.map(Item::Json).into_iter().collect()
            }
            (Self::Xml(path), Item::Xml(Found::Element(element))) => {
                path.all(element).into_iter().map(Item::Xml).collect()
            }
            // A description's selectors and its answers are of one kind.
            _ => Vec::new(),
        }
    }

    /// Whether it finds anything but null.
    pub fn finds(&self, from: Item<'_>) -> bool {
        self.all(from).iter().any(|found| !found.is_nothing())
    }

    /// The only thing that it finds.
    pub fn only<'a>(&self, from: Item<'a>) -> Option<Item<'a>> {
        match self.all(from).as_slice() {
            [only] if !only.is_nothing() => Some(*only),
            _ => None,
        }
    }

    /// One thing as it is; several as a list; null is nothing.
    pub fn value(&self, from: Item<'_>) -> Option<Value> {
        match self.all(from).as_slice() {
            [] => None,
            [one] => one.value(),
            several => Some(several.iter().map(|one| one.value().unwrap_or_default()).collect()),
        }
    }

    /// Every thing that it finds, in a list.
    pub fn list(&self, from: Item<'_>) -> Value {
        self.all(from).iter().filter_map(Item::value).collect()
    }

    /// See [`Item::text`]; only if it is one alone.
    pub fn text(&self, from: Item<'_>) -> Option<String> {
        self.only(from)?.text()
    }

    /// True, a number other than 0, or a text that is not empty; in XML not `false` and not `0`.
    pub fn truth(&self, from: Item<'_>) -> bool {
        self.all(from).iter().any(|found| match found {
            Item::Json(Value::Bool(truth)) => *truth,
            Item::Json(Value::Number(number)) => number.as_f64() != Some(0.0),
            Item::Json(Value::String(text)) => !text.is_empty(),
            Item::Json(Value::Null) => false,
            Item::Json(Value::Array(_) | Value::Object(_)) => true,
            Item::Xml(found) => {
                found.text().is_some_and(|text| !matches!(text.trim(), "" | "false" | "0"))
            }
        })
    }

    /// A whole number from 0 up.
    pub fn count(&self, from: Item<'_>) -> Option<u64> {
        match self.only(from)? {
            Item::Json(value) => value.as_u64(),
            Item::Xml(found) => found.text()?.trim().parse().ok(),
        }
    }
}

impl Item<'_> {
    /// A text that is not empty, a whole number or a truth value, as text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Json(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Self::Json(Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
            Self::Json(Value::Bool(truth)) => Some(truth.to_string()),
            Self::Json(_) => None,
            Self::Xml(found) => found.text().filter(|text| !text.is_empty()),
        }
    }

    /// As it is; in XML its text.
    pub fn value(&self) -> Option<Value> {
        match self {
            Self::Json(Value::Null) => None,
            Self::Json(value) => Some((*value).clone()),
            Self::Xml(found) => found.text().map(Value::String),
        }
    }

    fn is_nothing(&self) -> bool {
        match self {
            Self::Json(value) => value.is_null(),
            Self::Xml(Found::Element(element)) => element.is_nil(),
            Self::Xml(_) => false,
        }
    }
}

/// `ticket`, `id` of `$.ticket.id`.
fn members(path: &str) -> Option<Vec<String>> {
    let is_plain = |name: &&str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let names: Vec<&str> = path.strip_prefix("$.")?.split('.').collect();
    names.iter().all(is_plain).then(|| names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Selector, String> {
        Selector::parse(text, Grammar::Json)
    }

    #[test]
    fn an_id_is_text_or_a_whole_number_and_nothing_else() {
        let id = parse("$.id").unwrap();
        for (value, text) in [
            (json!("INC1"), Some("INC1")),
            (json!(12), Some("12")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (json!(-3), Some("-3")),
            (json!(1.5), None),
            (json!(1e30), None),
            (json!(""), None),
            (json!(null), None),
            (json!(["1"]), None),
        ] {
            assert_eq!(id.text(Item::Json(&json!({"id": value}))).as_deref(), text, "{value}");
        }
        assert_eq!(id.text(Item::Json(&json!({}))), None);
        let ids = parse("$[*].id").unwrap();
        assert_eq!(ids.text(Item::Json(&json!([{"id": 1}, {"id": 2}]))), None);
        assert_eq!(ids.list(Item::Json(&json!([{"id": 1}, {"id": null}]))), json!([1]));
    }

    #[test]
    fn members_are_found_as_a_jsonpath_finds_them() {
        for (path, same) in
            [("$.id", "$['id']"), ("$.a.b", "$['a']['b']"), ("$._a1.true", "$['_a1']['true']")]
        {
            let (members, same) = (parse(path).unwrap(), parse(same).unwrap());
            assert!(matches!((&members, &same), (Selector::Members(_), Selector::Json(_))));
            for document in [
                json!({"id": 1, "a": {"b": "x"}, "_a1": {"true": [1]}}),
                json!({"id": null, "a": [{"b": 1}], "_a1": "true"}),
                json!({"a": {"b": {}}}),
                json!([{"id": 1}]),
                json!("id"),
            ] {
                let at = Item::Json(&document);
                assert_eq!(members.list(at), same.list(at), "{path} in {document}");
                assert_eq!(members.finds(at), same.finds(at), "{path} in {document}");
            }
        }
        for path in ["$", "$.a[0]", "$..a", "$.*", "$['a']", "$.a-b", "$.1"] {
            assert!(!matches!(parse(path), Ok(Selector::Members(_))), "{path}");
        }
    }

    #[test]
    fn in_xml_nil_is_nothing_and_numbers_are_text() {
        let document = super::super::xml::parse(
            b"<d><id>7</id><e/><n xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:nil='true'/><m>false</m></d>",
        );
        let document = Document::Xml(document.unwrap());
        let none = BTreeMap::new();
        let at = |path: &str| Selector::parse(path, Grammar::Xml(&none)).unwrap();
        assert_eq!(at("id").text(document.whole()).as_deref(), Some("7"));
        assert_eq!(at("id").count(document.whole()), Some(7));
        assert_eq!(at("e").text(document.whole()), None);
        assert_eq!(at("e").value(document.whole()), Some(json!("")));
        assert!(at("e").finds(document.whole()) && !at("n").finds(document.whole()));
        assert_eq!(at("n").value(document.whole()), None);
        assert!(!at("m").truth(document.whole()) && at("id").truth(document.whole()));
    }

    #[test]
    fn a_mistake_is_told() {
        let error = parse("$.a[").unwrap_err();
        assert!(error.contains("$.a[") && error.contains("JSONPath"), "{error}");
    }
}
