//! Reads any MessagePack or JSON value into a JSON value, within a depth.
//!
//! serde_json's own `Value` refuses what MessagePack can say and JSON cannot (binary strings,
//! extension types, maps with other than string keys), and a sender may well put such a thing into
//! a field that we do not know. Here unknown fields are walked over whatever they hold, and only
//! what is kept has to be sayable in JSON.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use std::fmt;
use ticketgate_actors::model::Fields;

/// Levels of maps and arrays in a message. Fewer than the 64 at which rmp-serde stops and the 128
/// at which serde_json does, so that both encodings refuse the same message.
const MAX_DEPTH: usize = 60;

/// The top level of a message: a map of which the wanted fields are kept.
pub(super) struct Message<'a> {
    /// The names of the fields to keep.
    pub wanted: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = Fields;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Fields, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = Fields;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with string keys")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = map.next_key_seed(Key)? {
            let keep = self.wanted.contains(&name.as_str());
            let value = map.next_value_seed(Tree { levels: MAX_DEPTH - 1, keep })?;
            if keep {
                put(&mut fields, name, value)?;
            }
        }
        Ok(fields)
    }
}

/// A field given twice is refused: which of the two did its sender mean?
fn put<E: Error>(fields: &mut Fields, name: String, value: Value) -> Result<(), E> {
    if fields.contains_key(&name) {
        return Err(E::custom(format_args!("the field {name:?} is given twice")));
    }
    fields.insert(name, value);
    Ok(())
}

/// A value with at most so many levels in it; null where it is not kept.
#[derive(Clone, Copy)]
struct Tree {
    levels: usize,
    keep: bool,
}

impl Tree {
    fn below<E: Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => Err(E::custom(format_args!("it is nested more than {MAX_DEPTH} levels deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can say")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(Value::Number(number)),
            None if !self.keep => Ok(Value::Null),
            None => Err(E::custom("a number is not finite")),
        }
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(if self.keep { Value::String(value.to_owned()) } else { Value::Null })
    }
    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        if !self.keep {
            return Ok(Value::Null);
        }
        match std::str::from_utf8(value) {
            Ok(text) => self.visit_str(text),
            Err(_) => Err(E::custom("a binary string is not UTF-8 text")),
        }
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    /// rmp-serde shows an extension type like this.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        if self.keep {
            return Err(D::Error::custom("MessagePack's extension types mean nothing here"));
        }
        from.deserialize_any(Extension)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut kept = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            if self.keep {
                kept.push(item);
            }
        }
        Ok(Value::Array(kept))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut kept = Fields::new();
        if self.keep {
            while let Some(name) = map.next_key_seed(Key)? {
                let value = map.next_value_seed(below)?;
                put(&mut kept, name, value)?;
            }
        } else {
            while map.next_key_seed(below)?.is_some() {
                map.next_value_seed(below)?;
            }
        }
        Ok(kept.into())
    }
}

/// Walks over an extension type: its number, then its bytes.
struct Extension;

impl<'de> Visitor<'de> for Extension {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an extension type")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        while parts.next_element_seed(Tree { levels: 0, keep: false })?.is_some() {}
        Ok(Value::Null)
    }
}

/// A field's name: a string, or a binary string that is text.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        from.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string as the name of a field")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }
    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<String, E> {
        match std::str::from_utf8(name) {
            Ok(name) => Ok(name.to_owned()),
            Err(_) => Err(E::custom("the name of a field is not UTF-8 text")),
        }
    }
}
