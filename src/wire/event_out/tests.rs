use super::*;
use serde_json::json;
use std::sync::Arc;
use ticketgate_actors::model::{
    BackendId, CorrelationKey, EventName, Kind, RequestId, TicketKey, TicketStatus, TicketView,
};
use uuid::Uuid;

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn event(alarms: Vec<AlarmRef>, error: Option<TicketError>) -> TicketEvent {
    TicketEvent {
        n: 9,
        event_id: EventId(uuid(1)),
        event: EventName::Created,
        at: Timestamp::parse("2026-11-21T10:00:00.123456789Z").unwrap(),
        sequence: 3,
        request_id: Some(RequestId(uuid(2))),
        correlation_key: CorrelationKey("tgabc".into()),
        alarms,
        ticket: TicketView {
            key: TicketKey(uuid(3)),
            backend: BackendId::new("crm.north"),
            backend_id: None,
            kind: Kind::Incident,
            status: TicketStatus::InProgress,
            backend_status: Some("Open".into()),
            url: None,
            fields: Fields::of(json!({"n": 1, "deep": {"x": [true, 1.5]}})),
            home_node: "n1".into(),
        },
        error,
        command: None,
        conflicts: Vec::new(),
    }
}

fn alarm(source: &str, id: &str) -> AlarmRef {
    AlarmRef { source: source.into(), id: id.into() }
}

fn body(encoded: &Encoded, encoding: Encoding) -> Value {
    match encoding {
        Encoding::Json => serde_json::from_slice(&encoded.body).unwrap(),
        Encoding::MessagePack => rmp_serde::from_slice(&encoded.body).unwrap(),
    }
}

#[test]
fn a_ticket_event_is_what_the_contract_says_in_both_encodings() {
    let event = event(vec![alarm("probe", "a1"), alarm("probe", "a2")], None);
    for encoding in [Encoding::MessagePack, Encoding::Json] {
        let out = encode(&Outgoing::Ticket(Arc::new(event.clone())), "n1", encoding);
        assert_eq!(out.exchange, Exchange::Tickets);
        assert_eq!(out.routing_key, "ticket.crm_north.incident.created");
        assert_eq!(out.content_type, encoding.content_type());
        assert_eq!(out.message_id, "00000000-0000-0000-0000-000000000001");
        assert_eq!(
            out.headers,
            [
                ("cloudEvents_specversion", "1.0".to_owned()),
                ("cloudEvents_id", "00000000-0000-0000-0000-000000000001".to_owned()),
                ("cloudEvents_type", "ticketgate.ticket.created".to_owned()),
                ("cloudEvents_source", "ticketgate/n1".to_owned()),
                ("cloudEvents_time", "2026-11-21T10:00:00.123Z".to_owned()),
                ("cloudEvents_subject", "00000000-0000-0000-0000-000000000003".to_owned()),
            ]
        );
        assert_eq!(
            body(&out, encoding),
            json!({
                "event_id": "00000000-0000-0000-0000-000000000001",
                "event": "created",
                "at": "2026-11-21T10:00:00.123Z",
                "sequence": 3,
                "request_id": "00000000-0000-0000-0000-000000000002",
                "correlation_key": "tgabc",
                "alarm": {"source": "probe", "id": "a1"},
                "alarms": [{"source": "probe", "id": "a1"}, {"source": "probe", "id": "a2"}],
                "ticket": {
                    "key": "00000000-0000-0000-0000-000000000003",
                    "backend": "crm.north", "backend_id": null, "kind": "incident",
                    "status": "inProgress", "backend_status": "Open", "url": null,
                    "fields": {"n": 1, "deep": {"x": [true, 1.5]}}, "home_node": "n1",
                },
            })
        );
    }
}

#[test]
fn an_event_of_a_command_names_no_alarm_and_a_failure_says_why() {
    let error = TicketError { http_status: Some(422), ..TicketError::because("no such site") };
    let event = Arc::new(event(Vec::new(), Some(error)));
    let out = encode(&Outgoing::Ticket(event), "n1", Encoding::MessagePack);
    let body = body(&out, Encoding::MessagePack);
    assert_eq!(body.get("alarm"), None);
    assert_eq!(body.get("alarms"), None);
    assert_eq!(body["error"], json!({"reason": "no such site", "http_status": 422}));
}

#[test]
fn a_write_back_goes_to_its_source() {
    let back = event(vec![alarm("north.tx", "a1")], None).write_backs().remove(0);
    let out = encode(&Outgoing::WriteBack(back.clone()), "n1", Encoding::Json);
    assert_eq!(
        (&out.exchange, out.routing_key.as_str()),
        (&Exchange::Tickets, "writeback.north_tx")
    );
    assert_eq!(out.message_id, back.event_id.to_string());
    assert!(out.headers.contains(&("cloudEvents_type", "ticketgate.writeback".to_owned())));
    assert!(out.headers.contains(&("cloudEvents_subject", "north.tx/a1".to_owned())));
    assert_eq!(
        body(&out, Encoding::Json),
        json!({
            "source": "north.tx", "id": "a1", "key": "00000000-0000-0000-0000-000000000003",
            "backend": "crm.north", "backend_id": null, "status": "inProgress", "url": null,
            "at": "2026-11-21T10:00:00.123Z",
        })
    );
}

#[test]
fn an_operators_notice_keeps_its_key_and_body() {
    for (key, kind) in [
        ("lane.crm.paused", "ticketgate.ops.lane.paused"),
        ("request.undecided", "ticketgate.ops.request.undecided"),
        ("canary", "ticketgate.ops.canary"),
    ] {
        let message = Outgoing::Ops {
            event_id: EventId(uuid(7)),
            key: key.into(),
            at: Timestamp::from_millis(0),
            body: json!({"why": "breaker"}),
        };
        let out = encode(&message, "n1", Encoding::Json);
        assert_eq!((&out.exchange, out.routing_key.as_str()), (&Exchange::Ops, key));
        assert!(out.headers.contains(&("cloudEvents_type", kind.to_owned())));
        assert_eq!(body(&out, Encoding::Json), json!({"why": "breaker"}));
    }
}

#[test]
fn a_routing_key_is_cut_to_what_amqp_can_carry() {
    let back = event(vec![alarm(&"ü".repeat(256), "a1")], None).write_backs().remove(0);
    let out = encode(&Outgoing::WriteBack(back), "n1", Encoding::Json);
    assert!(out.routing_key.len() <= MAX_ROUTING_KEY && out.routing_key.ends_with('ü'));
}

/// What the description of the wire says.
#[test]
fn the_fields_that_are_told_are_those_that_are_written() {
    let names = |out: &Encoded| {
        let body = body(out, Encoding::Json);
        body.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    let told = |fields: &[&str]| fields.iter().map(|name| (*name).to_owned()).collect();
    let event = event(vec![alarm("probe", "a1")], Some(TicketError::because("why")));
    let out = encode(&Outgoing::Ticket(Arc::new(event.clone())), "n1", Encoding::Json);
    assert_eq!(names(&out), told(TICKET_FIELDS));
    let back = WriteBack {
        event_id: event.event_id,
        alarm: alarm("probe", "a1"),
        key: event.ticket.key,
        backend: event.ticket.backend.clone(),
        backend_id: None,
        status: event.ticket.status,
        url: None,
        at: event.at,
    };
    let out = encode(&Outgoing::WriteBack(back), "n1", Encoding::Json);
    assert_eq!(names(&out), told(WRITE_BACK_FIELDS));
}
