//! The presets `request-tracker` and `redmine` against the real systems, which `make test-systems`
//! starts and names by the environment. Ignored otherwise.

use super::*;
use crate::clock::SystemClock;
use serde_json::json;
use ticketgate_actors::model::{Found, TicketStatus, Timestamp};

fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run make test-systems"))
}

fn request_tracker(token: &str) -> Arc<dyn Backend> {
    adapter(&described(&format!(
        "id = 'rt'\npreset = 'request-tracker'\nbase_url = '{}'\nauth = {{ value = '{token}' }}",
        told("RT_URL")
    )))
}

fn redmine(key: &str, more: &str) -> Arc<dyn Backend> {
    let [field, incident, change, problem] = [
        "REDMINE_CF_ALARMKEY",
        "REDMINE_TRACKER_INCIDENT",
        "REDMINE_TRACKER_CHANGE",
        "REDMINE_TRACKER_PROBLEM",
    ]
    .map(told);
    adapter(&described(&format!(
        "id = 'redmine'\npreset = 'redmine'\nbase_url = '{}'\nauth = {{ value = '{key}' }}\n{more}\n\
         [read]\ncorrelation_key = '$.custom_fields[?@.id=={field}].value'\n\
         [maps.fields.to]\ncorrelation_key = '{field}'\n[maps.filters.to]\ncorrelation_key = 'cf_{field}'\n\
         [maps.trackers.to]\nincident = '{incident}'\nchange = '{change}'\nproblem = '{problem}'",
        told("REDMINE_URL")
    )))
}

/// A key that no run before this one has used: the systems keep their tickets.
fn fresh(of: Kind) -> TicketTarget {
    let key = format!("tg{}", Uuid::new_v4().simple().to_string().get(..26).unwrap());
    TicketTarget { kind: of, correlation_key: CorrelationKey(key), ..target(None) }
}

fn alarm(summary: &str) -> Fields {
    fields(
        json!({"summary": summary, "description": "lost & <found>\nline 2 ☃", "severity": "major"}),
    )
}

/// What every user of a ticketing system does.
async fn a_whole_life(backend: &Arc<dyn Backend>, of: Kind) {
    let ticket = fresh(of);
    let search = || Work::Search {
        by: SearchBy::CorrelationKey(ticket.correlation_key.clone()),
        kind: of,
        limit: 2,
    };
    let absent = calls(backend, search()).await;
    assert_eq!(kind(&absent), ("read", ""), "{absent:?}");
    let summary = "it's \"down\" \\ <now>";
    let work = Work::Create { ticket: ticket.clone(), fields: alarm(summary) };
    let made = calls(backend, work).await;
    let Answer::Done(made) = made else { panic!("{made:?}") };
    let id = made.backend_id;

    let found = calls(backend, search()).await;
    let Answer::Read(found) = found else { panic!("{found:?}") };
    assert_eq!(found.tickets.len(), 1, "{found:?}");
    assert_eq!(found.tickets[0].backend_id, id);
    assert_eq!(
        found.tickets[0].correlation_key.as_ref(),
        Some(&ticket.correlation_key.0),
        "{found:?}"
    );
    let get = || Work::Get { backend_id: id.clone(), kind: of };
    let Answer::Read(read) = calls(backend, get()).await else { panic!() };
    assert_eq!(read.tickets[0].fields["summary"], summary);
    assert!(read.tickets[0].status.is_some_and(|status| !status.ended()), "{read:?}");
    assert!(read.tickets[0].url.as_ref().is_some_and(|url| url.ends_with(&id)), "{read:?}");
    let none = Work::Get { backend_id: "99999999".to_owned(), kind: of };
    let none = calls(backend, none).await;
    assert_eq!(kind(&none), ("read", ""), "{none:?}");

    let target = |id: &str| TicketTarget { backend_id: Some(id.to_owned()), ..ticket.clone() };
    let mut noted = alarm("changed");
    noted.insert("note".to_owned(), "a note".into());
    for _ in 0..2 {
        let work = Work::Update { ticket: target(&id), fields: noted.clone() };
        let changed = calls(backend, work).await;
        let Answer::Done(found) = changed else { panic!("{changed:?}") };
        assert_eq!(found.fields["summary"], "changed");
    }
    let work = Work::Close { ticket: target(&id), fields: Fields::new() };
    let closed = calls(backend, work).await;
    let Answer::Done(found) = closed else { panic!("{closed:?}") };
    assert!(found.status.is_some_and(TicketStatus::ended), "{found:?}");
    let found = calls(backend, search()).await;
    assert_eq!(kind(&found), ("read", id.as_str()), "a closed ticket is found as well: {found:?}");
    let work = Work::Reopen { ticket: target(&id), fields: Fields::new() };
    let open = calls(backend, work).await;
    let Answer::Done(found) = open else { panic!("{open:?}") };
    assert!(found.status.is_some_and(|status| !status.ended()), "{found:?}");
    let missing = Work::Update { ticket: target("99999999"), fields: alarm("x") };
    let missing = calls(backend, missing).await;
    assert_eq!(kind(&missing).0, "refused", "{missing:?}");
}

/// What changed, from a moment on, by pages of two.
async fn pages_since(backend: &Arc<dyn Backend>, since: Timestamp) -> Vec<Found> {
    let mut rows = Vec::new();
    loop {
        let offset = u32::try_from(rows.len()).unwrap();
        let work = Work::Changes { cursor: None, since: Some(since), offset, limit: 2 };
        let answer = calls(backend, work).await;
        let Answer::Read(page) = answer else { panic!("{answer:?}") };
        assert!(page.tickets.len() <= 2 && rows.len() < 1_000, "{page:?}");
        rows.extend(page.tickets);
        if !page.more {
            return rows;
        }
    }
}

/// This machine's clock, which the systems go by too, in whole seconds.
fn this_second() -> Timestamp {
    let now = SystemClock::default().now().wall;
    Timestamp::from_millis(now.as_millis() / 1_000 * 1_000)
}

/// Five tickets, of which one is then closed, as the feed tells it.
async fn a_feed(backend: &Arc<dyn Backend>) {
    let since = this_second();
    let mut made = Vec::new();
    for (number, of) in
        [Kind::Incident, Kind::Change, Kind::Problem, Kind::Incident, Kind::Incident]
            .iter()
            .enumerate()
    {
        let ticket = fresh(*of);
        let fields = alarm(&format!("it's {number}"));
        let work = Work::Create { ticket: ticket.clone(), fields };
        let answer = calls(backend, work).await;
        let Answer::Done(found) = answer else { panic!("{answer:?}") };
        made.push(TicketTarget { backend_id: Some(found.backend_id), ..ticket });
    }
    let ids: Vec<_> = made.iter().filter_map(|ticket| ticket.backend_id.clone()).collect();
    let ours = |rows: Vec<Found>| -> Vec<Found> {
        rows.into_iter().filter(|row| ids.contains(&row.backend_id)).collect()
    };
    let rows = ours(pages_since(backend, since).await);
    assert_eq!(rows.iter().map(|row| row.backend_id.clone()).collect::<Vec<_>>(), ids, "{rows:#?}");
    for (row, ticket) in rows.iter().zip(&made) {
        assert_eq!(row.correlation_key.as_ref(), Some(&ticket.correlation_key.0));
        assert_eq!(row.fields["kind"], ticket.kind.as_str(), "{row:?}");
        assert!(row.changed_at.is_some_and(|at| at >= since) && !row.deleted, "{row:?}");
        assert!(row.status.is_some_and(|status| !status.ended()), "{row:?}");
    }

    // After the end of that second: what changes now has a later time.
    let last = rows.iter().filter_map(|row| row.changed_at).max().unwrap();
    // Redmine, which keeps fractions and asks by whole seconds, also gives what changed in the second before.
    let second = Duration::from_secs(1);
    while this_second() <= last.plus(second) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let close = Work::Close { ticket: made[1].clone(), fields: Fields::new() };
    let answer = calls(backend, close).await;
    assert_eq!(kind(&answer).0, "done", "{answer:?}");
    let rows = ours(pages_since(backend, since).await);
    let order: Vec<_> = rows.iter().map(|row| row.backend_id.clone()).collect();
    let moved: Vec<_> = [0, 2, 3, 4, 1].map(|at| ids[at].clone()).to_vec();
    assert_eq!(order, moved, "what changed again comes again at the end: {rows:#?}");
    assert!(rows[4].status.is_some_and(TicketStatus::ended), "a closed one is among them");
    let news = ours(pages_since(backend, rows[4].changed_at.unwrap()).await);
    assert_eq!(news.len(), 1, "{news:#?}");
    let later = rows[4].changed_at.unwrap().plus(Duration::from_secs(3_600));
    assert!(pages_since(backend, later).await.is_empty());
}

#[tokio::test]
#[ignore = "needs a running Request Tracker: make test-systems"]
async fn request_tracker_tells_what_changed() {
    let backend = request_tracker(&told("RT_TOKEN"));
    a_feed(&backend).await;
    let work = Work::Changes { cursor: None, since: None, offset: 0, limit: 1 };
    let heard = backend.call(call(work.clone())).await;
    let age = this_second().as_millis() - heard.clock.unwrap().as_millis();
    assert!(age.abs() <= 5_000, "{heard:?}");
    let answer = calls(&request_tracker("no-such-token"), work).await;
    assert_eq!(kind(&answer).0, "unauthorised", "{answer:?}");
}

#[tokio::test]
#[ignore = "needs a running Redmine: make test-systems"]
async fn redmine_tells_what_changed() {
    a_feed(&redmine(&told("REDMINE_KEY"), "")).await;
    // As to anybody a list would be there, with nothing in it.
    let work = Work::Changes { cursor: None, since: None, offset: 0, limit: 1 };
    let answer = calls(&redmine("no-such-key", ""), work).await;
    assert_eq!(kind(&answer).0, "unauthorised", "{answer:?}");
}

#[tokio::test]
#[ignore = "needs a running Request Tracker: make test-systems"]
async fn request_tracker_does_what_its_preset_says() {
    let backend = request_tracker(&told("RT_TOKEN"));
    for of in [Kind::Incident, Kind::Change, Kind::Problem] {
        a_whole_life(&backend, of).await;
    }
    for work in [create("x"), look()] {
        let answer = calls(&request_tracker("no-such-token"), work).await;
        assert_eq!(kind(&answer).0, "unauthorised", "{answer:?}");
    }
    let mut elsewhere = alarm("x");
    elsewhere.insert("queue".to_owned(), "No such queue".into());
    let work = Work::Create { ticket: fresh(Kind::Incident), fields: elsewhere };
    let answer = calls(&backend, work).await;
    assert_eq!(kind(&answer).0, "refused", "{answer:?}");
    let mut odd = Fields::new();
    odd.insert("status".to_owned(), "no such status".into());
    let work = Work::Update { ticket: target(Some("1")), fields: odd };
    let answer = calls(&backend, work).await;
    assert_eq!(kind(&answer).0, "refused", "a status that there is not: {answer:?}");
}

#[tokio::test]
#[ignore = "needs a running Redmine: make test-systems"]
async fn redmine_does_what_its_preset_says() {
    let backend = redmine(&told("REDMINE_KEY"), "");
    for of in [Kind::Incident, Kind::Change, Kind::Problem] {
        a_whole_life(&backend, of).await;
    }
    for work in [create("x"), look()] {
        let answer = calls(&redmine("no-such-key", ""), work).await;
        assert_eq!(kind(&answer).0, "unauthorised", "{answer:?}");
    }
    let ticket = fresh(Kind::Incident);
    let Answer::Done(made) =
        calls(&backend, Work::Create { ticket: ticket.clone(), fields: alarm("x") }).await
    else {
        panic!()
    };
    let odd = redmine(&told("REDMINE_KEY"), "[maps.status.to]\nclosed = '99'");
    let ticket = TicketTarget { backend_id: Some(made.backend_id), ..ticket };
    let answer = calls(&odd, Work::Close { ticket, fields: Fields::new() }).await;
    assert_eq!(kind(&answer).0, "refused", "a status that there is not: {answer:?}");
    let empty = Work::Create {
        ticket: fresh(Kind::Incident),
        fields: fields(json!({"severity": "major", "summary": ""})),
    };
    let answer = calls(&backend, empty).await;
    let Answer::Refused(error) = &answer else { panic!("{answer:?}") };
    assert!(error.description.as_ref().is_some_and(|words| words.contains("blank")), "{error:?}");
}
