//! A create as a described backend says it, in JSON and in SOAP.
//!
//! The smallest public way to a filled-in request is the call itself: where the time to send it is over,
//! it is made as always and not sent. So what is counted begins with the call's values and ends with a
//! request at the edge of the network.

use crate::committed::at_most;
use crate::heap::settled;
use futures_util::FutureExt;
use gungraun::{library_benchmark, library_benchmark_group};
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use ticketgate::backends::{install_tls, load};
use ticketgate_actors::model::{
    CorrelationKey, Fields, Kind, Moment, Mono, RequestId, TicketKey, Timestamp,
};
use ticketgate_actors::ports::{Answer, Backend, Call, Clock, Heard, TicketTarget, Via, Work};
use uuid::Uuid;

/// It is always the same time.
struct Stopped(Moment);

impl Clock for Stopped {
    fn now(&self) -> Moment {
        self.0
    }
}

fn fields() -> Fields {
    let level = json!({
        "summary": "major: lossOfSignal on Transmitter 12345, port 7",
        "description": "No signal at the input for more than ten seconds",
        "severity": "major",
        "alarm_state": "active",
        "alarm_source": "bench",
        "alarm_id": "12345",
        "object": "tx/12345/port-7",
        "object_name": "Transmitter 12345, port 7",
        "alarm_type": "communicationsAlarm",
        "probable_cause": "lossOfSignal",
        "raised_at": "2026-11-21T10:00:00.000Z",
        "changed_at": "2026-11-21T10:00:00.000Z",
        "revision": 1,
    });
    serde_json::from_value(level).expect("it is an object")
}

fn create() -> Call {
    let ticket = TicketTarget {
        key: TicketKey(Uuid::from_u128(7)),
        correlation_key: CorrelationKey("tgaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        kind: Kind::Incident,
        backend_id: None,
    };
    Call {
        via: Via::Selected,
        service: None,
        ticket: Some(ticket.key),
        attempt: 1,
        request: Some(RequestId(Uuid::from_u128(9))),
        alarm: None,
        work: Work::Create { ticket, fields: fields() },
        // Before now.
        send_by: Mono(1),
        timeout: Duration::from_secs(10),
    }
}

fn by(preset: &str) -> (Arc<dyn Backend>, Call) {
    install_tls();
    let described = format!("id = 'b1'\npreset = '{preset}'\nbase_url = 'http://127.0.0.1:1/b1'");
    let table = described.parse().expect("it is TOML");
    let description = load(table).unwrap_or_else(|errors| panic!("{errors:?}"));
    let now = Moment { wall: Timestamp::from_millis(1_795_255_200_000), mono: Mono(500_000) };
    let backend = description.connect(Arc::new(Stopped(now)));
    let backend = backend.unwrap_or_else(|errors| panic!("{errors:?}"));
    // What cannot be filled in would be quick. And what is made once is made here.
    match backend.call(create()).now_or_never().map(|heard| heard.answer) {
        Some(Answer::NotSent(reason)) if reason.contains("too late") => {}
        other => panic!("{other:?}"),
    }
    settled((backend, create()))
}

#[library_benchmark]
#[bench::in_json(args = ("simulated-rest"), setup = by, config = at_most("template_json"))]
#[bench::in_soap(args = ("telenet-osb"), setup = by, config = at_most("template_soap"))]
fn create_as_described(
    (backend, call): (Arc<dyn Backend>, Call),
) -> (Option<Heard>, Arc<dyn Backend>) {
    let heard = backend.call(black_box(call)).now_or_never();
    (heard, backend)
}

library_benchmark_group!(name = described, benchmarks = [create_as_described]);
