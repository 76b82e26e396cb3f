//! The preset `usms` against a service that was built from the description by others: zeep reads the
//! WSDL, lxml validates each request and each answer against the schema (`tests/usms/strict.py`).

use super::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use ticketgate_actors::model::TicketStatus;

/// The service; it ends when its input does.
struct Strict {
    child: Child,
    port: String,
}

impl Strict {
    fn started() -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/usms/strict.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed (scripts/install-test-needs)");
        let mut port = String::new();
        let told = BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(told > 0, "python3-zeep and python3-lxml are needed (scripts/install-test-needs)");
        Self { child, port: port.trim().to_owned() }
    }

    fn adapter(&self, user: &str) -> Arc<dyn Backend> {
        adapter(&described(&format!(
            "id = 'usms'\npreset = 'usms'\nbase_url = 'http://127.0.0.1:{}/usms'\n\
             auth = {{ user = '{user}', password = 'p & w' }}\n[search.paging]\nsize = 2",
            self.port
        )))
    }

    async fn page(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().await.unwrap().json().await.unwrap()
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn all_that_is_said_to_usms_is_of_its_schema() {
    let strict = Strict::started();
    let backend = strict.adapter("gate");
    let long = "é".repeat(200);
    let full = |title: &str| {
        fields(json!({
            "summary": title, "description": "a <b> & \"c\"\r\n\tlast", "severity": "critical",
            "object": "tx/1", "planned_start": "2026-11-21T10:00:00+01:00",
            "planned_end": "2026-11-22T10:00:00Z", "note": "it's & <new>", "alarm_source": "probe",
        }))
    };
    for (of, prefix, status) in [
        (Kind::Incident, "INC", TicketStatus::Resolved),
        (Kind::Change, "CHG", TicketStatus::Closed),
        (Kind::Problem, "PRB", TicketStatus::Closed),
    ] {
        let ticket = |id: Option<&str>| TicketTarget { kind: of, ..target(id) };
        let search = |limit| Work::Search {
            by: SearchBy::CorrelationKey(CorrelationKey(KEY.to_owned())),
            kind: of,
            limit,
        };
        let mut ids = Vec::new();
        for given in [full(&long), fields(json!({})), full("third")] {
            let work = Work::Create { ticket: ticket(None), fields: given };
            let Answer::Done(made) = calls(&backend, work).await else { panic!() };
            assert!(made.backend_id.starts_with(prefix), "{made:?}");
            ids.push(made.backend_id);
        }
        let Answer::Read(found) = calls(&backend, search(10)).await else { panic!() };
        let found_ids: Vec<_> = found.tickets.iter().map(|t| t.backend_id.clone()).collect();
        assert_eq!((found_ids, found.more), (ids.clone(), false), "pages of two, by continuation");
        let first = &found.tickets[0];
        assert_eq!(first.correlation_key.as_deref(), Some(KEY));
        assert_eq!(first.fields["severity"], "critical");
        assert_eq!(first.fields["description"], "a <b> & \"c\"\r\n\tlast");
        assert_eq!(first.fields["planned_start"], "2026-11-21T09:00:00.000Z");
        assert_eq!(first.fields["note"], json!(["it's & <new>"]));
        let Answer::Read(two) = calls(&backend, search(2)).await else { panic!() };
        assert_eq!((two.tickets.len(), two.more), (2, true));

        let id = ids[0].as_str();
        for _ in 0..2 {
            let work = Work::Update { ticket: ticket(Some(id)), fields: full("changed") };
            let Answer::Done(found) = calls(&backend, work).await else { panic!() };
            assert_eq!(found.fields["summary"], "changed");
            assert_eq!(
                found.fields["note"].as_array().unwrap().len(),
                2,
                "made with one, then one"
            );
        }
        let work =
            Work::Close { ticket: ticket(Some(id)), fields: fields(json!({"severity": "minor"})) };
        let Answer::Done(closed) = calls(&backend, work).await else { panic!() };
        assert_eq!(closed.status, Some(status));
        let work = Work::Reopen { ticket: ticket(Some(id)), fields: Fields::new() };
        let Answer::Done(open) = calls(&backend, work).await else { panic!() };
        assert_eq!(open.status, Some(TicketStatus::InProgress));
        let work = Work::Get { backend_id: id.to_owned(), kind: of };
        assert_eq!(kind(&calls(&backend, work).await), ("read", id));
        let none = Work::Get { backend_id: format!("{prefix}99999999"), kind: of };
        assert_eq!(kind(&calls(&backend, none).await), ("read", ""));
        let by = fields(
            json!({"status": ["Registered", "In Progress"], "modified_since": "2026-01-01T00:00:00Z"}),
        );
        let work = Work::Search { by: SearchBy::Fields(by), kind: of, limit: 50 };
        let Answer::Read(open) = calls(&backend, work).await else { panic!() };
        assert_eq!(open.tickets.len(), 3);
    }
    let refused = calls(&backend, create("poison")).await;
    let Answer::Refused(error) = &refused else { panic!("{refused:?}") };
    assert_eq!((error.http_status, error.code.as_deref()), (Some(500), Some("INVALID")));
    assert_eq!(kind(&calls(&backend, update("INC99999999", "x")).await).0, "retryable");
    let stranger = calls(&strict.adapter("somebody"), create("x")).await;
    assert_eq!(kind(&stranger).0, "unauthorised", "{stranger:?}");

    assert_eq!(strict.page("violations").await, json!([]));
    let tickets = strict.page("tickets").await;
    let title = tickets[0]["fields"]["Title"].as_str().unwrap();
    assert_eq!(title, "changed");
    // What is not of the schema is seen by it, so that the test above means something.
    let bad = calls(&backend, get("no id")).await;
    assert_eq!(kind(&bad).0, "in doubt", "{bad:?}");
    assert_eq!(strict.page("violations").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_simulated_usms_is_what_its_description_says() {
    use crate::simulate::rest::start;
    use crate::simulate::settings::{RestSettings, System};
    let token = Some("right".into());
    let running =
        start(RestSettings { system: System::Usms, token, ..RestSettings::default() }).unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/usms/client.py");
    let told = tokio::process::Command::new("/usr/bin/python3")
        .args([program, &format!("{}/usms", running.url("one"))])
        .output()
        .await
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(running.ledger.report_of("one").unwrap().tickets, 9);
}
