//! `kill -9` while locks are held and others wait: what lives on, and what does not (rules L2, L4).

use crate::alarms::raised;
use crate::rabbit::Rabbit;
use crate::scripts::{
    Face, PACKED, Script, TEXT, acquire, code, command, create, given, scripted, under,
};
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use uuid::Uuid;

/// Two of them for scripts.
const FOUR_CLIENTS: &str = "[clients]\nnumber = 4\n";
const LONG_MS: u64 = 600_000;

fn waits(guid: Uuid) -> Value {
    let mut order = acquire(guid);
    (order["wait_ms"], order["timeout_ms"]) = (json!(LONG_MS), json!(LONG_MS));
    order
}

fn release(lock: &Value) -> Value {
    command("lock.release", json!({ "guid": lock["guid"] }))
}

fn fence(lock: &Value) -> u64 {
    lock["fence"].as_u64().expect("a fence")
}

async fn locks(world: &World) -> Vec<Value> {
    world.look("/api/v1/locks").await["items"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_external_locks_live_on_internal_ones_are_gone_and_fences_grow() {
    let slow = Faults { latency_ms: 1_000, ..Faults::default() };
    let policy = "search_first = true\n";
    let node = Rabbit::shared().await;
    let config = format!("{FOUR_CLIENTS}[policy]\n{policy}");
    let mut world = prepared(node, slow, &config).await;
    let script = Script::ready(&world).await;
    let [on_the_bus, over_http] = [(); 2].map(|()| Uuid::new_v4());
    let bus_lock = given(&script.ask(&world, PACKED, &waits(on_the_bus)).await);
    let http_lock = given(&Face::Http.ask(&world, &waits(over_http)).await);
    // Two wait for them, and a flow holds a client of its own.
    let (first, second) = (waits(Uuid::new_v4()), waits(Uuid::new_v4()));
    script.send(TEXT, &first);
    script.send(TEXT, &second);
    world.post("/api/v1/alarms", raised("probe", "A1").to_string()).await;
    let all_there = async || {
        let waiting = world.figure("ticketgate_clients_waiting").await? == 2.0;
        let locks = locks(&world).await;
        (waiting && locks.len() == 3).then_some(locks)
    };
    let before = world.until("two wait, and the flow has a client", all_there).await;
    let external = |row: &&Value| row["holder"] == "a test";
    let inner = before.iter().find(|row| !external(row)).expect("the flow's lock").clone();
    world.kill9();

    // These wait at the broker, and are the first that it hears when it comes back.
    let renew = command("lock.renew", json!({ "guid": on_the_bus, "timeout_ms": LONG_MS }));
    let renewing = script.send(PACKED, &renew);
    let writing = script.send(TEXT, &under(create("under the bus's lock"), &bus_lock));
    world.start().await;
    let renewed = given(&script.has(&world, &renewing, 1).await[0].body);
    assert_eq!((&renewed["client"], fence(&renewed)), (&bus_lock["client"], fence(&bus_lock)));
    let done = |body: &Value| body["stage"] == "final";
    given(&script.hears(&world, &writing, "final", done).await);
    let after = locks(&world).await;
    for lock in [&bus_lock, &http_lock] {
        let row = after.iter().find(|row| row["guid"] == lock["guid"]).expect("it lives on");
        assert_eq!((&row["client"], &row["fence"]), (&lock["client"], &lock["fence"]), "{row}");
    }
    assert!(after.iter().all(|row| row["guid"] != inner["guid"]), "{after:#?}");
    let theirs = under(create("under the flow's"), &inner);
    assert_eq!(code(&script.ask(&world, TEXT, &theirs).await), "lock_lost");
    given(&Face::Http.ask(&world, &under(create("under HTTP's lock"), &http_lock)).await);

    // Who waited asks again, and is served.
    let newest = before.iter().map(fence).max().expect("there were three");
    let mut last = newest;
    for (order, held) in [(&first, &bus_lock), (&second, &http_lock)] {
        let asked = script.send(PACKED, order);
        given(&script.ask(&world, TEXT, &release(held)).await);
        let lock = given(&script.has(&world, &asked, 1).await[0].body);
        assert_eq!(lock["guid"], order["guid"], "{lock}");
        assert!(fence(&lock) > last, "{lock} after {last}");
        last = fence(&lock);
        given(&script.ask(&world, TEXT, &under(create("by who waited"), &lock)).await);
    }
    for held in [&bus_lock, &http_lock] {
        let late = under(create("too late"), held);
        assert_eq!(code(&script.ask(&world, PACKED, &late).await), "lock_lost");
    }
    world.settled(1).await;
    assert_eq!(world.ledger().report().tickets, 5);
}

/// As [`scripted`], with a policy of its own.
async fn prepared(node: &Rabbit, faults: Faults, config: &str) -> World {
    let config = config.to_owned() + "default_backend = \"crm\"\n";
    let backends = vec![("crm", faults, "")];
    let broker = Some((node.url(), "killed".to_owned()));
    let setting = crate::world::Setting { broker, backends, config, ..Default::default() };
    World::started(setting).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_given_back_does_not_come_back_with_the_service() {
    let node = Rabbit::shared().await;
    let mut world = scripted(node, "back", Faults::default(), "", FOUR_CLIENTS).await;
    let script = Script::ready(&world).await;
    let mut last = 0;
    for _ in 0..3 {
        let guid = Uuid::new_v4();
        let lock = given(&script.ask(&world, PACKED, &waits(guid)).await);
        assert!(fence(&lock) > last, "{lock} after {last}");
        last = fence(&lock);
        // One after the other without waiting for the answers.
        let renew = command("lock.renew", json!({ "guid": guid, "timeout_ms": LONG_MS }));
        script.send(TEXT, &renew);
        given(&script.ask(&world, TEXT, &release(&lock)).await);
        world.kill9();
        world.start().await;
        world.on_the_broker().await;
        assert_eq!(locks(&world).await, [Value::Null; 0]);
        let late = under(create("too late"), &lock);
        assert_eq!(code(&script.ask(&world, PACKED, &late).await), "lock_lost");
    }
}
