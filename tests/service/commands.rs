//! Commands: each with its stages, over both faces and in both encodings; and one outcome for one
//! id, however often and from wherever it comes (rule G5).

use crate::rabbit::Rabbit;
use crate::scripts::{
    Answer, Face, How, PACKED, Script, TEXT, acquire, code, command, create, given, scripted, under,
};
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use uuid::Uuid;

/// Senders at once.
const CROWD: usize = 20;

async fn world(prefix: &str, faults: Faults) -> World {
    scripted(Rabbit::shared().await, prefix, faults, "", "").await
}

fn update(ticket: &Value, summary: &str) -> Value {
    let mut order = command("update", json!({ "fields": { "summary": summary } }));
    names(&mut order, ticket);
    order
}

fn close(ticket: &Value) -> Value {
    let mut order = command("close", json!({}));
    names(&mut order, ticket);
    order
}

fn query(ticket: &Value) -> Value {
    let mut order = command("query", json!({}));
    names(&mut order, ticket);
    order
}

/// By our key, or by theirs.
fn names(order: &mut Value, ticket: &Value) {
    for name in ["key", "backend", "backend_id"] {
        if let Some(value) = ticket.get(name) {
            order[name] = value.clone();
        }
    }
}

/// Both stages of a write on the broker: the answers say the same request, in the command's own
/// encoding, to where they were asked for.
async fn two_stages(world: &World, script: &Script, how: How, order: &Value) -> Value {
    let asked = script.send(how, order);
    let answers = script.has(world, &asked, 2).await;
    let stages: Vec<_> = answers.iter().map(|answer| answer.body["stage"].clone()).collect();
    assert_eq!(stages, ["accepted", "final"], "{answers:#?}");
    let [accepted, done] = [&answers[0].body, &answers[1].body];
    assert!(accepted["request_id"].is_string() && accepted["key"].is_string(), "{accepted}");
    assert_eq!(accepted.get("result"), None, "{accepted}");
    for name in ["id", "ok", "request_id", "key"] {
        assert_eq!(accepted[name], done[name], "{name}: {answers:#?}");
    }
    for answer in &answers {
        is_a_reply(answer, how, order);
    }
    given(done)
}

fn is_a_reply(answer: &Answer, how: How, order: &Value) {
    assert_eq!(Some(answer.via.as_str()), how.reply, "{answer:?}");
    let content_type = format!("application/{}", how.encoding);
    assert_eq!(answer.content_type.as_deref(), Some(content_type.as_str()), "{answer:?}");
    assert_eq!(answer.body["id"], order["id"], "{answer:?}");
    assert!(answer.message_id.is_some(), "{answer:?}");
    assert_eq!(answer.headers["cloudEvents_specversion"], "1.0", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_write_on_the_broker_is_answered_when_it_is_durable_and_when_it_is_done() {
    let world = world("stages", Faults::default()).await;
    let script = Script::ready(&world).await;
    for how in [PACKED, TEXT] {
        let made = two_stages(&world, &script, how, &create("new")).await;
        assert!(made["key"].is_string() && made["url"].is_string(), "{made}");
        let id = made["backend_id"].as_str().expect("an id");
        let updated = two_stages(&world, &script, how, &update(&made, "changed")).await;
        assert_eq!(updated["ticket"]["backend_id"], id, "{updated}");
        assert_eq!(updated["ticket"]["key"], made["key"], "{updated}");
        let theirs = json!({ "backend": "crm", "backend_id": id });
        let closed = two_stages(&world, &script, how, &close(&theirs)).await;
        assert_eq!(closed["ticket"]["status"], "closed", "{closed}");
        let report = world.ledger().report_with_tickets("crm").expect("it is known");
        let ticket = report.ticket_list.unwrap_or_default().into_iter().find(|it| it.id == id);
        let ticket = ticket.expect("it is there");
        assert_eq!((ticket.status.as_str(), ticket.summary.as_str()), ("closed", "changed"));
    }
    assert_eq!(world.ledger().report().tickets, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_read_is_answered_once_with_what_the_backend_shows() {
    let world = world("reads", Faults::default()).await;
    let script = Script::ready(&world).await;
    let made = given(&script.ask(&world, PACKED, &create("to be found")).await);
    // One that is not ours has no key.
    let (_, foreign) = foreign_ticket(&world, "to be found").await;
    for how in [PACKED, TEXT] {
        for order in [query(&made), query(&json!({ "backend": "crm", "backend_id": foreign }))] {
            let asked = script.send(how, &order);
            let answer = script.has(&world, &asked, 1).await.remove(0);
            is_a_reply(&answer, how, &order);
            let ticket = given(&answer.body)["ticket"].clone();
            assert_eq!(ticket["fields"]["summary"], "to be found", "{ticket}");
            assert_eq!((&ticket["backend"], &ticket["kind"]), (&json!("crm"), &json!("incident")));
        }
    }
    let wanted = json!({ "backend": "crm", "where": { "summary": "to be found" } });
    for face in Face::all(&script) {
        let found = given(&face.ask(&world, &command("search", wanted.clone())).await);
        let mut keys: Vec<_> = found["tickets"].as_array().expect("tickets").clone();
        keys.sort_by_key(|ticket| ticket["key"].is_null());
        assert_eq!(keys.len(), 2, "{found}");
        assert_eq!((&keys[0]["key"], &keys[1]["key"]), (&made["key"], &Value::Null), "{found}");
        assert_eq!((&found["more"], &found["cursor"]), (&json!(false), &Value::Null), "{found}");
        let mut one = command("search", wanted.clone());
        one["limit"] = json!(1);
        let found = given(&face.ask(&world, &one).await);
        assert_eq!(found["tickets"].as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(found["more"], true, "{found}");
    }
    assert_eq!(world.look("/api/v1/locks").await["items"], json!([]), "no client is kept");
}

/// Somebody else makes a ticket at the backend; the status and its id.
async fn foreign_ticket(world: &World, summary: &str) -> (u16, String) {
    let url = world.system("crm") + "/tickets";
    let body = json!({ "summary": summary, "correlation_key": "of somebody else" });
    let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("it answers");
    let status = answer.status().as_u16();
    let ticket: Value = answer.json().await.expect("it is JSON");
    (status, ticket["id"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_a_write_is_answered_at_once_or_when_it_is_done_as_is_asked_for() {
    let slow = Faults { latency_ms: 300, ..Faults::default() };
    let world = world("waits", slow).await;
    let order = create("new");
    let (status, accepted) = world.post("/api/v1/commands", order.to_string()).await;
    assert_eq!((status, &accepted["stage"]), (202, &json!("accepted")), "{accepted}");
    assert_eq!((&accepted["ok"], &accepted["id"]), (&json!(true), &order["id"]), "{accepted}");
    let id = order["id"].as_str().expect("an id");
    let path = format!("/api/v1/commands/{id}");
    let done = async || {
        let stage = world.look(&path).await;
        (stage["stage"] == "final").then_some(stage)
    };
    let done = world.until("it is done", done).await;
    assert_eq!(done["request_id"], accepted["request_id"], "{done}");
    let made = given(&done);
    for order in [update(&made, "changed"), close(&made)] {
        let (status, answer) = world.post("/api/v1/commands?wait=90s", order.to_string()).await;
        assert_eq!((status, &answer["stage"]), (200, &json!("final")), "{answer}");
        assert_eq!(given(&answer)["ticket"]["key"], made["key"], "{answer}");
    }
    // Who does not wait long enough hears how far it is.
    let order = create("another");
    let (status, answer) = world.post("/api/v1/commands?wait=1ms", order.to_string()).await;
    assert_eq!((status, &answer["stage"]), (202, &json!("accepted")), "{answer}");
    for wait in ["soon", "601s"] {
        let path = format!("/api/v1/commands?wait={wait}");
        let (status, answer) = world.post(&path, create("never").to_string()).await;
        assert_eq!((status, &answer["field"]), (400, &json!("wait")), "{answer}");
    }
    assert_eq!(world.get(&format!("/api/v1/commands/{}", Uuid::new_v4())).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_command_again_gets_the_same_answer_and_another_under_its_id_is_refused() {
    let world = world("again-id", Faults::default()).await;
    let script = Script::ready(&world).await;
    let order = create("once");
    let first = script.ask(&world, PACKED, &order).await;
    let made = given(&first);
    let lock = given(&script.ask(&world, TEXT, &acquire(Uuid::new_v4())).await);
    for face in Face::all(&script) {
        assert_eq!(face.ask(&world, &order).await, first);
        // A lock is not part of what it says, and neither is one that is gone.
        assert_eq!(face.ask(&world, &under(order.clone(), &lock)).await, first);
        let gone = json!({ "guid": Uuid::new_v4(), "fence": 1 });
        assert_eq!(face.ask(&world, &under(order.clone(), &gone)).await, first);
        let mut other = order.clone();
        other["fields"]["summary"] = json!("twice");
        let mut change = update(&made, "twice");
        change["id"] = order["id"].clone();
        for other in [other, change] {
            let answer = face.ask(&world, &other).await;
            assert_eq!((code(&answer), &answer["error"]["field"]), ("id_reused", &json!("id")));
        }
    }
    let report = world.ledger().report();
    assert_eq!((report.tickets, report.calls.create, report.calls.update), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_not_remembered_so_the_same_id_may_be_sent_again() {
    let world = world("refused-id", Faults::default()).await;
    let script = Script::ready(&world).await;
    for face in Face::all(&script) {
        let good = create("better");
        let mut bad = good.clone();
        bad["backend"] = json!("cmr");
        assert_eq!(code(&face.ask(&world, &bad).await), "unknown_backend");
        let lost = json!({ "guid": Uuid::new_v4(), "fence": 1 });
        let lost = under(good.clone(), &lost);
        assert_eq!(code(&face.ask(&world, &lost).await), "lock_lost");
        given(&face.ask(&world, &good).await);
    }
    assert_eq!(world.ledger().report().tickets, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_sent_by_many_at_once_makes_one_ticket() {
    let slow = Faults { latency_ms: 200, ..Faults::default() };
    let world = world("crowd-id", slow).await;
    let (one, other) = (Script::ready(&world).await, Script::ready(&world).await);
    let order = create("once");
    let mut different = order.clone();
    different["fields"]["summary"] = json!("twice");
    let mut asked = Vec::new();
    for n in 0..CROWD {
        let how = if n.is_multiple_of(2) { PACKED } else { TEXT };
        asked.extend([&one, &other].map(|script| (script, script.send(how, &order))));
    }
    let http = async || {
        let senders =
            (0..CROWD).map(|_| world.post("/api/v1/commands?wait=90s", order.to_string()));
        futures_util::future::join_all(senders).await
    };
    let others = async || {
        let senders = (0..CROWD).map(|_| world.post("/api/v1/commands", different.to_string()));
        futures_util::future::join_all(senders).await
    };
    let (same, different) = tokio::join!(http(), others());
    // Whichever body came first has the id; the others are told so.
    let mut made = Vec::new();
    let mut reused = 0;
    for (_, answer) in same.into_iter().chain(different) {
        match answer["error"]["code"].as_str() {
            Some(code) => {
                assert_eq!(code, "id_reused", "{answer}");
                reused += 1;
            }
            None => made.push(answer["request_id"].clone()),
        }
    }
    // A repeat is told the latest stage; the final answer goes to who asked first.
    for (script, asked) in asked {
        let answer = script.has(&world, &asked, 1).await.remove(0).body;
        match answer["error"]["code"].as_str() {
            Some(code) => assert_eq!(code, "id_reused", "{answer}"),
            None => made.push(answer["request_id"].clone()),
        }
    }
    assert!(made.iter().all(|request| *request == made[0]), "{made:?}");
    assert!(reused >= CROWD, "{reused} were told that the id is another's");
    let report = world.ledger().report();
    assert_eq!((report.tickets, report.calls.create), (1, 1), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_lost_between_search_and_write_lets_nothing_be_written() {
    let world = world("between", Faults::default()).await;
    let script = Script::ready(&world).await;
    for face in Face::all(&script) {
        let guid = Uuid::new_v4();
        let lock = given(&face.ask(&world, &acquire(guid)).await);
        let wanted = json!({ "backend": "crm", "where": { "summary": "mine" } });
        let found = given(&face.ask(&world, &under(command("search", wanted), &lock)).await);
        assert_eq!(found["tickets"], json!([]), "nobody has made it: so it decides to");
        // Meanwhile somebody takes its lock away.
        let path = format!("/api/v1/clients/{}/unlock", lock["client"]);
        let (status, unlocked) = world.post(&path, "{\"reason\":\"a test\"}").await;
        assert_eq!((status, &unlocked["was_locked"]), (200, &json!(true)), "{unlocked}");
        let answer = face.ask(&world, &under(create("mine"), &lock)).await;
        assert_eq!((code(&answer), &answer["error"]["field"]), ("lock_lost", &json!("lock")));
    }
    let report = world.ledger().report();
    assert_eq!((report.tickets, report.calls.create, report.calls.search), (0, 0, 3));
    assert_eq!(world.look("/api/v1/requests").await["items"], json!([]), "no trace of it");
}
