//! A message as the broker hands it over, to a message as the inlets take it.
//!
//! What is too large for the alarm intake is refused, so that the broker dead-letters it whole to
//! the parked queue (CONTRACT 1.2); from there it comes in again with the reason.

use crate::wire::MAX_BODY;
use lapin::message::Delivery as Raw;
use lapin::types::{AMQPValue, FieldTable};
use std::sync::Arc;
use ticketgate_actors::ports::Delivery;

/// Bytes of a parked message that are kept. The broker takes up to 128 MiB, which no operator can
/// mend and no table should hold; what is cut off is told in the reason.
const MAX_PARKED: usize = 16 * 1024 * 1024;

/// What becomes of an arrival.
#[expect(clippy::large_enum_variant, reason = "nearly all are taken, and taken apart at once")]
pub(super) enum Arrival {
    /// It goes to the inlet.
    Taken(Delivery),
    /// The broker shall dead-letter it.
    Refused,
}

/// From an intake.
pub(super) fn intake(raw: Raw, queue: &Arc<str>) -> Arrival {
    if raw.data.len() > MAX_BODY {
        return Arrival::Refused;
    }
    Arrival::Taken(delivery(raw, Arc::clone(queue), None))
}

/// From the queue of beats. Whatever its size: nothing is behind that queue that would keep it, and
/// the inlet counts what it cannot read.
pub(super) fn beat(raw: Raw, queue: &Arc<str>) -> Arrival {
    Arrival::Taken(delivery(raw, Arc::clone(queue), None))
}

/// From the parked queue: named after the queue in which it was first, with the reason for which
/// the broker took it out of there.
pub(super) fn parked(mut raw: Raw, queue: &Arc<str>) -> Arrival {
    let headers = raw.properties.headers().clone().unwrap_or_default();
    let first_queue = text(&headers, "x-first-death-queue").map_or(Arc::clone(queue), Arc::from);
    let reason = text(&headers, "x-first-death-reason");
    let size = raw.data.len();
    let mut why = match reason.as_deref() {
        None => format!("it was published to {queue} itself"),
        Some("rejected") if size > MAX_BODY => {
            format!("rejected: it has {size} bytes; {MAX_BODY} are allowed")
        }
        Some("delivery_limit") => {
            "delivery_limit: it was delivered too often without being taken".to_owned()
        }
        Some(other) => other.to_owned(),
    };
    if size > MAX_PARKED {
        raw.data.truncate(MAX_PARKED);
        why.push_str(&format!("; only the first {MAX_PARKED} are kept"));
    }
    Arrival::Taken(delivery(raw, first_queue, Some(why)))
}

fn delivery(raw: Raw, inlet: Arc<str>, dead_lettered: Option<String>) -> Delivery {
    let attribute = |name: &str| {
        let headers = raw.properties.headers().as_ref()?;
        // CloudEvents' AMQP binding allows both; Java clients cannot say the colon.
        text(headers, &format!("cloudEvents_{name}"))
            .or_else(|| text(headers, &format!("cloudEvents:{name}")))
    };
    Delivery {
        inlet,
        content_type: raw.properties.content_type().as_ref().map(ToString::to_string),
        message_id: raw.properties.message_id().as_ref().map(ToString::to_string),
        reply_to: raw.properties.reply_to().as_ref().map(ToString::to_string),
        correlation_id: raw.properties.correlation_id().as_ref().map(ToString::to_string),
        cloudevents_id: attribute("id"),
        cloudevents_source: attribute("source"),
        dead_lettered,
        body: raw.data.into(),
    }
}

fn text(headers: &FieldTable, name: &str) -> Option<String> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::BasicProperties;

    fn raw(size: usize, headers: &[(&str, &str)]) -> Raw {
        let mut raw = Raw::mock(1, "".into(), "alarm.probe.major".into(), false, vec![0; size]);
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        raw.properties = BasicProperties::default()
            .with_headers(table)
            .with_content_type("application/json".into())
            .with_message_id("m1".into());
        raw
    }

    fn taken(arrival: Arrival) -> Delivery {
        match arrival {
            Arrival::Taken(delivery) => delivery,
            Arrival::Refused => panic!("refused"),
        }
    }

    #[test]
    fn an_alarm_keeps_its_names_in_both_spellings_of_the_headers() {
        for id in ["cloudEvents_id", "cloudEvents:id"] {
            let source = id.replace("id", "source");
            let raw = raw(MAX_BODY, &[(id, "c1"), (&source, "urn:x")]);
            let delivery = taken(intake(raw, &"q".into()));
            assert_eq!(delivery.inlet.as_ref(), "q");
            assert_eq!(delivery.body.len(), MAX_BODY);
            assert_eq!(delivery.content_type.as_deref(), Some("application/json"));
            assert_eq!(delivery.message_id.as_deref(), Some("m1"));
            assert_eq!(delivery.cloudevents_id.as_deref(), Some("c1"));
            assert_eq!(delivery.cloudevents_source.as_deref(), Some("urn:x"));
            assert_eq!(delivery.dead_lettered, None);
        }
    }

    #[test]
    fn an_alarm_that_is_too_large_is_left_to_the_broker() {
        assert!(matches!(intake(raw(MAX_BODY + 1, &[]), &"q".into()), Arrival::Refused));
    }

    #[test]
    fn a_parked_message_says_where_it_was_first_and_why_it_is_here() {
        let death = |reason| {
            [("x-first-death-queue", "tg.alarms.intake"), ("x-first-death-reason", reason)]
        };
        for (size, headers, inlet, why) in [
            (9, death("delivery_limit").to_vec(), "tg.alarms.intake", "delivery_limit: it was"),
            (9, death("rejected").to_vec(), "tg.alarms.intake", "rejected"),
            (300_000, death("rejected").to_vec(), "tg.alarms.intake", "it has 300000 bytes"),
            (9, Vec::new(), "tg.parked", "it was published to tg.parked itself"),
            (MAX_PARKED + 1, Vec::new(), "tg.parked", "only the first 16777216 are kept"),
        ] {
            let delivery = taken(parked(raw(size, &headers), &"tg.parked".into()));
            assert_eq!(delivery.inlet.as_ref(), inlet);
            assert_eq!(delivery.body.len(), size.min(MAX_PARKED));
            let reason = delivery.dead_lettered.unwrap();
            assert!(reason.contains(why), "{reason}");
        }
    }
}
