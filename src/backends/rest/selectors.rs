//! Selectors (JSONPath): compiled once, and what they find as the plain things that we read.
//!
//! What always holds: null is nothing; what has another type than what is read is nothing as well,
//! and never a guess.
//!
//! What it leaves to others: which selector reads what (`reading`).

use serde_json::Value;
use serde_json_path::JsonPath;

/// A compiled selector.
#[derive(Clone, Debug)]
pub(super) struct Selector(JsonPath);

impl Selector {
    /// Compiles one.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        JsonPath::parse(text).map(Self).map_err(|error| {
            format!("{text:?} is not a JSONPath ({}, at {})", error.message(), error.position())
        })
    }

    /// All that it finds.
    pub fn all<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        self.0.query(document).all()
    }

    /// Whether it finds anything but null.
    pub fn finds(&self, document: &Value) -> bool {
        self.0.query(document).iter().any(|found| !found.is_null())
    }

    /// One thing as it is; several as a list; null is nothing.
    pub fn value(&self, document: &Value) -> Option<Value> {
        match self.all(document).as_slice() {
            [] | [Value::Null] => None,
            [one] => Some((*one).clone()),
            several => Some(several.iter().map(|value| (*value).clone()).collect()),
        }
    }

    /// A text that is not empty, a whole number or a truth value, as text; only if it is one alone.
    pub fn text(&self, document: &Value) -> Option<String> {
        match self.all(document).as_slice() {
            [Value::String(text)] if !text.is_empty() => Some(text.clone()),
            [Value::Number(number)] if !number.is_f64() => Some(number.to_string()),
            [Value::Bool(truth)] => Some(truth.to_string()),
            _ => None,
        }
    }

    /// True, a number other than 0, or a text that is not empty.
    pub fn truth(&self, document: &Value) -> bool {
        self.all(document).iter().any(|value| match value {
            Value::Bool(truth) => *truth,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Null => false,
            Value::Array(_) | Value::Object(_) => true,
        })
    }

    /// A whole number from 0 up.
    pub fn count(&self, document: &Value) -> Option<u64> {
        match self.all(document).as_slice() {
            [Value::Number(number)] => number.as_u64(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_is_text_or_a_whole_number_and_nothing_else() {
        let id = Selector::parse("$.id").unwrap();
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
            assert_eq!(id.text(&json!({"id": value})).as_deref(), text, "{value}");
        }
        assert_eq!(id.text(&json!({})), None);
        assert_eq!(Selector::parse("$[*].id").unwrap().text(&json!([{"id": 1}, {"id": 2}])), None);
    }

    #[test]
    fn a_mistake_is_told() {
        let error = Selector::parse("$.a[").unwrap_err();
        assert!(error.contains("$.a[") && error.contains("JSONPath"), "{error}");
    }
}
