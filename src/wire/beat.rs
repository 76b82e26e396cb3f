//! Heartbeats in and out (CONTRACT 1.6), in both encodings.
//!
//! What always holds of a beat that was read: its interval is from 1 ms to a day, and its detail
//! has at most [`DETAIL_MAX`] bytes; a larger one is left out and said to be, since its sender
//! lives all the same.

use super::codec::{self, Encoding};
use super::reader::Reader;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use ticketgate_actors::model::{Beat, BeatStatus, Fields};
use ticketgate_actors::ports::{Delivery, Malformed};
use uuid::Uuid;

/// Characters of an origin's name.
const ORIGIN_MAX: usize = 128;
/// Bytes of a detail, as JSON.
const DETAIL_MAX: usize = 16 * 1024;
/// The longest interval, in milliseconds: a day.
const INTERVAL_MAX: u64 = 86_400_000;

pub(super) const FIELDS: &[&str] =
    &["origin", "boot_id", "sequence", "sent_at", "interval_ms", "status", "detail"];
const STATUSES: &[(&str, BeatStatus)] =
    &[("ok", BeatStatus::Ok), ("degraded", BeatStatus::Degraded)];

#[derive(Serialize)]
struct BeatOut<'a> {
    origin: &'a str,
    boot_id: String,
    sequence: u64,
    sent_at: String,
    interval_ms: u64,
    status: &'a str,
    detail: &'a Fields,
}

/// A beat's body.
pub(super) fn body(beat: &Beat, encoding: Encoding) -> Vec<u8> {
    let out = BeatOut {
        origin: &beat.origin,
        boot_id: beat.boot_id.to_string(),
        sequence: beat.sequence,
        sent_at: beat.sent_at.to_string(),
        interval_ms: u64::try_from(beat.interval.as_millis()).unwrap_or(INTERVAL_MAX),
        status: beat.status.as_str(),
        detail: &beat.detail,
    };
    codec::bytes(&out, encoding)
}

/// Integers on the wire stay below this (CONTRACT, Words).
const NUMBER_MAX: u64 = 1 << 53;

/// Reads a beat.
pub(super) fn read(delivery: &Delivery) -> Result<Beat, Malformed> {
    let encoding = Encoding::of(delivery.content_type.as_deref(), &delivery.body);
    let mut fields = Reader::new(codec::fields(&delivery.body, encoding, FIELDS)?);
    let origin = fields.name("origin", ORIGIN_MAX)?;
    let boot_id = fields.name("boot_id", ORIGIN_MAX)?;
    let boot_id = Uuid::try_parse(&boot_id)
        .map_err(|_| fields.fault("boot_id", "is not a UUID, which is new with each start"))?;
    let sequence = fields.number("sequence", 0, NUMBER_MAX)?;
    let sequence = fields.require("sequence", sequence)?;
    let sent_at = fields.time("sent_at")?;
    let sent_at = fields.require("sent_at", sent_at)?;
    let interval = fields.number("interval_ms", 0, NUMBER_MAX)?;
    let interval = match fields.require("interval_ms", interval)? {
        millis @ 1..=INTERVAL_MAX => Duration::from_millis(millis),
        _ => return Err(fields.fault("interval_ms", format_args!("is not 1 to {INTERVAL_MAX}"))),
    };
    let status = fields.word("status", STATUSES)?;
    let status = fields.require("status", status)?;
    let detail = bounded(fields.map("detail")?);
    Ok(Beat { origin, boot_id, sequence, sent_at, interval, status, detail })
}

fn bounded(detail: Fields) -> Fields {
    match codec::bytes(&detail, Encoding::Json).len() {
        0..=DETAIL_MAX => detail,
        bytes => Fields::from_iter([(
            "left_out".to_owned(),
            json!(format!("a detail of {bytes} bytes; {DETAIL_MAX} are kept")),
        )]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use ticketgate_actors::testing::at;

    fn delivery(body: Vec<u8>) -> Delivery {
        Delivery {
            inlet: "ticketgate.heartbeats.n1".into(),
            body: body.into(),
            content_type: None,
            message_id: None,
            cloudevents_id: None,
            cloudevents_source: None,
            reply_to: None,
            correlation_id: None,
            dead_lettered: None,
        }
    }

    fn beat() -> Beat {
        Beat {
            origin: "noc.north".into(),
            boot_id: Uuid::from_u128(7),
            sequence: 3,
            sent_at: at(1_800_000_000_123),
            interval: Duration::from_secs(10),
            status: BeatStatus::Degraded,
            detail: Fields::from_iter([("lanes".to_owned(), json!({"crm": {"state": "hung"}}))]),
        }
    }

    #[test]
    fn a_beat_comes_back_from_both_encodings() {
        for encoding in [Encoding::MessagePack, Encoding::Json] {
            assert_eq!(read(&delivery(body(&beat(), encoding))).unwrap(), beat());
        }
        let written: Value = serde_json::from_slice(&body(&beat(), Encoding::Json)).unwrap();
        let expected = json!({
            "origin": "noc.north", "boot_id": "00000000-0000-0000-0000-000000000007",
            "sequence": 3, "sent_at": "2027-01-15T08:00:00.123Z", "interval_ms": 10_000,
            "status": "degraded", "detail": {"lanes": {"crm": {"state": "hung"}}},
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn what_is_wrong_with_a_beat_names_its_field() {
        for (field, value, reason) in [
            ("origin", Value::Null, "origin is missing"),
            ("origin", json!(""), "origin is empty"),
            ("boot_id", json!("seven"), "boot_id is not a UUID"),
            ("sequence", json!(-1), "sequence must be a whole number, 0 to"),
            ("sequence", json!(1.5), "sequence must be a whole number, 0 to"),
            ("sent_at", json!("now"), "sent_at"),
            ("interval_ms", json!(0), "interval_ms is not 1 to"),
            ("interval_ms", json!(86_400_001), "interval_ms is not 1 to"),
            ("status", json!("fine"), "\"fine\" is not one of: ok, degraded"),
            ("detail", json!([1]), "detail must be a map"),
        ] {
            let mut message: Value =
                serde_json::from_slice(&body(&beat(), Encoding::Json)).unwrap();
            message[field] = value;
            let wrong = read(&delivery(message.to_string().into_bytes())).unwrap_err();
            assert_eq!(wrong.field.as_deref(), Some(field));
            assert!(wrong.reason.contains(reason), "{}", wrong.reason);
        }
    }

    #[test]
    fn a_detail_that_is_too_large_is_left_out_and_the_beat_counts() {
        let mut large = beat();
        large.detail.insert("text".into(), "x".repeat(DETAIL_MAX).into());
        let kept = read(&delivery(body(&large, Encoding::MessagePack))).unwrap();
        assert_eq!(kept.sequence, 3);
        assert!(kept.detail["left_out"].as_str().unwrap().contains("16384 are kept"));
        let bare = br#"{"origin":"n","boot_id":"00000000-0000-0000-0000-000000000007","sequence":0,
            "sent_at":"2026-11-21T10:00:00Z","interval_ms":1,"status":"ok"}"#;
        assert!(read(&delivery(bare.to_vec())).unwrap().detail.is_empty());
    }
}
