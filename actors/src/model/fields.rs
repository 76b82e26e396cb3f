//! The business fields of a ticket.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

/// Names to JSON values: a map in everything, but that copies of it share it until one of them is changed. One
/// alarm's fields stand in its request, its ticket and its events, each of which is copied from actor to
/// store and back.
#[derive(Clone)]
pub struct Fields(Arc<Map<String, Value>>);

/// Most that have none share this one.
static NONE: LazyLock<Arc<Map<String, Value>>> = LazyLock::new(Arc::default);

impl Fields {
    /// None yet.
    pub fn new() -> Self {
        Self(NONE.clone())
    }

    /// The members of an object; none of what is no object.
    pub fn of(value: Value) -> Self {
        match value {
            Value::Object(members) => members.into(),
            _ => Self::new(),
        }
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a map of one's own.
    pub fn into_map(self) -> Map<String, Value> {
        Arc::unwrap_or_clone(self.0)
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Fields {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl DerefMut for Fields {
    /// Copied first, where others have it too.
    fn deref_mut(&mut self) -> &mut Map<String, Value> {
        Arc::make_mut(&mut self.0)
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(map: Map<String, Value>) -> Self {
        Self(Arc::new(map))
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.into_map())
    }
}

impl FromIterator<(String, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Map::from_iter(fields).into()
    }
}

impl IntoIterator for Fields {
    type Item = (String, Value);
    type IntoIter = serde_json::map::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.into_map().into_iter()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a String, &'a Value);
    type IntoIter = serde_json::map::Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Map::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_changed_changes_no_other() {
        let one = Fields::from_iter([("a".to_owned(), 1.into())]);
        let mut other = one.clone();
        assert_eq!(one, other);
        other.insert("b".to_owned(), 2.into());
        assert_eq!((one.len(), other.len()), (1, 2));
        assert_ne!(one, other);
        let mut none = Fields::new();
        none.insert("a".to_owned(), 1.into());
        assert_eq!(none, one);
        assert!(Fields::new().is_empty() && Fields::default().is_empty());
        assert_eq!(serde_json::to_string(&other).unwrap(), r#"{"a":1,"b":2}"#);
    }
}
