//! How rows look on this face: JSON with the words of the contract, times in UTC milliseconds.

use crate::words;
use serde_json::{Map, Value, json};
use ticketgate_actors::actors::{ClientView, Exchanged, LaneView, Response};
use ticketgate_actors::logic::canary;
use ticketgate_actors::logic::lane::LaneSettings;
use ticketgate_actors::logic::progress::Gait;
use ticketgate_actors::logic::pulse::Sight;
use ticketgate_actors::model::{
    Alarm, Audited, BackendId, ClientNumber, Found, MadeBy, Mono, Parked, Pass, Request, Route,
    Service, Snapshot, Step, Story, Ticket, Timestamp,
};
use ticketgate_actors::ports::{About, LaneCounts, Pause};

fn time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| json!(at.to_string()))
}

/// A list and the cursor of its next page.
pub fn list(items: Vec<Value>, next: Option<u64>) -> Value {
    json!({ "items": items, "next": next })
}

/// An occurrence of an alarm.
pub fn alarm(alarm: &Alarm) -> Value {
    let details = &alarm.details;
    let mut shape = Map::new();
    for (name, value) in [
        ("source", json!(alarm.at.alarm.source)),
        ("id", json!(alarm.at.alarm.id)),
        ("occurrence", json!(alarm.at.occurrence)),
        ("state", json!(if alarm.active { "active" } else { "cleared" })),
        ("severity", json!(details.severity)),
        ("raised_at", json!(details.raised_at.to_string())),
        ("changed_at", json!(alarm.changed_at.to_string())),
        ("object", json!(details.object)),
        ("object_name", json!(details.object_name)),
        ("alarm_type", json!(details.alarm_type)),
        ("probable_cause", json!(details.probable_cause)),
        ("specific_problem", json!(details.specific_problem)),
        ("text", json!(details.text)),
        ("value", json!(details.value)),
        ("properties", json!(details.properties)),
        ("backend", json!(alarm.backend)),
        ("kind", json!(alarm.kind)),
        ("ticket", json!(alarm.ticket)),
        ("request", json!(alarm.request)),
        ("no_ticket", json!(alarm.no_ticket)),
        ("wanted_version", json!(alarm.wanted_version)),
        ("settled_version", json!(alarm.settled_version)),
        ("due_at", time(alarm.due_at)),
        ("reason", json!(alarm.reason)),
        ("first_seen", json!(alarm.first_seen.to_string())),
        ("events", json!(alarm.arrivals)),
    ] {
        shape.insert(name.to_owned(), value);
    }
    Value::Object(shape)
}

/// A ticket.
pub fn ticket(ticket: &Ticket) -> Value {
    json!({
        "key": ticket.key,
        "backend": ticket.backend,
        "backend_id": ticket.backend_id,
        "kind": ticket.kind,
        "status": ticket.status,
        "backend_status": ticket.backend_status,
        "url": ticket.url,
        "correlation_key": ticket.correlation_key,
        "sequence": ticket.sequence,
        "adopted": ticket.adopted,
        "fields": ticket.fields,
        "accepted_at": ticket.accepted_at.to_string(),
        "changed_at": ticket.changed_at.to_string(),
        "home_node": ticket.home_node,
    })
}

/// A request.
pub fn request(request: &Request) -> Value {
    let (made_by, made_for) = match &request.made_by {
        MadeBy::Level { at, version } => (
            "alarm",
            json!({
                "source": at.alarm.source,
                "id": at.alarm.id,
                "occurrence": at.occurrence,
                "version": version,
            }),
        ),
        MadeBy::Command { id, .. } => ("command", json!({ "id": id })),
        MadeBy::Sync { name } => ("sync", json!({ "name": name })),
    };
    json!({
        "n": request.n,
        "id": request.id,
        "backend": request.backend,
        "ticket": request.ticket,
        "op": request.op,
        "state": request.state,
        "made_by": made_by,
        "made_for": made_for,
        "alarm": request.alarm().map(ToString::to_string),
        "fields": request.fields,
        "service": request.service,
        "attempts": request.attempts,
        "refusals": request.refusals,
        "ready_at": request.ready_at.to_string(),
        "doubt": request.doubt.as_ref().map(|doubt| json!({
            "since": doubt.since.to_string(),
            "reason": doubt.reason,
            "absent_looks": doubt.absent_looks,
            "look_at": doubt.look_at.to_string(),
        })),
        "error": request.error,
        "accepted_at": request.accepted_at.to_string(),
        "ended_at": time(request.ended_at),
        "retry_of": request.retry_of,
        "retried_by": request.retried_by,
        "steps": steps(&request.story),
    })
}

/// One step of a story.
pub fn step(step: &Step, of: &str) -> Value {
    json!({ "at": step.at.to_string(), "of": of, "what": step.what, "why": step.why })
}

/// A story's steps.
pub fn steps(story: &Story) -> Vec<Value> {
    story.steps().iter().map(|one| step(one, "request")).collect()
}

/// A lane's gait is looked at once a beat; that it is held, or goes on again, is known at once.
fn gait_now(view: &LaneView, gait: Option<Gait>) -> Option<Gait> {
    let glance = &view.glance;
    match (gait, &glance.held) {
        (Some(Gait::Hung(_)), _) => gait,
        (_, Some(_)) if glance.in_flight.is_none() => Some(Gait::Held),
        (Some(Gait::Held), None) if glance.heads == 0 && glance.reads == 0 => Some(Gait::Idle),
        (Some(Gait::Held), None) => Some(Gait::Working),
        _ => gait,
    }
}

/// A lane: the snapshot beside the rows.
pub fn lane(id: &str, view: &LaneView, counts: &LaneCounts, gait: Option<Gait>) -> Value {
    json!({
        "id": id,
        "gait": gait_now(view, gait).map(Gait::as_str),
        "pending": counts.pending,
        "intent": counts.intent,
        "acknowledged": counts.acknowledged,
        "in_doubt": counts.in_doubt,
        "undecided": counts.undecided,
        "due_alarms": counts.due_alarms,
        "in_flight": view.glance.in_flight,
        "held": view.glance.held,
        "pause": pause(view.glance.pause.as_ref()),
        "held_tickets": view.glance.held_tickets,
        "breaker_open": view.glance.breaker_open,
        "heads": view.glance.heads,
        "searches": view.glance.reads,
        "calls": view.calls,
        "last_success": time(view.last_success),
        "last_error": view.last_error.as_ref().map(|(_, why)| why),
        "last_error_at": time(view.last_error.as_ref().map(|(at, _)| *at)),
    })
}

/// The flow to a backend, as the canary found it; `age_ms` runs on our monotonic clock.
pub fn canary(sight: &canary::Sight, now: Mono) -> Value {
    json!({
        "age_ms": u64::try_from(sight.age(now).as_millis()).unwrap_or(u64::MAX),
        "last_round_at": time(sight.last.map(|at| at.wall)),
        "rounds": sight.rounds,
        "given_up": sight.given_up,
        "under_way": sight.under_way,
        "dead": sight.dead,
        "stage": sight.stage.as_str(),
        "said": sight.why,
    })
}

/// An origin of heartbeats; `silent_ms` runs on our monotonic clock.
pub fn heartbeat(sight: &Sight, now: Mono) -> Value {
    let beat = sight.beat.as_ref();
    json!({
        "origin": sight.origin,
        "verdict": sight.verdict.as_str(),
        "expected": sight.expected,
        "last_heard_at": time(sight.heard.map(|at| at.wall)),
        "silent_ms": sight.heard.map(|at| {
            u64::try_from(now.since(at.mono).as_millis()).unwrap_or(u64::MAX)
        }),
        "boot_id": beat.map(|beat| beat.boot_id),
        "sequence": beat.map(|beat| beat.sequence),
        "sent_at": time(beat.map(|beat| beat.sent_at)),
        "interval_ms": beat.map(|beat| u64::try_from(beat.interval.as_millis()).unwrap_or(0)),
        "status": beat.map(|beat| beat.status.as_str()),
        "detail": beat.map(|beat| &beat.detail),
        "beats": sight.beats,
        "backlog": sight.backlog,
        "repeats": sight.repeats,
        "outages": sight.outages,
    })
}

/// A ticket client.
pub fn client(number: ClientNumber, view: &ClientView) -> Value {
    json!({
        "client": number,
        "lock_status": if view.guid.is_some() { "locked" } else { "free" },
        "guid": view.guid,
        "fence": view.fence,
        "lock_time": time(view.locked_at),
        "expires_at": time(view.expires_at),
        "holder": view.holder,
        "busy": view.busy.is_some(),
        "processing": view.busy.as_ref().map(|busy| format!("{}: {}", busy.what, busy.text)),
        "flows": view.flows,
    })
}

/// A snapshot of a source.
pub fn snapshot(snapshot: &Snapshot) -> Value {
    let state = match snapshot.state {
        Pass::Open => "open",
        Pass::Clearing { .. } => "clearing",
        Pass::Done => "done",
        Pass::Torn => "torn",
    };
    json!({
        "source": snapshot.source,
        "id": snapshot.pass,
        "state": state,
        "begun_at": snapshot.begun_at.to_string(),
        "ended_at": snapshot.ended_at.map(|at| at.to_string()),
        "unread": snapshot.unread,
        "cleared": snapshot.cleared,
    })
}

/// A ticketing service of a backend.
pub fn service(backend: &BackendId, service: &Service, selected: &str) -> Value {
    json!({
        "backend": backend,
        "name": service.name,
        "host": service.host,
        "port": service.port,
        "path": service.path,
        "tls": service.tls,
        "user": service.user,
        "timeout": service.timeout.map(words::format_duration),
        "selected": service.name == selected,
    })
}

/// Why something makes no calls, where it makes none.
pub fn pause(pause: Option<&Pause>) -> Value {
    pause.map_or(
        Value::Null,
        |it| json!({ "since": it.since.to_string(), "reason": it.reason, "by": it.by }),
    )
}

/// A line of the audit.
pub fn audited(row: &Audited) -> Value {
    json!({
        "n": row.n,
        "at": row.at.to_string(),
        "who": row.who,
        "what": row.what,
        "why": row.why,
    })
}

/// A backend: what it is, and how it stands. No secret.
pub fn backend(
    id: &BackendId,
    about: &About,
    settings: &LaneSettings,
    view: &LaneView,
    gait: Option<Gait>,
) -> Value {
    let token = about.token.as_ref();
    let error = token.and_then(|token| token.error.as_ref());
    json!({
        "id": id,
        "preset": about.preset,
        "type": about.speaks,
        "capability": settings.capability,
        "readable": settings.readable,
        "operations": about.operations,
        "lane": {
            "gait": gait_now(view, gait).map(Gait::as_str),
            "held": view.glance.held,
            "pause": pause(view.glance.pause.as_ref()),
        },
        "last_success": time(view.last_success),
        "last_error": view.last_error.as_ref().map(|(_, why)| why),
        "last_error_at": time(view.last_error.as_ref().map(|(at, _)| *at)),
        "auth": {
            "type": about.auth,
            "has_token": token.is_some(),
            "expires_at": time(token.and_then(|token| token.expires)),
            "last_error": error.map(|(_, why)| why),
            "last_error_at": time(error.map(|(at, _)| *at)),
        },
    })
}

/// A route, and who set it.
pub fn route(backend: &BackendId, route: &Route, by: &str) -> Value {
    json!({ "backend": backend, "exchange": route.exchange, "key": route.key, "set_by": by })
}

/// A call to a backend.
pub fn exchanged(backend: &BackendId, call: &Exchanged) -> Value {
    json!({
        "at": call.at.to_string(),
        "backend": backend,
        "service": call.service,
        "what": call.what,
        "request": call.request,
        "ticket": call.ticket,
        "attempt": (call.attempt > 0).then_some(call.attempt),
        "took_ms": call.took.as_millis(),
        "http_status": call.http_status,
        "verdict": call.verdict,
    })
}

/// A parked message; its body only where one is looked at.
pub fn parked(message: &Parked, with_body: bool) -> Value {
    let mut shape = json!({
        "n": message.n,
        "at": message.at.to_string(),
        "inlet": message.inlet,
        "message_id": message.message_id,
        "content_type": message.content_type,
        "reason": message.reason,
        "field": message.field,
        "bytes": message.body.len(),
        "mended": message.mended,
        "place": message.place,
    });
    if with_body {
        shape["body"] = bytes(&message.body);
        shape["original"] = message.original.as_ref().map_or(Value::Null, |it| bytes(&it.0));
    }
    shape
}

/// A body: as text where it is text.
fn bytes(body: &[u8]) -> Value {
    match std::str::from_utf8(body) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "hex": body.iter().map(|b| format!("{b:02x}")).collect::<String>() }),
    }
}

/// A row of a client's response table.
pub fn response(response: &Response) -> Value {
    json!({
        "at": response.at.to_string(),
        "took_ms": response.took.as_millis(),
        "backend": response.backend,
        "what": response.what,
        "said": response.said,
    })
}

/// A ticket as its backend showed it.
pub fn found(found: &Found) -> Value {
    json!({
        "backend_id": found.backend_id,
        "correlation_key": found.correlation_key,
        "url": found.url,
        "status": found.status,
        "backend_status": found.backend_status,
        "fields": found.fields,
    })
}
