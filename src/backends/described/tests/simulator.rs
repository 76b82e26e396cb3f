//! Against the simulated ticketing system: its tickets, its faults, its ledger.

use super::*;
use crate::simulate::faults::Faults;
use crate::simulate::report::Report;
use crate::simulate::rest::{Running, start};
use crate::simulate::settings::RestSettings;
use serde_json::json;
use ticketgate_actors::model::TicketStatus;

struct World {
    running: Running,
    backend: Arc<dyn Backend>,
}

impl World {
    fn with(faults: Faults, more: &str) -> Self {
        Self::start(RestSettings { faults, ..RestSettings::default() }, more)
    }

    fn start(settings: RestSettings, more: &str) -> Self {
        let running = start(settings).unwrap();
        let backend = adapter(&simulated(&running.url("osb"), more));
        Self { running, backend }
    }

    fn report(&self) -> Report {
        self.running.ledger.report_of("osb").unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Report) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is_so(&self.report()) {
            let late = tokio::time::Instant::now() > deadline;
            assert!(!late, "never happened: {what}; {:#?}", self.report());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn a_ticket_is_made_read_found_changed_closed_and_reopened() {
    let world = World::with(Faults::default(), "");
    let made = calls(&world.backend, create("link down")).await;
    let Answer::Done(made) = made else { panic!("{made:?}") };
    assert_eq!(made.backend_id, "OSB-1");
    assert_eq!(made.correlation_key.as_deref(), Some(KEY));
    assert_eq!(made.status, Some(TicketStatus::Acknowledged));
    assert_eq!(made.backend_status.as_deref(), Some("open"));
    assert_eq!(made.url, Some(format!("{}/tickets/OSB-1", world.running.url("osb"))));
    assert_eq!(made.fields["summary"], "link down");

    let found = Answer::Read(Reading { tickets: vec![made], ..Reading::default() });
    let Answer::Read(mut read) = calls(&world.backend, get("OSB-1")).await else { panic!("a get") };
    // It shows every field that is read, empty ones too.
    assert_eq!(read.tickets[0].fields["description"], json!(null));
    read.tickets[0].fields.retain(|_, value| !value.is_null());
    assert_eq!(Answer::Read(read), found);
    assert_eq!(calls(&world.backend, look()).await, found);
    let by = SearchBy::Fields(fields(json!({"summary": "link down", "status": "open"})));
    let search = Work::Search { by, kind: Kind::Incident, limit: 5 };
    assert_eq!(calls(&world.backend, search).await, found);
    assert_eq!(kind(&calls(&world.backend, get("OSB-9")).await), ("read", ""));

    for (work, text, status) in [
        (update("OSB-1", "link up"), "link up", TicketStatus::Acknowledged),
        (
            Work::Close { ticket: target(Some("OSB-1")), fields: summary("gone") },
            "gone",
            TicketStatus::Closed,
        ),
        (
            Work::Reopen { ticket: target(Some("OSB-1")), fields: Fields::new() },
            "gone",
            TicketStatus::Acknowledged,
        ),
    ] {
        let answer = calls(&world.backend, work).await;
        let Answer::Done(found) = answer else { panic!("{answer:?}") };
        assert_eq!((&found.fields["summary"], found.status), (&json!(text), Some(status)));
    }
    let report = world.report();
    assert_eq!((report.tickets, report.max_connections, report.max_in_flight), (1, 1, 1));
}

#[tokio::test]
async fn every_fault_reads_as_what_the_lane_must_do() {
    let off = Faults::default;
    let busy = Faults { busy_rate: 1.0, ..off() };
    let too_many = Faults { too_many_rate: 1.0, ..off() };
    let error_before = Faults { error_before_rate: 1.0, reads_too: true, ..off() };
    let error_after = Faults { error_after_rate: 1.0, reads_too: true, ..off() };
    let html = Faults { html_rate: 1.0, ..off() };
    let lost = Faults { lost_answer_rate: 1.0, reads_too: true, ..off() };
    let hung = Faults { hang_rate: 1.0, reads_too: true, ..off() };
    let down = Faults { down: true, ..off() };
    let locked_out = Faults { unauthorised: true, ..off() };
    let picky = Faults { reject_summary_containing: Some("poison".to_owned()), ..off() };
    for (name, faults, write, read, says) in [
        ("none", off(), "done", "read", ""),
        ("busy", busy, "busy", "busy", "503"),
        ("too many", too_many, "busy", "busy", "429"),
        ("error before", error_before, "in doubt", "in doubt", "500"),
        ("error after", error_after, "in doubt", "in doubt", "50"),
        ("html", html, "in doubt", "in doubt", "HTML"),
        ("lost answer", lost, "in doubt", "in doubt", "connection"),
        ("hang", hung, "in doubt", "in doubt", "400ms"),
        ("closed at once", down, "in doubt", "in doubt", "connection"),
        ("locked out", locked_out, "unauthorised", "unauthorised", "401"),
        ("picky", picky, "refused", "read", "422"),
    ] {
        let world = World::with(faults, "");
        for (work, expected) in [(create("poison"), write), (look(), read)] {
            let answer = calls_in_a_hurry(&world.backend, work).await;
            assert_eq!(kind(&answer).0, expected, "{name}: {answer:?}");
            if !["done", "read"].contains(&expected) {
                assert!(kind(&answer).1.contains(says), "{name}: {answer:?}");
            }
            if let Answer::Busy { retry_after, .. } = answer {
                assert_eq!(retry_after, Some(Duration::from_secs(1)), "{name}");
            }
        }
        let calls = world.report().calls;
        // G10: one call of the port is one call there, whatever happened.
        assert_eq!((calls.create, calls.search), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn a_refusal_brings_the_backends_code_and_words() {
    let faults = Faults { reject_summary_containing: Some("x".to_owned()), ..Faults::default() };
    let world = World::with(faults, "");
    let Answer::Refused(error) = calls(&world.backend, create("x")).await else { panic!() };
    assert_eq!(error.http_status, Some(422));
    assert_eq!(error.code.as_deref(), Some("invalid"));
    assert!(error.description.unwrap().starts_with("summary"), "the backend's own words");
}

#[tokio::test]
async fn a_call_that_is_not_answered_is_closed_before_the_lane_hears_of_it() {
    let world = World::with(Faults { hang_rate: 1.0, ..Faults::default() }, "");
    for number in 1..=20 {
        let made = async {
            world.until("the ticket is made", |report| report.tickets == number).await;
        };
        let hurry = Call { timeout: Duration::from_millis(60), ..call(create("x")) };
        let (answer, ()) = tokio::join!(world.backend.call(hurry), made);
        assert_eq!(kind(&answer.answer).0, "in doubt");
    }
    world.until("the last call has ended", |report| report.in_flight == 0).await;
    world.until("no connection is left", |report| report.connections == 0).await;
    let report = world.report();
    // The close is on its way when the next call begins; a second lane would overlap for 60 ms.
    assert!(report.longest_overlap_ms < 30, "{} ms", report.longest_overlap_ms);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_closed() {
    let world = World::with(Faults { hang_rate: 1.0, ..Faults::default() }, "");
    tokio::select! {
        answer = calls(&world.backend, create("x")) => panic!("{answer:?}"),
        () = world.until("the call is under way", |report| report.in_flight == 1) => {}
    }
    world.until("the connection is gone", |report| report.connections == 0).await;
}

#[tokio::test]
async fn what_is_too_late_is_not_sent() {
    let running = start(RestSettings::default()).unwrap();
    let clock = Arc::new(ManualClock::default());
    let description = simulated(&running.url("osb"), "");
    let backend = adapter_at(&description, Arc::clone(&clock));
    clock.advance(Duration::from_millis(5_001));
    assert_eq!(kind(&calls(&backend, create("x")).await).0, "not sent");
    let report = running.ledger.report_of("osb").unwrap();
    assert_eq!((report.calls.create, report.connections), (0, 0));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_sent() {
    let running = start(RestSettings::default()).unwrap();
    let backend = adapter(&simulated(&running.url("osb"), ""));
    running.stop().await;
    for work in [create("x"), look()] {
        let answer = calls(&backend, work).await;
        assert_eq!(kind(&answer).0, "not sent", "{answer:?}");
        assert!(kind(&answer).1.contains("refused"), "{answer:?}");
    }
    let nowhere = simulated("http://no-such-host.invalid:1/x?".trim_end_matches('?'), "");
    assert_eq!(kind(&calls(&adapter(&nowhere), create("x")).await).0, "not sent");
}

#[tokio::test]
async fn a_token_is_sent_from_text_or_file_and_a_new_one_needs_no_restart() {
    let token = Some("T".into());
    let settings = RestSettings { token, ..RestSettings::default() };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong\n").unwrap();
    let path = file.path().display();
    let world =
        World::start(settings, &format!("auth = {{ type = 'bearer', token_file = '{path}' }}"));
    assert_eq!(kind(&calls(&world.backend, create("x")).await).0, "unauthorised");
    std::fs::write(file.path(), "T\n").unwrap();
    assert_eq!(kind(&calls(&world.backend, create("x")).await), ("done", "OSB-1"));
    let text = "auth = { type = 'bearer', token = 'T' }";
    let backend = adapter(&simulated(&world.running.url("osb"), text));
    assert_eq!(kind(&calls(&backend, create("x")).await), ("done", "OSB-2"));
    file.close().unwrap();
    assert_eq!(kind(&calls(&world.backend, create("x")).await).0, "not sent");
    assert_eq!(world.report().unauthorised, 1);
}

#[tokio::test]
async fn a_backend_that_can_do_nothing_gets_a_fresh_connection_for_each_call() {
    let world = World::with(Faults::default(), "capability = 'none'");
    for text in ["a", "b", "c"] {
        assert_eq!(kind(&calls(&world.backend, create(text)).await).0, "done");
        world.until("the connection is gone", |report| report.connections == 0).await;
    }
}

#[tokio::test]
async fn a_key_that_is_honoured_makes_one_ticket_of_two_calls() {
    let faults = Faults { idempotent: true, ..Faults::default() };
    let world = World::with(faults, "capability = 'idempotency_key'");
    for _ in 0..2 {
        assert_eq!(kind(&calls(&world.backend, create("x")).await), ("done", "OSB-1"));
    }
}

#[test]
fn the_environments_proxy_is_not_honoured() {
    let name = "backends::described::tests::simulator::\
                a_ticket_is_made_read_found_changed_closed_and_reopened";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name]);
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"] {
        child.env(variable, "http://127.0.0.1:1");
    }
    let output = child.env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
