//! The wire: an alarm event in, a ticket event out.

use crate::committed::at_most;
use crate::heap::settled;
use gungraun::{library_benchmark, library_benchmark_group};
use serde_json::Value;
use std::hint::black_box;
use std::sync::Arc;
use ticketgate::wire::{Decoder, Encoded, Encoding, encode};
use ticketgate_actors::model::{
    AlarmRef, BackendId, CorrelationKey, EventId, EventName, Fields, Identity, Kind, RequestId,
    Said, TicketEvent, TicketKey, TicketStatus, TicketView, Timestamp,
};
use ticketgate_actors::ports::{Decode, Delivery, Malformed, Outgoing};
use uuid::Uuid;

/// An alarm as `make bench` sends them.
const ALARM: &str = r#"{"id":"12345@1795255200000000","source":"bench","state":"raised","severity":"major","raised_at":"2026-11-21T10:00:00.000Z","object":"tx/12345/port-7","object_name":"Transmitter 12345, port 7","alarm_type":"communicationsAlarm","probable_cause":"lossOfSignal","text":"No signal at the input for more than ten seconds","properties":{"site":"B-1"},"ticket":{"backend":"b1"}}"#;

type Decoded = Vec<Result<(Identity, Said), Malformed>>;

fn arrived(encoding: Encoding) -> (Decoder, Delivery) {
    let body = match encoding {
        Encoding::Json => ALARM.as_bytes().to_vec(),
        Encoding::MessagePack => {
            let alarm: Value = serde_json::from_str(ALARM).expect("the text above is JSON");
            rmp_serde::to_vec_named(&alarm).expect("JSON fits MessagePack")
        }
    };
    let decoder = Decoder { known_backends: vec![BackendId::new("b0"), BackendId::new("b1")] };
    let delivery = Delivery {
        inlet: "ticketgate.alarms.intake".into(),
        body: body.into(),
        content_type: Some(encoding.content_type().to_owned()),
        message_id: Some("12345".to_owned()),
        cloudevents_id: None,
        cloudevents_source: None,
        reply_to: None,
        correlation_id: None,
        dead_lettered: None,
    };
    // What cannot be read would be quick.
    let read = decoder.decode(&delivery);
    assert!(matches!(read[..], [Ok((_, Said::Alarm(_)))]), "{read:?}");
    settled((decoder, delivery))
}

#[library_benchmark]
#[bench::from_json(args = (Encoding::Json), setup = arrived, config = at_most("alarm_from_json"))]
#[bench::from_message_pack(
    args = (Encoding::MessagePack),
    setup = arrived,
    config = at_most("alarm_from_message_pack")
)]
fn alarm((decoder, delivery): (Decoder, Delivery)) -> (Decoded, Decoder, Delivery) {
    let read = decoder.decode(black_box(&delivery));
    (read, decoder, delivery)
}

/// What is said of the ticket that the alarm above made.
fn said(encoding: Encoding) -> (Outgoing, Encoding) {
    let fields = [
        ("summary", "major: lossOfSignal on Transmitter 12345, port 7"),
        ("description", "No signal at the input for more than ten seconds"),
        ("severity", "major"),
        ("alarm_state", "active"),
        ("object", "tx/12345/port-7"),
        ("raised_at", "2026-11-21T10:00:00.000Z"),
    ];
    let ticket = TicketView {
        key: TicketKey(Uuid::from_u128(7)),
        backend: BackendId::new("b1"),
        backend_id: Some("INC12345".to_owned()),
        kind: Kind::Incident,
        status: TicketStatus::Acknowledged,
        backend_status: Some("open".to_owned()),
        url: Some("http://127.0.0.1:8700/b1/tickets/INC12345".to_owned()),
        fields: Fields::from_iter(fields.map(|(name, value)| (name.to_owned(), value.into()))),
        home_node: "node-1".to_owned(),
    };
    let event = TicketEvent {
        n: 1,
        event_id: EventId(Uuid::from_u128(8)),
        event: EventName::Created,
        at: Timestamp::from_millis(1_795_255_200_250),
        sequence: 1,
        request_id: Some(RequestId(Uuid::from_u128(9))),
        correlation_key: CorrelationKey("tgaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        alarms: vec![AlarmRef { source: "bench".into(), id: "12345@1795255200000000".into() }],
        ticket,
        error: None,
        command: None,
        conflicts: vec![],
    };
    settled((Outgoing::Ticket(Arc::new(event)), encoding))
}

#[library_benchmark]
#[bench::to_json(
    args = (Encoding::Json),
    setup = said,
    config = at_most("ticket_event_to_json")
)]
#[bench::to_message_pack(
    args = (Encoding::MessagePack),
    setup = said,
    config = at_most("ticket_event_to_message_pack")
)]
fn ticket_event((message, encoding): (Outgoing, Encoding)) -> (Encoded, Outgoing) {
    let encoded = encode(black_box(&message), "node-1", encoding);
    (encoded, message)
}

library_benchmark_group!(name = wire, benchmarks = [alarm, ticket_event]);
