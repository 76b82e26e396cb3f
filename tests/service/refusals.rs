//! The closed list of error codes: each that a sender can meet, with what it says of where.

use crate::rabbit::Rabbit;
use crate::scripts::{
    Face, PACKED, Script, TEXT, acquire, code, command, create, given, scripted, under,
};
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use uuid::Uuid;

/// The first answer to a write is lost after the work was done.
fn lossy() -> Faults {
    Faults { lost_answer_rate: 1.0, at_most: Some(1), ..Faults::default() }
}

async fn world(prefix: &str, faults: Faults, backend: &'static str) -> World {
    scripted(Rabbit::shared().await, prefix, faults, backend, "").await
}

fn with(mut order: Value, name: &str, value: impl Into<Value>) -> Value {
    order[name] = value.into();
    order
}

fn is(wanted: &'static str) -> impl Fn(&Value) -> bool {
    move |body| body["error"]["code"] == wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_command_is_told_by_its_field() {
    let world = world("invalid", Faults::default(), "").await;
    let script = Script::ready(&world).await;
    let key = Uuid::new_v4();
    let unknown = json!({ "source": "probe", "id": "nobody" });
    let found = json!({ "summary": "x" });
    let update = json!({ "key": key, "fields": found });
    let far = json!({ "backend": "far", "backend_id": "1" });
    for face in Face::all(&script) {
        for (order, wanted, field) in [
            (with(create("x"), "kind", "trouble"), "invalid", "kind"),
            (with(create("x"), "fields", "none"), "invalid", "fields"),
            (with(create("x"), "command", "make"), "invalid", "command"),
            (command("create", json!({})), "invalid", "backend"),
            (command("update", json!({ "key": key })), "invalid", "fields"),
            (command("update", json!({ "fields": found })), "invalid", "key"),
            (command("close", json!({ "backend_id": "1" })), "invalid", "backend"),
            (command("search", json!({ "backend": "crm" })), "invalid", "where"),
            (command("lock.acquire", json!({ "guid": "x" })), "invalid", "guid"),
            (with(acquire(key), "wait_ms", 600_001), "invalid", "wait_ms"),
            (with(create("x"), "lock", json!({ "guid": key })), "invalid", "lock.fence"),
            (with(create("x"), "backend", "far"), "unknown_backend", "backend"),
            (command("close", far.clone()), "unknown_backend", "backend"),
            (command("query", far.clone()), "unknown_backend", "backend"),
            (with(create("x"), "alarm", unknown.clone()), "not_found", "alarm"),
            (command("update", update.clone()), "not_found", "key"),
            (command("close", json!({ "key": key })), "not_found", "key"),
            (command("query", json!({ "key": key })), "not_found", "key"),
        ] {
            let answer = face.ask(&world, &order).await;
            let told = (code(&answer), answer["error"]["field"].as_str());
            assert_eq!(told, (wanted, Some(field)), "{order}: {answer}");
            assert_eq!(answer["id"], order["id"], "{answer}");
            assert!(answer["error"]["message"].is_string(), "{answer}");
        }
    }
    assert_eq!(world.ledger().report().calls.create, 0);
    assert_eq!(world.look("/api/v1/tickets").await["items"], json!([]), "no trace of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_refuses_is_rejected_and_what_it_does_not_have_is_not_found() {
    let poison = Some("poison".to_owned());
    let faults = Faults { reject_summary_containing: poison, ..Faults::default() };
    let world = world("rejected", faults, "").await;
    let script = Script::ready(&world).await;
    for face in Face::all(&script) {
        let answer = face.ask(&world, &create("poison")).await;
        assert_eq!((code(&answer), &answer["stage"]), ("rejected", &json!("final")), "{answer}");
        assert!(answer["request_id"].is_string() && answer["key"].is_string(), "{answer}");
        // Its ticket was never made: there is nothing to change.
        let never = json!({ "key": answer["key"], "fields": { "summary": "x" } });
        assert_eq!(code(&face.ask(&world, &command("update", never)).await), "not_found");
        let missing = json!({ "backend": "crm", "backend_id": "CRM-99" });
        assert_eq!(code(&face.ask(&world, &command("query", missing)).await), "not_found");
    }
    let (status, _) = world.post("/api/v1/commands?wait=90s", create("poison").to_string()).await;
    assert_eq!(status, 422);
    assert_eq!(world.ledger().report().tickets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_in_doubt_says_so_and_becomes_final_when_it_was_found_out() {
    let world = world("doubt", lossy(), "timeout = \"1s\"").await;
    let script = Script::ready(&world).await;
    let order = create("lost");
    let asked = script.send(PACKED, &order);
    let doubt = script.hears(&world, &asked, "in doubt", is("in_doubt")).await;
    assert_eq!((&doubt["ok"], &doubt["stage"]), (&json!(false), &json!("accepted")), "{doubt}");
    let done = script.hears(&world, &asked, "final", |body| body["stage"] == "final").await;
    given(&done);
    assert_eq!(Face::Http.ask(&world, &order).await["result"], done["result"]);
    let report = world.ledger().report();
    assert_eq!((report.tickets, report.calls.create), (1, 1), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_an_undecided_request_commands_are_blocked_until_a_person_drops_it() {
    let world = world("undecided", lossy(), "capability = \"none\"").await;
    let script = Script::ready(&world).await;
    let order = create("lost");
    let asked = script.send(TEXT, &order);
    let undecided = script.hears(&world, &asked, "undecided", is("undecided")).await;
    assert_eq!(undecided["stage"], "accepted", "{undecided}");
    let request = undecided["request_id"].as_str().expect("a request").to_owned();
    // The same id hears how it stands; nothing is sent again.
    let (status, again) = world.post("/api/v1/commands", order.to_string()).await;
    assert_eq!((status, code(&again)), (202, "undecided"), "{again}");

    let change = json!({ "key": undecided["key"], "fields": { "summary": "changed" } });
    let blocked = command("update", change);
    let behind = script.send(PACKED, &blocked);
    let answer = script.hears(&world, &behind, "blocked", is("blocked_by")).await;
    assert_eq!(answer["error"]["field"], json!(request), "{answer}");
    assert_eq!(answer["stage"], "accepted", "{answer}");
    let (status, again) = world.post("/api/v1/commands", blocked.to_string()).await;
    assert_eq!((status, code(&again)), (202, "blocked_by"), "{again}");

    let path = format!("/api/v1/requests/{request}/settle");
    let (status, bad) = world.post(&path, "{\"says\":\"drop\",\"reason\":\"\"}").await;
    assert_eq!((status, &bad["field"]), (400, &json!("reason")), "{bad}");
    let (status, row) = world.post(&path, "{\"says\":\"drop\",\"reason\":\"a test\"}").await;
    assert_eq!((status, &row["state"]), (200, &json!("cancelled")), "{row}");
    let dropped = script.hears(&world, &asked, "final", |body| body["stage"] == "final").await;
    assert_eq!(code(&dropped), "cancelled", "{dropped}");
    let (status, again) = world.post("/api/v1/commands", order.to_string()).await;
    assert_eq!((status, code(&again)), (409, "cancelled"), "{again}");
    // What waited behind it hears an end too.
    let ended = script.hears(&world, &behind, "final", |body| body["stage"] == "final").await;
    assert_eq!(ended["ok"], false, "there is no ticket to change: {ended}");
    assert_eq!(world.ledger().report().calls.create, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_says_which_ticket_an_undecided_create_has_made() {
    let world = world("found", lossy(), "capability = \"none\"").await;
    let script = Script::ready(&world).await;
    let asked = script.send(TEXT, &create("lost"));
    let undecided = script.hears(&world, &asked, "undecided", is("undecided")).await;
    let change = json!({ "key": undecided["key"], "fields": { "summary": "changed" } });
    let behind = script.send(PACKED, &command("update", change));
    script.hears(&world, &behind, "blocked", is("blocked_by")).await;
    let made = world.ledger().report_with_tickets("crm").expect("it is known");
    let made = made.ticket_list.unwrap_or_default().remove(0).id;
    let path =
        format!("/api/v1/requests/{}/settle", undecided["request_id"].as_str().unwrap_or("-"));
    let says = json!({ "says": "found", "backend_id": made, "reason": "seen there" });
    let (status, row) = world.post(&path, says.to_string()).await;
    assert_eq!((status, &row["state"]), (200, &json!("adopted")), "{row}");
    let done = script.hears(&world, &asked, "final", |body| body["stage"] == "final").await;
    assert_eq!(given(&done)["backend_id"], json!(made), "{done}");
    let changed = script.hears(&world, &behind, "final", |body| body["stage"] == "final").await;
    assert_eq!(given(&changed)["ticket"]["backend_id"], json!(made), "{changed}");
    let report = world.ledger().report_with_tickets("crm").expect("it is known");
    assert_eq!(report.ticket_list.unwrap_or_default()[0].summary, "changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_the_backend_cannot_serve_now_is_told_so_and_leaves_the_client_free() {
    let faults = Faults { busy_rate: 1.0, ..Faults::default() };
    let world = world("reads-busy", faults, "").await;
    let script = Script::ready(&world).await;
    let wanted = json!({ "backend": "crm", "where": { "summary": "x" } });
    let lock = given(&script.ask(&world, PACKED, &acquire(Uuid::new_v4())).await);
    for order in [command("search", wanted.clone()), under(command("search", wanted), &lock)] {
        let answer = script.ask(&world, TEXT, &order).await;
        assert_eq!(code(&answer), "busy", "{answer}");
    }
    let row = world.look(&format!("/api/v1/clients/{}", lock["client"])).await;
    assert_eq!((&row["guid"], &row["busy"]), (&lock["guid"], &json!(false)), "{row}");
    assert_eq!(world.look("/api/v1/locks").await["items"].as_array().map(Vec::len), Some(1));
}
