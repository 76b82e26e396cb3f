//! Open tickets of an old system are brought along (`ticketgate ticket import`).

use super::Face;
use super::access::Caller;
use super::actions::reason;
use super::problem::Problem;
use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use ticketgate_actors::changes::{Applied, Change, ChangeSet, Import, Named};
use ticketgate_actors::logic::correlation::correlation_key;
use ticketgate_actors::logic::import::{Brought, brought};
use ticketgate_actors::model::{
    AlarmRef, BackendId, Kind, OccurrenceRef, Origin, TicketKey, TicketStatus,
};

/// Tickets in one request: what one group commit takes without others having to wait.
pub const ROWS_MAX: usize = 1_000;
/// Characters of a name.
const NAME_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    #[serde(default)]
    dry_run: bool,
    reason: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    source: String,
    alarm_id: String,
    backend: String,
    backend_id: String,
    status: TicketStatus,
    #[serde(default)]
    kind: Kind,
}

#[post("/tickets/import")]
pub(super) async fn import(
    face: web::Data<Face>,
    caller: Caller,
    body: web::Json<ImportBody>,
) -> Result<HttpResponse, Problem> {
    let reason = reason(&body.reason)?;
    if body.rows.len() > ROWS_MAX {
        let detail = format!("has {} rows; {ROWS_MAX} are allowed", body.rows.len());
        return Err(Problem::field("rows", detail));
    }
    for (n, row) in body.rows.iter().enumerate() {
        row.check(&face, n)?;
        caller.must_see(&BackendId::new(&row.backend))?;
    }
    let verdicts = match body.dry_run {
        true => tried(&face, &body.rows).await?,
        false => done(&face, &caller, &body.rows, &reason).await?,
    };
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for verdict in &verdicts {
        *counts.entry(verdict.as_str()).or_default() += 1;
    }
    let rows: Vec<Value> = verdicts.iter().map(told).collect();
    Ok(HttpResponse::Ok().json(json!({"dry_run": body.dry_run, "counts": counts, "rows": rows})))
}

fn told(verdict: &Brought) -> Value {
    match verdict {
        Brought::Refused(why) => json!({"outcome": verdict.as_str(), "reason": why}),
        _ => json!({"outcome": verdict.as_str()}),
    }
}

impl Row {
    fn check(&self, face: &Face, n: usize) -> Result<(), Problem> {
        for (name, text) in [
            ("source", &self.source),
            ("alarm_id", &self.alarm_id),
            ("backend_id", &self.backend_id),
        ] {
            if text.trim().is_empty() || text.chars().count() > NAME_MAX {
                let detail = format!("has 1 to {NAME_MAX} characters");
                return Err(Problem::field(&format!("rows[{n}].{name}"), detail));
            }
        }
        if !face.known_backends.iter().any(|known| known.as_str() == self.backend) {
            let names: Vec<_> = face.known_backends.iter().map(BackendId::as_str).collect();
            let detail = format!("{:?} is not one of: {}", self.backend, names.join(", "));
            return Err(Problem::field(&format!("rows[{n}].backend"), detail));
        }
        Ok(())
    }

    fn alarm(&self) -> AlarmRef {
        AlarmRef { source: self.source.clone(), id: self.alarm_id.clone() }
    }
}

/// What would become of each, by what is there now. Two rows of one file are not seen together.
async fn tried(face: &Face, rows: &[Row]) -> Result<Vec<Brought>, Problem> {
    let reads = &face.cast.outside.reads;
    let mut verdicts = Vec::with_capacity(rows.len());
    for row in rows {
        let newest = reads.occurrences(row.alarm()).await?.pop();
        let (backend, id) = (BackendId::new(&row.backend), row.backend_id.clone());
        let theirs = reads.ticket_by_backend_id(backend, id).await?;
        verdicts.push(brought(newest.as_ref(), theirs.as_ref(), row.status));
    }
    Ok(verdicts)
}

async fn done(
    face: &Face,
    caller: &Caller,
    rows: &[Row],
    reason: &str,
) -> Result<Vec<Brought>, Problem> {
    let outside = &face.cast.outside;
    let now = outside.clock.now().wall;
    let who = caller.who();
    let what = format!("{} tickets brought along", rows.len());
    let audit = Change::Audit { who, what, why: reason.to_owned() };
    let mut changes = Vec::with_capacity(rows.len() + 1);
    for row in rows {
        let backend = BackendId::new(&row.backend);
        let at = OccurrenceRef { alarm: row.alarm(), occurrence: 0 };
        let ticket = TicketKey(outside.ids.uuid(now));
        // Of an alarm that is known its own numbers begin elsewhere: by its key it is like none.
        let origin = Origin::Alarm { at, number: 0 };
        let correlation_key = correlation_key(&outside.instance, &backend, row.kind, &origin);
        changes.push(Change::Import(Box::new(Import {
            alarm: row.alarm(),
            backend,
            backend_id: row.backend_id.trim().to_owned(),
            kind: row.kind,
            status: row.status,
            row: Named { ticket, correlation_key, origin },
            who: caller.who(),
            reason: reason.to_owned(),
        })));
    }
    changes.push(audit);
    let applied = outside.store.apply(ChangeSet(changes)).await?;
    let verdict = |applied: &Applied| match applied {
        Applied::Imported(verdict) => Some(*verdict),
        _ => None,
    };
    Ok(applied.iter().filter_map(verdict).collect())
}
