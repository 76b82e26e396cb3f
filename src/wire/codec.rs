//! MessagePack and JSON (CONTRACT 1.2): which of the two a body is, and bytes to fields and back.
//!
//! What always holds: a body over [`MAX_BODY`] is not looked at, one nested too deep is refused
//! and not followed, and nothing may stand behind the message. What the fields mean is left to
//! the other files.

use super::tree::Message;
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use ticketgate_actors::model::Fields;
use ticketgate_actors::ports::Malformed;

/// Bytes in one message, on every queue (CONTRACT 1.2).
pub const MAX_BODY: usize = 256 * 1024;

/// Bytes of most messages out, so that they are written without their place being made longer.
const USUAL_BODY: usize = 1024;

/// Where rmp-serde stops to follow nested values by itself. The guard of `tree` is a little
/// stricter; this one holds should that fail, since 1,000 levels end the process.
const MESSAGE_PACK_DEPTH: usize = 64;

/// The two encodings of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// Maps with string keys: the default out.
    #[default]
    #[serde(rename = "msgpack")]
    MessagePack,
    /// Plain JSON.
    #[serde(rename = "json")]
    Json,
}

impl Encoding {
    /// The content type on messages out.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::MessagePack => "application/msgpack",
            Self::Json => "application/json",
        }
    }

    /// What a body is: as its content type says, if that is one of ours; whatever else is claimed,
    /// the first byte tells. A MessagePack message is a map, which never begins like JSON does.
    pub fn of(content_type: Option<&str>, body: &[u8]) -> Self {
        let claimed = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
        match claimed.trim().to_ascii_lowercase().as_str() {
            "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
                Self::MessagePack
            }
            "application/json" => Self::Json,
            _ => match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{' | b'[') => Self::Json,
                _ => Self::MessagePack,
            },
        }
    }
}

/// The wanted fields of a message.
pub(super) fn fields(
    body: &[u8],
    encoding: Encoding,
    wanted: &[&str],
) -> Result<Fields, Malformed> {
    if body.len() > MAX_BODY {
        let reason = format!("the message has {} bytes; {MAX_BODY} are allowed", body.len());
        return Err(Malformed { field: None, reason });
    }
    match encoding {
        Encoding::MessagePack => message_pack(body, wanted),
        Encoding::Json => json(body, wanted),
    }
}

fn message_pack(body: &[u8], wanted: &[&str]) -> Result<Fields, Malformed> {
    let mut from = rmp_serde::Deserializer::new(Cursor::new(body));
    from.set_max_depth(MESSAGE_PACK_DEPTH);
    let fields = Message { wanted }
        .deserialize(&mut from)
        .map_err(|error| unreadable("MessagePack", &error))?;
    match body.len() as u64 - from.position() {
        0 => Ok(fields),
        more => Err(unreadable("MessagePack", &format_args!("{more} bytes follow the message"))),
    }
}

fn json(body: &[u8], wanted: &[&str]) -> Result<Fields, Malformed> {
    let mut from = serde_json::Deserializer::from_slice(body);
    let fields =
        Message { wanted }.deserialize(&mut from).map_err(|error| unreadable("JSON", &error))?;
    from.end().map_err(|error| unreadable("JSON", &error))?;
    Ok(fields)
}

fn unreadable(as_what: &str, why: &dyn std::fmt::Display) -> Malformed {
    Malformed { field: None, reason: format!("cannot be read as {as_what}: {why}") }
}

/// The bytes of a message.
pub(super) fn bytes<T: Serialize>(message: &T, encoding: Encoding) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BODY);
    match encoding {
        Encoding::MessagePack => rmp_serde::encode::write_named(&mut bytes, message)
            .expect("a Vec takes every byte, and our messages hold only strings, numbers and maps"),
        Encoding::Json => serde_json::to_writer(&mut bytes, message)
            .expect("a Vec takes every byte, and our messages have string keys only"),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_content_type_counts_where_it_is_ours_and_the_first_byte_elsewhere() {
        use Encoding::{Json, MessagePack};
        for (content_type, body, expected) in [
            (Some("application/msgpack"), "{}", MessagePack),
            (Some("application/x-msgpack"), "{}", MessagePack),
            (Some("application/vnd.msgpack"), "{}", MessagePack),
            (Some("Application/JSON; charset=utf-8"), "\u{1}", Json),
            (Some("text/plain"), " \n{}", Json),
            (Some("text/plain"), "\u{1}", MessagePack),
            (None, "[]", Json),
            (None, "", MessagePack),
        ] {
            assert_eq!(Encoding::of(content_type, body.as_bytes()), expected, "{content_type:?}");
        }
    }

    /// `levels` arrays in each other, in a field of that name.
    fn nested(levels: usize, name: &str) -> [(Encoding, Vec<u8>); 2] {
        let json = format!("{{\"{name}\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let mut pack = vec![0x81, 0xa0 | u8::try_from(name.len()).unwrap()];
        pack.extend_from_slice(name.as_bytes());
        pack.extend(std::iter::repeat_n(0x91, levels - 1));
        pack.push(0x90);
        [(Encoding::Json, json.into_bytes()), (Encoding::MessagePack, pack)]
    }

    #[test]
    fn a_thousand_levels_are_refused_and_not_followed() {
        for name in ["known", "other"] {
            for (encoding, body) in nested(1_000, name) {
                let error = fields(&body, encoding, &["known"]).unwrap_err();
                assert!(error.reason.contains("nested more than 60"), "{name}: {error}");
            }
        }
    }

    #[test]
    fn both_encodings_allow_the_same_depth() {
        for (levels, fits) in [(1, true), (59, true), (60, false), (61, false)] {
            for (encoding, body) in nested(levels, "known") {
                let read = fields(&body, encoding, &["known"]);
                assert_eq!(read.is_ok(), fits, "{levels} {encoding:?} {read:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_message_says_why() {
        let pack = |value: &Value| bytes(value, Encoding::MessagePack);
        let mut trailing = pack(&json!({"known": 1}));
        trailing.push(0xc0);
        for (encoding, body, reason) in [
            (Encoding::Json, b"{} x".to_vec(), "trailing"),
            (Encoding::Json, b"[1]".to_vec(), "a map with string keys"),
            (Encoding::Json, b"".to_vec(), "EOF"),
            (Encoding::Json, b"{\"known\":1,\"known\":2}".to_vec(), "given twice"),
            (Encoding::MessagePack, trailing, "1 bytes follow"),
            (Encoding::MessagePack, pack(&json!(["known"])), "a map with string keys"),
            (Encoding::MessagePack, vec![0x81, 0x00, 0x00], "a string as the name"),
            (Encoding::MessagePack, b"\x81\xa5known\xc4\x01\xff".to_vec(), "not UTF-8"),
            (Encoding::MessagePack, b"\x81\xa5known\xd4\x05\xff".to_vec(), "extension types"),
            (
                Encoding::MessagePack,
                b"\x81\xa5known\xcb\x7f\xf8\0\0\0\0\0\0".to_vec(),
                "a number is not finite",
            ),
            (Encoding::Json, vec![b' '; MAX_BODY + 1], "262145 bytes"),
        ] {
            let error = fields(&body, encoding, &["known"]).unwrap_err();
            assert!(error.reason.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_no_matter_in_a_field_that_nobody_knows() {
        for other in [
            &b"\xc4\x01\xff"[..],
            b"\xd4\x05\xff",
            b"\xc7\x03\x05abc",
            b"\x81\x00\x91\xc0",
            b"\xcb\x7f\xf8\0\0\0\0\0\0",
        ] {
            let body = [&b"\x82\xa5other"[..], other, b"\xa5known\x01"].concat();
            let read = fields(&body, Encoding::MessagePack, &["known"]).unwrap();
            assert_eq!(Value::from(read), json!({"known": 1}), "{other:?}");
        }
    }

    #[test]
    fn binary_strings_that_are_text_are_text() {
        let body = b"\x81\xc4\x05known\xc4\x02ab";
        let read = fields(body, Encoding::MessagePack, &["known"]).unwrap();
        assert_eq!(Value::from(read), json!({"known": "ab"}));
    }
}
