//! What a person decides about an alarm, from a shell and over HTTP: it belongs to that ticket, to
//! none, or none shall be made for it. Alarms wait a day for their tickets here, so that only a person
//! makes something happen.

use crate::alarms::raised;
use crate::command_line::Shell;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

async fn world() -> World {
    let backends = vec![("crm", Faults::default(), "")];
    let config = "[policy]\ndefault_backend = \"crm\"\ncreate_delay = \"24h\"\n".to_owned();
    World::started(Setting { backends, config, ..Setting::default() }).await
}

async fn tickets_there(world: &World, number: u64) {
    let what = format!("there are {number} tickets at the system");
    let ledger = world.ledger();
    let look = async || {
        let report = ledger.report_of("crm").expect("the system is there");
        (report.tickets == number).then_some(())
    };
    world.until(&what, look).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_is_linked_unlinked_and_left_without_a_ticket() {
    let world = world().await;
    let shell = Shell(&world);
    for id in ["1", "2", "3"] {
        let (status, said) = world.post("/api/v1/alarms", raised("probe", id).to_string()).await;
        assert_eq!(status, 202, "{said}");
    }
    // Somebody else's ticket.
    let order = json!({"command": "create", "id": uuid::Uuid::new_v4(), "backend": "crm",
        "fields": {"summary": "made by hand"}});
    let (_, made) = world.post("/api/v1/commands?wait=60s", order.to_string()).await;
    let key = made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    tickets_there(&world, 1).await;

    let why = ["--reason", "it is the same fault"];
    shell.says(&[&["alarm", "link", "probe", "1", "--key", &key][..], &why].concat());
    let id = ["--backend", "crm", "--backend-id", "CRM-1"];
    shell.says(&[&["alarm", "link", "probe", "2"][..], &id, &why].concat());
    let linked = world.look("/api/v1/alarms/probe/2").await;
    assert_eq!(linked["ticket"], key.as_str(), "one ticket, by either of its names: {linked}");
    shell.says(&["alarm", "no-ticket", "probe", "3", "--reason", "planned work"]);
    let explained = world.explain("probe", "3").await.to_string();
    assert!(explained.contains("planned work"), "{explained}");

    // What changes is said at the ticket; it is closed when both are over.
    let event = |id: &str, state: &str, second: u32| {
        let mut event = raised("probe", id);
        event["state"] = state.into();
        event["changed_at"] = format!("2026-11-21T10:00:{second:02}Z").into();
        event["text"] = format!("{state} {id}").into();
        event.to_string()
    };
    for event in [event("1", "updated", 1), event("1", "cleared", 2), event("3", "updated", 1)] {
        assert_eq!(world.post("/api/v1/alarms", event).await.0, 202);
    }
    let settled = async || {
        let alarm = world.look("/api/v1/alarms/probe/1").await;
        let over = alarm["reason"].as_str().is_some_and(|why| why.contains("other alarms"));
        over.then_some(())
    };
    world.until("the first is over, and its ticket is not", settled).await;
    assert_eq!(world.post("/api/v1/alarms", event("2", "cleared", 3)).await.0, 202);
    let closed = async || {
        let ticket = world.look(&format!("/api/v1/tickets/{key}")).await;
        (ticket["ticket"]["status"] == "closed" || ticket["status"] == "closed").then_some(())
    };
    world.until("the ticket is closed with the last of its alarms", closed).await;
    tickets_there(&world, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_tickets_of_an_old_system_are_brought_along() {
    let backends = vec![("crm", Faults::default(), "")];
    let config = "[policy]\ndefault_backend = \"crm\"\n".to_owned();
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    let shell = Shell(&world);
    let order = json!({"command": "create", "id": uuid::Uuid::new_v4(), "backend": "crm",
        "fields": {"summary": "of the old connector"}});
    let (_, made) = world.post("/api/v1/commands?wait=60s", order.to_string()).await;
    assert_eq!(made["ok"], true, "{made}");
    let file = world.file("old.csv");
    let path = file.to_str().expect("a plain name");
    let lines = "source,alarm_id,backend,backend_id,status\n\
                 probe,7,crm,CRM-1,inProgress\nprobe,8,crm,OLD-8,closed\n";
    std::fs::write(&file, lines).unwrap();
    let tried = shell.says(&["ticket", "import", path, "--dry-run"]);
    assert!(tried.contains("2 tickets: would be: 1 left_out, 1 registered"), "{tried}");
    assert_eq!(world.all("/api/v1/alarms").await, Vec::<Value>::new(), "a dry run changes nothing");
    shell.says(&["ticket", "import", path]);
    let again = shell.json(&["ticket", "import", path]);
    assert_eq!(again["counts"], json!({"known": 1, "left_out": 1}));

    let (status, _) = world.post("/api/v1/alarms", raised("probe", "7").to_string()).await;
    assert_eq!(status, 202);
    let told = async || {
        let alarm = world.look("/api/v1/alarms/probe/7").await;
        (alarm["settled_version"] == 2 && alarm["wanted_version"] == 2).then_some(())
    };
    world.until("its ticket is told", told).await;
    tickets_there(&world, 1).await;

    for (lines, complaint) in [
        ("source,alarm_id\n", "these columns are missing"),
        ("source,alarm_id,backend,backend_id,status,colour\n", "no column is called \"colour\""),
        ("source,alarm_id,backend,backend_id,status\nprobe,,crm,A,pending\n", "line 2: alarm_id"),
        ("source,alarm_id,backend,backend_id,status\nprobe,1,cmr,A,pending\n", "rows[0].backend"),
        ("source,alarm_id,backend,backend_id,status\nprobe,1,crm,A,open\n", "unknown variant"),
        ("source,alarm_id,backend,backend_id,status\nprobe,1\n", "cannot be read on"),
    ] {
        std::fs::write(&file, lines).unwrap();
        let said = shell.complains(&["ticket", "import", path]);
        assert!(said.contains(complaint), "{lines}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlinked_alarm_gets_a_ticket_of_its_own() {
    let world = world().await;
    let shell = Shell(&world);
    world.post("/api/v1/alarms", raised("probe", "1").to_string()).await;
    let id = ["--backend", "crm", "--backend-id", "OLD-7", "--reason", "so says the night shift"];
    let link = [&["alarm", "link", "probe", "1"][..], &id].concat();
    let said = shell.complains(&link);
    assert!(said.contains("crm has no ticket OLD-7"), "{said}");
    shell.says(&[&link[..], &["--force"]].concat());
    shell.says(&["alarm", "unlink", "probe", "1", "--reason", "it was another fault"]);
    tickets_there(&world, 1).await;
    let own = async || {
        let alarm = world.look("/api/v1/alarms/probe/1").await;
        alarm["ticket"].is_string().then_some(alarm)
    };
    world.until("it has a ticket again", own).await;

    let refuse = async |path: &str, body: Value| world.post(path, body.to_string()).await;
    let reason = json!({"reason": "r"});
    for (path, body, status, says) in [
        ("probe/9/unlink", reason.clone(), 404, "no event of alarm"),
        ("probe/1/unlink", json!({"reason": " "}), 400, "reason"),
        ("probe/1/link", json!({"reason": "r"}), 400, "either key, or backend and backend_id"),
        (
            "probe/1/link",
            json!({"reason": "r", "backend": "cmr", "backend_id": "1"}),
            400,
            "is not one of: crm",
        ),
        ("probe/1/link", json!({"reason": "r", "key": uuid::Uuid::nil()}), 404, "no ticket has"),
    ] {
        let (code, said) = refuse(&format!("/api/v1/alarms/{path}"), body).await;
        assert_eq!(code, status, "{path}: {said}");
        assert!(said.to_string().contains(says), "{path}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn active_alarms_without_a_ticket_are_listed_with_the_reason() {
    let picky = Faults { reject_summary_containing: Some("poison".into()), ..Faults::default() };
    let backends = vec![("crm", picky, "")];
    let config = "[[policy.rule]]\nname = \"probes\"\nsource = \"probe\"\nbackend = \"crm\"\n\
                  [[policy.rule]]\nname = \"lab\"\nsource = \"lab\"\n\
                  no_ticket = \"the lab looks after itself\"\n";
    let config = config.to_owned();
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    let shell = Shell(&world);
    let send = async |source: &str, id: &str, text: &str, state: &str| {
        let mut event = raised(source, id);
        event["text"] = text.into();
        event["state"] = state.into();
        if state == "cleared" {
            event["changed_at"] = "2026-11-21T11:00:00Z".into();
        }
        let (status, said) = world.post("/api/v1/alarms", event.to_string()).await;
        assert_eq!(status, 202, "{said}");
        world.settled(1).await;
    };
    send("probe", "good", "loss of signal", "raised").await;
    send("probe", "refused", "poison", "raised").await;
    send("lab", "quiet", "loss of signal", "raised").await;
    send("nobody", "lost", "loss of signal", "raised").await;
    send("probe", "over", "poison", "raised").await;
    send("probe", "over", "poison", "cleared").await;

    let table = shell.says(&["alarm", "list", "--without-ticket"]);
    let of = |id: &str| {
        let line = table.lines().find(|line| line.contains(id));
        line.unwrap_or_else(|| panic!("{id} is not in\n{table}"))
    };
    assert!(of("refused").contains("422"), "{table}");
    assert!(of("quiet").contains("the lab looks after itself"), "{table}");
    assert!(of("lost").contains("no default backend"), "{table}");
    assert!(!table.contains("good") && !table.contains("over"), "{table}");
    let list = shell.json(&["alarm", "list", "--without-ticket", "--source", "probe"]);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    let cleared = shell.says(&["alarm", "list", "--without-ticket", "--state", "cleared"]);
    assert!(cleared.contains("over") && !cleared.contains("quiet"), "{cleared}");
    let (status, said) = world.get("/api/v1/alarms?ticket=some").await;
    assert!(status == 400 && said.contains("ticket is none, or left out"), "{said}");
}
