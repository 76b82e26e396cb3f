//! External locks, as automation scripts use them: taken, renewed, waited for, lost (rules L1–L9).

use crate::rabbit::Rabbit;
use crate::scripts::{
    Face, How, PACKED, Script, TEXT, acquire, code, command, create, given, scripted, under,
};
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use uuid::Uuid;

/// Scripts get half of them: one.
const TWO_CLIENTS: &str = "[clients]\nnumber = 2\n";
/// Longer than any test: nobody is meant to wait for it.
const LONG_MS: u64 = 600_000;

async fn world(prefix: &str) -> World {
    scripted(Rabbit::shared().await, prefix, Faults::default(), "", TWO_CLIENTS).await
}

fn renew(guid: Uuid, timeout_ms: u64) -> Value {
    command("lock.renew", json!({ "guid": guid, "timeout_ms": timeout_ms }))
}

fn release(guid: Uuid) -> Value {
    command("lock.release", json!({ "guid": guid }))
}

fn with(mut command: Value, name: &str, value: impl Into<Value>) -> Value {
    command[name] = value.into();
    command
}

/// The client's row, as people see it.
async fn client(world: &World, lock: &Value) -> Value {
    world.look(&format!("/api/v1/clients/{}", lock["client"])).await
}

async fn so_many_wait(world: &World, count: f64) {
    let waiting =
        async || (world.figure("ticketgate_clients_waiting").await? == count).then_some(());
    world.until(&format!("{count} wait for a client"), waiting).await;
}

fn fence(lock: &Value) -> u64 {
    lock["fence"].as_u64().expect("a fence")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_taken_renewed_and_given_back_over_every_face() {
    let world = world("locks").await;
    let script = Script::ready(&world).await;
    let mut last = 0;
    for face in Face::all(&script) {
        let guid = Uuid::new_v4();
        let lock = given(&face.ask(&world, &acquire(guid)).await);
        assert_eq!(lock["guid"], json!(guid), "{lock}");
        assert!(fence(&lock) > last, "{lock} after {last}");
        last = fence(&lock);
        let row = client(&world, &lock).await;
        assert_eq!((&row["lock_status"], &row["guid"]), (&json!("locked"), &lock["guid"]), "{row}");
        assert_eq!((&row["holder"], &row["busy"]), (&json!("a test"), &json!(false)), "{row}");
        assert_eq!((&row["fence"], &row["flows"]), (&lock["fence"], &row["flows"]), "{row}");
        assert!(row["lock_time"].is_string() && row["expires_at"].is_string(), "{row}");
        assert_eq!(world.look("/api/v1/locks").await["items"], json!([row]));

        let renewed = given(&face.ask(&world, &renew(guid, LONG_MS)).await);
        assert_eq!((&renewed["client"], fence(&renewed)), (&lock["client"], last), "{renewed}");
        assert!(renewed["expires_at"].as_str() > lock["expires_at"].as_str(), "{renewed} {lock}");

        given(&face.ask(&world, &release(guid)).await);
        assert_eq!(client(&world, &lock).await["lock_status"], "free");
        for late in [renew(guid, LONG_MS), release(guid)] {
            let answer = face.ask(&world, &late).await;
            assert_eq!((code(&answer), &answer["error"]["field"]), ("lock_lost", &json!("guid")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_are_a_resource_over_http() {
    let world = world("resource").await;
    let guid = Uuid::new_v4();
    let wish = json!({ "guid": guid, "timeout_ms": 30_000, "holder": "curl" }).to_string();
    let (status, lock) = world.post("/api/v1/locks", wish.clone()).await;
    assert_eq!((status, &lock["guid"]), (200, &json!(guid)), "{lock}");
    assert_eq!(client(&world, &lock).await["holder"], "curl");
    let (status, again) = world.post("/api/v1/locks", wish).await;
    assert_eq!((status, fence(&again)), (200, fence(&lock)), "{again}");
    let path = format!("/api/v1/locks/{guid}");
    let (status, renewed) = world.put(&path, "{\"timeout_ms\":60000}").await;
    assert_eq!((status, fence(&renewed)), (200, fence(&lock)), "{renewed}");
    let other = format!("/api/v1/locks/{}", Uuid::new_v4());
    assert_eq!(world.put(&other, "{}").await.0, 409);
    assert_eq!(world.delete(&other).await.0, 409);
    assert_eq!(world.delete(&path).await, (204, Value::Null));
    assert_eq!(world.delete(&path).await.0, 409);
    let (status, bad) = world.post("/api/v1/locks", "{}").await;
    assert_eq!((status, &bad["error"]["field"]), (400, &json!("guid")), "{bad}");
    let (status, bad) = world.put(&path, "{\"timeout_ms\":600001}").await;
    assert_eq!((status, &bad["error"]["field"]), (400, &json!("timeout_ms")), "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_gets_the_client_in_the_order_of_coming() {
    let world = world("line").await;
    let script = Script::ready(&world).await;
    let [first, second, third] = [(); 3].map(|()| Uuid::new_v4());
    let held = given(&script.ask(&world, PACKED, &acquire(first)).await);
    let waits = |guid| with(acquire(guid), "wait_ms", LONG_MS);
    let (over_http, over_the_bus) = (waits(second), waits(third));
    let ask = async || {
        let second_lock = given(&Face::Http.ask(&world, &over_http).await);
        assert!(fence(&second_lock) > fence(&held), "{second_lock}");
        let (_, empty) = world.delete(&format!("/api/v1/locks/{second}")).await;
        assert_eq!(empty, Value::Null);
        second_lock
    };
    let lead = async || {
        so_many_wait(&world, 1.0).await;
        let asked = script.send(TEXT, &over_the_bus);
        so_many_wait(&world, 2.0).await;
        given(&script.ask(&world, PACKED, &release(first)).await);
        given(&script.has(&world, &asked, 1).await[0].body)
    };
    let (second_lock, third_lock) = tokio::join!(ask(), lead());
    assert!(fence(&third_lock) > fence(&second_lock), "{third_lock} before {second_lock}");
    assert_eq!(client(&world, &third_lock).await["guid"], json!(third));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_is_told_so() {
    let world = world("late").await;
    let script = Script::ready(&world).await;
    given(&script.ask(&world, PACKED, &acquire(Uuid::new_v4())).await);
    for face in Face::all(&script) {
        for wait_ms in [0, 50] {
            let wish = with(acquire(Uuid::new_v4()), "wait_ms", wait_ms);
            assert_eq!(code(&face.ask(&world, &wish).await), "timeout");
        }
    }
    so_many_wait(&world, 0.0).await;
    let wish = json!({ "guid": Uuid::new_v4() }).to_string();
    assert_eq!(world.post("/api/v1/locks", wish).await.0, 504);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_holder_can_neither_write_nor_read_nor_renew() {
    let world = world("expired").await;
    let script = Script::ready(&world).await;
    for face in Face::all(&script) {
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        let old = given(&face.ask(&world, &with(acquire(first), "timeout_ms", 1_000)).await);
        // Nobody gives it back: it comes free by its own time-out.
        let new = given(&face.ask(&world, &with(acquire(second), "wait_ms", LONG_MS)).await);
        assert!(fence(&new) > fence(&old), "{new} after {old}");
        assert_eq!(code(&face.ask(&world, &renew(first, LONG_MS)).await), "lock_lost");
        let theirs = json!({ "guid": second, "fence": old["fence"] });
        for lock in [&old, &theirs] {
            for order in [create("too late"), search("too late"), query("CRM-1")] {
                let answer = face.ask(&world, &under(order, lock)).await;
                assert_eq!(code(&answer), "lock_lost", "{answer}");
                assert_eq!(answer["error"]["field"], "lock", "{answer}");
            }
        }
        given(&face.ask(&world, &release(second)).await);
    }
    let report = world.ledger().report();
    assert_eq!((report.tickets, report.calls.search, report.calls.get), (0, 0, 0), "{report:#?}");
}

fn search(summary: &str) -> Value {
    command("search", json!({ "backend": "crm", "where": { "summary": summary } }))
}

fn query(backend_id: &str) -> Value {
    command("query", json!({ "backend": "crm", "backend_id": backend_id }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_guid_changes_nothing() {
    let world = world("wrong").await;
    let script = Script::ready(&world).await;
    let lock = given(&script.ask(&world, TEXT, &acquire(Uuid::new_v4())).await);
    let before = client(&world, &lock).await;
    for face in Face::all(&script) {
        let nobody = Uuid::new_v4();
        let forged = json!({ "guid": nobody, "fence": lock["fence"] });
        for order in [release(nobody), renew(nobody, 1), under(create("forged"), &forged)] {
            assert_eq!(code(&face.ask(&world, &order).await), "lock_lost");
        }
    }
    assert_eq!(client(&world, &lock).await, before);
    given(&script.ask(&world, PACKED, &under(create("mine"), &lock)).await);
    assert_eq!(world.ledger().report().tickets, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acquires_again_because_the_answer_was_lost_gets_the_same_lock() {
    let world = world("again").await;
    let script = Script::ready(&world).await;
    let nowhere = How { reply: None, ..PACKED };
    let guid = Uuid::new_v4();
    script.send(nowhere, &acquire(guid));
    let locked = async || world.look("/api/v1/locks").await["items"].get(0).cloned();
    let row = world.until("the lock is held", locked).await;
    for face in Face::all(&script) {
        let lock = given(&face.ask(&world, &acquire(guid)).await);
        assert_eq!((&lock["fence"], &lock["client"]), (&row["fence"], &row["client"]), "{lock}");
    }
    // The same while it waits: both askers hear of the one lock.
    let waiting = with(acquire(Uuid::new_v4()), "wait_ms", LONG_MS);
    let asked = [PACKED, TEXT, PACKED].map(|how| script.send(how, &waiting));
    so_many_wait(&world, 1.0).await;
    given(&script.ask(&world, TEXT, &release(guid)).await);
    let mut fences = Vec::new();
    for asked in &asked {
        fences.push(fence(&given(&script.has(&world, asked, 1).await[0].body)));
    }
    assert!(fences.iter().all(|one| *one == fences[0]), "{fences:?}");
    assert_eq!(world.look("/api/v1/locks").await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_was_frozen_beyond_its_time_out_cannot_write_when_it_wakes() {
    let world = world("frozen").await;
    let (holder, other) = (Script::ready(&world).await, Script::ready(&world).await);
    let wish = with(acquire(Uuid::new_v4()), "timeout_ms", 2_000);
    let lock = given(&holder.ask(&world, TEXT, &wish).await);
    given(&holder.ask(&world, TEXT, &under(create("in time"), &lock)).await);
    holder.freeze();
    // It is about to write, and does not know that it stands still.
    let late = holder.send(PACKED, &under(create("too late"), &lock));
    let next = with(acquire(Uuid::new_v4()), "wait_ms", LONG_MS);
    let next = given(&other.ask(&world, TEXT, &next).await);
    assert_eq!(next["client"], lock["client"]);
    holder.thaw();
    let answer = holder.has(&world, &late, 1).await.remove(0).body;
    assert_eq!((code(&answer), &answer["stage"]), ("lock_lost", &json!("final")), "{answer}");
    given(&other.ask(&world, PACKED, &under(create("next"), &next)).await);
    assert_eq!(world.ledger().report().tickets, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hung_up_while_it_waited_is_not_given_a_client() {
    let world = world("hung-up").await;
    let script = Script::ready(&world).await;
    let first = Uuid::new_v4();
    given(&script.ask(&world, PACKED, &acquire(first)).await);
    let gone = with(with(acquire(Uuid::new_v4()), "wait_ms", LONG_MS), "timeout_ms", LONG_MS);
    let waiting = Face::Http;
    tokio::select! {
        answer = waiting.ask(&world, &gone) => panic!("there is no client for it: {answer}"),
        () = so_many_wait(&world, 1.0) => {}
    }
    // Its connection is closed by now; behind it somebody waits who is there.
    let there = with(acquire(Uuid::new_v4()), "wait_ms", LONG_MS);
    let asked = script.send(TEXT, &there);
    so_many_wait(&world, 2.0).await;
    given(&script.ask(&world, PACKED, &release(first)).await);
    let lock = given(&script.has(&world, &asked, 1).await[0].body);
    assert_eq!(client(&world, &lock).await["guid"], there["guid"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_renews_or_gives_back_the_lock_of_a_flow() {
    let slow = Faults { latency_ms: 2_000, ..Faults::default() };
    let config = "[clients]\nnumber = 2\n";
    let node = Rabbit::shared().await;
    let world = scripted(node, "inner", slow, "", config).await;
    let script = Script::ready(&world).await;
    let reading = script.send(TEXT, &search("anything"));
    let held = async || world.look("/api/v1/locks").await["items"].get(0).cloned();
    let row = world.until("a client is taken for the search", held).await;
    let guid: Uuid = row["guid"].as_str().and_then(|guid| guid.parse().ok()).expect("a GUID");
    let answer = Face::Http.ask(&world, &acquire(guid)).await;
    assert_eq!((code(&answer), &answer["error"]["field"]), ("invalid", &json!("guid")), "{answer}");
    for order in [renew(guid, LONG_MS), release(guid)] {
        assert_eq!(code(&Face::Http.ask(&world, &order).await), "lock_lost");
    }
    given(&script.has(&world, &reading, 1).await[0].body);
}
