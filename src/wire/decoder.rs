//! Deliveries to alarm events and beats: the one implementation of the `Decode` port.
//!
//! An event's identity is its CloudEvents id (unique within the CloudEvents source), else its
//! message id (unique within the alarm's source), else a hash of its body (CONTRACT 1.3).

use super::alarm_in::{self, FIELDS};
use super::beat;
use super::codec::{self, Encoding};
use super::command_in;
use super::{later_in, sync};
use ticketgate_actors::logic::correlation;
use ticketgate_actors::model::{BackendId, Beat, Command, Identity, Said};
use ticketgate_actors::ports::{BadCommand, Decode, Delivery, Later, Malformed, SyncSaid};

/// Reads what is written in our words; knows which backends an alarm event may ask for.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The configured backends.
    pub known_backends: Vec<BackendId>,
}

impl Decoder {
    fn alarm(&self, delivery: &Delivery) -> Result<(Identity, Said), Malformed> {
        let encoding = Encoding::of(delivery.content_type.as_deref(), &delivery.body);
        let fields = codec::fields(&delivery.body, encoding, FIELDS)?;
        let said = alarm_in::said(fields, &delivery.body, &self.known_backends)?;
        Ok((identity(delivery, said.source()), said))
    }
}

impl Decode for Decoder {
    fn decode(&self, delivery: &Delivery) -> Vec<Result<(Identity, Said), Malformed>> {
        vec![self.alarm(delivery)]
    }

    fn source_of(&self, delivery: &Delivery) -> Option<String> {
        let encoding = Encoding::of(delivery.content_type.as_deref(), &delivery.body);
        let mut fields = codec::fields(&delivery.body, encoding, &["source"]).ok()?;
        match fields.remove("source") {
            Some(serde_json::Value::String(source)) => Some(source),
            _ => None,
        }
    }

    fn command(&self, delivery: &Delivery) -> Result<Command, Box<BadCommand>> {
        command_in::from_bus(delivery)
    }

    fn later(&self, delivery: &Delivery) -> Result<Later, Malformed> {
        later_in::from_bus(delivery, &self.known_backends)
    }

    fn sync(&self, delivery: &Delivery) -> Result<SyncSaid, Malformed> {
        sync::from_bus(delivery)
    }

    fn decode_beat(&self, delivery: &Delivery) -> Result<Beat, Malformed> {
        beat::read(delivery)
    }
}

fn identity(delivery: &Delivery, alarm_source: &str) -> Identity {
    let given = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
    if let Some(id) = given(&delivery.cloudevents_id) {
        let source = given(&delivery.cloudevents_source);
        return correlation::identity_by_id(source.as_deref().unwrap_or(alarm_source), &id);
    }
    match given(&delivery.message_id) {
        Some(id) => correlation::identity_by_id(alarm_source, &id),
        None => correlation::identity_by_body(&delivery.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn decoder() -> Decoder {
        Decoder { known_backends: vec![BackendId::new("crm")] }
    }

    fn delivery(body: Vec<u8>, content_type: Option<&str>) -> Delivery {
        Delivery {
            inlet: "ticketgate.alarms.intake".into(),
            body: body.into(),
            content_type: content_type.map(str::to_owned),
            message_id: None,
            cloudevents_id: None,
            cloudevents_source: None,
            reply_to: None,
            correlation_id: None,
            dead_lettered: None,
        }
    }

    fn message() -> Value {
        json!({
            "id": "a1", "source": "probe", "state": "raised", "severity": "major",
            "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1",
        })
    }

    #[test]
    fn the_identity_is_the_cloudevents_id_else_the_message_id_else_the_body() {
        let by_id = correlation::identity_by_id;
        for (id, source, message_id, expected) in [
            (Some("c1"), Some("urn:x"), Some("m1"), by_id("urn:x", "c1")),
            (Some("c1"), None, Some("m1"), by_id("probe", "c1")),
            (None, Some("urn:x"), Some("m1"), by_id("probe", "m1")),
            (Some(""), Some("urn:x"), Some("m1"), by_id("probe", "m1")),
        ] {
            let mut delivery = delivery(message().to_string().into_bytes(), None);
            delivery.cloudevents_id = id.map(str::to_owned);
            delivery.cloudevents_source = source.map(str::to_owned);
            delivery.message_id = message_id.map(str::to_owned);
            assert_eq!(decoder().alarm(&delivery).unwrap().0, expected);
        }
        let plain = delivery(message().to_string().into_bytes(), None);
        let expected = correlation::identity_by_body(&plain.body);
        assert_eq!(decoder().alarm(&plain).unwrap().0, expected);
    }

    /// Any JSON value that is exact in both encodings.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(|n| Value::from(f64::from(n) / 4.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn random_bytes_are_refused_or_read_and_never_kill(
            body in prop::collection::vec(any::<u8>(), 0..600),
            as_json in any::<Option<bool>>(),
        ) {
            let content_type = as_json.map(|json| {
                if json { Encoding::Json } else { Encoding::MessagePack }.content_type()
            });
            let _ = decoder().decode(&delivery(body, content_type));
        }

        #[test]
        fn a_damaged_message_never_kills(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            for encoding in [Encoding::Json, Encoding::MessagePack] {
                let mut body = codec::bytes(&message(), encoding);
                let at = at.index(body.len());
                body[at] = byte;
                let _ = decoder().decode(&delivery(body, None));
            }
        }

        #[test]
        fn json_and_message_pack_of_one_event_read_the_same(
            text in any::<String>(),
            properties in prop::collection::btree_map(any::<String>(), value(), 0..4),
            unknown in value(),
        ) {
            let mut message = message();
            message["text"] = text.into();
            message["properties"] = Value::Object(properties.into_iter().collect());
            message["what is this"] = unknown;
            let read = |encoding| {
                let body = codec::bytes(&message, encoding);
                let (_, said) = decoder().alarm(&delivery(body, None)).unwrap();
                let Said::Alarm(mut event) = said else { panic!("an alarm was sent") };
                event.body_hash = 0;
                event
            };
            prop_assert_eq!(read(Encoding::Json), read(Encoding::MessagePack));
        }
    }
}
