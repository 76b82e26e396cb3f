//! What people may force, over HTTP and on the command line: a lock taken away, a client set to
//! not busy (rules L10, L11); and what they see of a client.

use crate::process;
use crate::rabbit::Rabbit;
use crate::scripts::{
    Face, PACKED, Script, TEXT, acquire, code, command, create, given, scripted, under,
};
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use uuid::Uuid;

async fn world(prefix: &str, faults: Faults) -> World {
    scripted(Rabbit::shared().await, prefix, faults, "", "").await
}

fn slow(latency_ms: u64) -> Faults {
    Faults { latency_ms, ..Faults::default() }
}

fn search(summary: &str) -> Value {
    command("search", json!({ "backend": "crm", "where": { "summary": summary } }))
}

/// Forces it over HTTP, or on the command line; what it says.
async fn force(world: &World, verb: &str, client: &Value, by_hand: bool) -> Value {
    if !by_hand {
        let path = format!("/api/v1/clients/{client}/{verb}");
        let (status, answer) = world.post(&path, "{\"reason\":\"a test\"}").await;
        assert_eq!(status, 200, "{answer}");
        return answer;
    }
    let (client, url) = (client.to_string(), world.url());
    let args = ["client", verb, &client, "--reason", "a test", "--json", "--url", &url];
    let output = process::run(&args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_forced_needs_a_reason() {
    let world = world("reasons", Faults::default()).await;
    let lock = given(&Face::Http.ask(&world, &acquire(Uuid::new_v4())).await);
    for verb in ["unlock", "not-busy"] {
        let path = format!("/api/v1/clients/{}/{verb}", lock["client"]);
        for body in ["{}", "{\"reason\":\"\"}", "{\"reason\":\"  \"}", ""] {
            let (status, answer) = world.post(&path, body).await;
            assert_eq!(status, 400, "{body}: {answer}");
        }
        let (status, answer) = world.post(&path, "{\"reason\":\" \"}").await;
        assert_eq!((status, &answer["field"]), (400, &json!("reason")), "{answer}");
        let (client, url) = (lock["client"].to_string(), world.url());
        let output = process::run(&["client", verb, &client, "--url", &url]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let output = process::run(&["client", verb, "99", "--reason", "x", "--url", &url]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("there is no ticket client 99"), "{said}");
    }
    let locks = world.look("/api/v1/locks").await;
    assert_eq!(locks["items"][0]["guid"], lock["guid"], "{locks}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_forced_unlock_the_old_holder_is_refused_and_what_was_accepted_goes_on() {
    let world = world("unlock", slow(500)).await;
    let script = Script::ready(&world).await;
    for by_hand in [false, true] {
        let old = given(&script.ask(&world, PACKED, &acquire(Uuid::new_v4())).await);
        let writing = script.send(TEXT, &under(create("in time"), &old));
        let accepted = |body: &Value| body["stage"] == "accepted";
        script.hears(&world, &writing, "accepted", accepted).await;
        let unlocked = force(&world, "unlock", &old["client"], by_hand).await;
        assert_eq!(unlocked, json!({ "was_locked": true }));
        let again = force(&world, "unlock", &old["client"], by_hand).await;
        assert_eq!(again, json!({ "was_locked": false }));

        let renew = command("lock.renew", json!({ "guid": old["guid"] }));
        for order in [renew, under(create("too late"), &old), under(search("it"), &old)] {
            assert_eq!(code(&script.ask(&world, PACKED, &order).await), "lock_lost");
        }
        let new = given(&script.ask(&world, TEXT, &acquire(Uuid::new_v4())).await);
        assert_eq!(new["client"], old["client"], "it is free");
        assert!(new["fence"].as_u64() > old["fence"].as_u64(), "{new} after {old}");
        let done = |body: &Value| body["stage"] == "final";
        given(&script.hears(&world, &writing, "final", done).await);
        given(&script.ask(&world, TEXT, &under(create("after it"), &new)).await);
        force(&world, "unlock", &new["client"], by_hand).await;
    }
    assert_eq!(world.ledger().report().tickets, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_set_to_not_busy_keeps_its_lock_and_its_lane_while_its_read_is_void() {
    let world = world("not-busy", slow(2_000)).await;
    let script = Script::ready(&world).await;
    let lock = given(&script.ask(&world, PACKED, &acquire(Uuid::new_v4())).await);
    let path = format!("/api/v1/clients/{}", lock["client"]);
    for by_hand in [false, true] {
        let order = under(search("void"), &lock);
        let reading = script.send(TEXT, &order);
        let busy = async || {
            let row = world.look(&path).await;
            (row["busy"] == true).then_some(row)
        };
        let row = world.until("the client is busy", busy).await;
        let id = order["id"].as_str().expect("an id");
        assert_eq!(row["processing"], format!("search {id}: reading"), "{row}");
        // One read at a time.
        let second = script.ask(&world, PACKED, &under(search("another"), &lock)).await;
        assert_eq!((code(&second), &second["error"]["field"]), ("busy", &json!("lock")));

        let forced = force(&world, "not-busy", &lock["client"], by_hand).await;
        assert_eq!(forced, json!({ "was_busy": true }));
        let row = world.look(&path).await;
        assert_eq!((&row["busy"], &row["processing"]), (&json!(false), &Value::Null), "{row}");
        assert_eq!((&row["guid"], &row["fence"]), (&lock["guid"], &lock["fence"]), "{row}");
        let answer = script.has(&world, &reading, 1).await.remove(0).body;
        assert_eq!(code(&answer), "cancelled", "{answer}");
        assert_eq!(force(&world, "not-busy", &lock["client"], by_hand).await["was_busy"], false);
    }
    // The lane made both calls to their end, and goes on.
    given(&script.ask(&world, TEXT, &under(search("valid"), &lock)).await);
    given(&script.ask(&world, TEXT, &under(create("mine"), &lock)).await);
    let report = world.ledger().report();
    assert_eq!((report.calls.search, report.tickets), (3, 1), "{report:#?}");
    assert_eq!(report.max_in_flight, 1, "{report:#?}");
    let lanes = world.look("/api/v1/lanes").await;
    assert_eq!(
        (&lanes["items"][0]["held"], &lanes["items"][0]["last_error"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_response_table_and_the_results_of_a_client_are_there_to_see() {
    let world = world("desk", Faults::default()).await;
    let script = Script::ready(&world).await;
    for face in Face::all(&script) {
        given(&face.ask(&world, &create("seen")).await);
    }
    let guid = Uuid::new_v4();
    let lock = given(&script.ask(&world, PACKED, &acquire(guid)).await);
    let path = format!("/api/v1/clients/{}", lock["client"]);
    assert_eq!(world.look(&format!("{path}/responses")).await["items"], json!([]));
    given(&script.ask(&world, TEXT, &under(search("seen"), &lock)).await);
    let query = command("query", json!({ "backend": "crm", "backend_id": "CRM-99" }));
    let missing = script.ask(&world, TEXT, &under(query.clone(), &lock)).await;
    assert_eq!(code(&missing), "not_found", "{missing}");
    let responses = world.look(&format!("{path}/responses")).await;
    let rows = responses["items"].as_array().expect("a list");
    // The newest first.
    let what: Vec<_> = rows.iter().filter_map(|row| row["what"].as_str()).collect();
    let id = query["id"].as_str().expect("an id");
    assert_eq!(what[0], format!("query {id}"), "{responses}");
    assert!(what.len() == 2 && what[1].starts_with("search "), "{responses}");
    for row in rows {
        assert!(row["at"].is_string() && row["took_ms"].is_u64(), "{row}");
        assert!(row["backend"] == "crm" && row["said"].is_string(), "{row}");
    }
    given(&script.ask(&world, TEXT, &under(search("seen"), &lock)).await);
    let results = world.look(&format!("{path}/results")).await;
    assert_eq!(results["items"].as_array().map(Vec::len), Some(3), "{results}");
    // They stay for people when the lock is given back.
    given(&script.ask(&world, TEXT, &command("lock.release", json!({ "guid": guid }))).await);
    assert_eq!(world.look(&format!("{path}/results")).await, results);
    let url = world.url();
    let client = lock["client"].to_string();
    for (list, there) in [("responses", "search "), ("results", "CRM-1")] {
        let output = process::run(&["client", list, &client, "--url", &url]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(there), "{said}");
    }
    assert_eq!(world.get("/api/v1/clients/99/results").await.0, 404);
}
