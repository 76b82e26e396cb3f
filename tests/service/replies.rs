//! Where answers go: to who asked, to the backend's route, and nowhere without stopping anything.

use crate::alarms::raised;
use crate::programs::{Heard, Subscriber, drain};
use crate::rabbit::Rabbit;
use crate::scripts::{How, PACKED, Script, TEXT, code, create, given, scripted};
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use ticketgate::simulate::faults::Faults;

const NOWHERE: How = How { encoding: "json", reply: None };
/// Each kind of sender sends so many.
const EACH: usize = 5;

/// Each link has connected once: no answer has cost a session.
fn no_session_was_lost(world: &World) {
    let log = world.log();
    assert_eq!(log.matches("connected to the broker").count(), 2, "{log}");
}

/// A subscriber hears of so many new tickets.
async fn hears_of(world: &World, subscriber: &Subscriber, tickets: u64) {
    let told = async || {
        let heard = subscriber.heard();
        let created = heard.iter().filter(|one| one.body["event"] == "created");
        let keys: BTreeSet<_> = created.map(|one| one.body["ticket"]["key"].to_string()).collect();
        (keys.len() as u64 == tickets).then_some(())
    };
    world.until(&format!("{tickets} new tickets are heard of"), told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_queues_that_are_gone_stop_nothing() {
    let world = scripted(Rabbit::shared().await, "gone", Faults::default(), "", "").await;
    let events = Subscriber::listening(&world, "events", &["#"]).await;
    let script = Script::ready(&world).await;
    let killed = Script::ready(&world).await;
    let gone = ["gone.no.such.queue", "amq.rabbitmq.reply-to.nobody.is.behind.it"];
    for _ in 0..EACH {
        for reply in gone {
            script.send(How { encoding: "msgpack", reply: Some(reply) }, &create("nobody hears"));
        }
        killed.send(PACKED, &create("went away"));
        killed.send(TEXT, &create("went away"));
    }
    // It has sent all of it, and is killed before it has read its answers, or while it does.
    killed.has(&world, "c0", 1).await;
    drop(killed);
    for how in [PACKED, TEXT] {
        given(&script.ask(&world, how, &create("heard")).await);
    }
    let idle = async || {
        let lanes = world.look("/api/v1/lanes").await;
        (lanes["items"][0]["pending"] == 0 && lanes["items"][0]["intent"] == 0).then_some(())
    };
    world.until("nothing waits", idle).await;
    world.settled(0).await;
    let report = verdict::ledger_is_clean(&world);
    assert!(report.tickets >= 2 * EACH as u64 + 2, "{report:#?}");
    hears_of(&world, &events, report.tickets).await;
    no_session_was_lost(&world);
}

/// Two backends: the answers of one go to a queue, those of the other to an exchange that nobody
/// has made.
async fn routed(node: &Rabbit, prefix: &str) -> World {
    let queue = format!("{prefix}.answers");
    let config = format!(
        "[[routes]]\nbackend = \"crm\"\nkey = {queue:?}\n\
         [[routes]]\nbackend = \"far\"\nexchange = \"{prefix}.nowhere\"\nkey = \"x\"\n\
         [[subscriptions]]\nqueue = {queue:?}\nbindings = [\"nothing.at.all\"]\n\
         [policy]\ndefault_backend = \"crm\"\n[[policy.rule]]\nname = \"far\"\nsource = \"far\"\n\
         backend = \"far\"\n"
    );
    let backends = vec![("crm", Faults::default(), ""), ("far", Faults::default(), "")];
    let broker = Some((node.url(), prefix.to_owned()));
    World::started(Setting { broker, backends, config, ..Setting::default() }).await
}

async fn tickets(world: &World, count: u64) {
    let made = async || (world.ledger().report().tickets == count).then_some(());
    world.until(&format!("{count} tickets are made"), made).await;
    world.settled(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_route_of_a_backend_hears_what_became_of_alarms_and_of_commands_without_reply_to() {
    let node = Rabbit::shared().await;
    let world = routed(node, "routed").await;
    let script = Script::ready(&world).await;
    let (on_the_bus, over_http, answered) = (create("bus"), create("http"), create("mine"));
    script.send(NOWHERE, &on_the_bus);
    given(&script.ask(&world, TEXT, &answered).await);
    assert_eq!(world.post("/api/v1/commands", over_http.to_string()).await.0, 202);
    world.post("/api/v1/alarms", raised("probe", "A1").to_string()).await;
    tickets(&world, 4).await;
    let heard = drain(&world, "routed.answers");
    let about = |order: &Value| -> Vec<&Heard> {
        heard.iter().filter(|one| one.body["id"] == order["id"]).collect()
    };
    assert_eq!(heard.len(), 3, "{heard:#?}");
    assert_eq!(about(&answered).len(), 0, "it named its own queue: {heard:#?}");
    for order in [&on_the_bus, &over_http] {
        let [one] = about(order)[..] else { panic!("one answer each: {heard:#?}") };
        assert_eq!((&one.body["ok"], &one.body["stage"]), (&json!(true), &json!("final")));
    }
    assert_eq!(about(&on_the_bus)[0].content_type.as_deref(), Some("application/json"));
    let of_alarm = heard.iter().find(|one| one.body.get("id").is_none()).expect("the alarm's");
    assert_eq!(of_alarm.body["stage"], "final", "{of_alarm:?}");
    assert!(of_alarm.body["result"]["backend_id"].is_string(), "{of_alarm:?}");
    no_session_was_lost(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_to_an_exchange_that_does_not_exist_stops_nothing() {
    let node = Rabbit::shared().await;
    let world = routed(node, "nowhere").await;
    let events = Subscriber::listening(&world, "events", &["#"]).await;
    let script = Script::ready(&world).await;
    for n in 0..EACH {
        let mut order = create("nobody hears");
        order["backend"] = json!("far");
        script.send(NOWHERE, &order);
        world.post("/api/v1/alarms", raised("far", &format!("A{n}")).to_string()).await;
        given(&script.ask(&world, PACKED, &create("heard")).await);
    }
    tickets(&world, 3 * EACH as u64).await;
    hears_of(&world, &events, 3 * EACH as u64).await;
    no_session_was_lost(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_cannot_be_read_is_answered_or_parked_where_nobody_can_be_told() {
    let node = Rabbit::shared().await;
    let world = scripted(node, "bad", Faults::default(), "", "").await;
    let script = Script::ready(&world).await;
    let nameless = json!({ "command": "create", "backend": "crm" });
    // `{"id": ` and three bytes that begin nothing.
    let bytes = [("application/json", "eyJpZCI6IA=="), ("application/msgpack", "wf/B")];
    for (claims, base64) in bytes {
        let asked = script.send_raw(Some("own"), claims, base64);
        let answer = script.has(&world, &asked, 1).await.remove(0);
        assert_eq!(answer.content_type.as_deref(), Some(claims), "{answer:?}");
        assert_eq!((code(&answer.body), &answer.body["stage"]), ("invalid", &json!("final")));
        script.send_raw(None, claims, base64);
    }
    let answer = script.ask(&world, PACKED, &nameless).await;
    assert_eq!((code(&answer), &answer["error"]["field"]), ("invalid", &json!("id")), "{answer}");
    script.send(NOWHERE, &nameless);
    // The queue flows on.
    given(&script.ask(&world, TEXT, &create("good")).await);
    let parked = async || {
        let rows = world.all("/api/v1/parked").await;
        (rows.len() == 3).then_some(rows)
    };
    let rows = world.until("three are parked", parked).await;
    assert!(rows.iter().all(|row| row["inlet"] == "bad.commands.intake"), "{rows:#?}");
    let field = |name: &str| rows.iter().filter(|row| row["field"] == name).count();
    assert_eq!(field("id"), 1, "{rows:#?}");
    verdict::the_broker_is_empty(&world, node).await;
    no_session_was_lost(&world);
}
