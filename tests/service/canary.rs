//! The canary from outside, over RabbitMQ: a broken flow is told once, its way back once, and what
//! it leaves behind is nothing.

use crate::alarms::{message, raised};
use crate::programs::{Heard, Publisher, drain};
use crate::rabbit::Rabbit;
use crate::verdict;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;

const CONFIG: &str = "[canary]\nevery = \"500ms\"\ndead_after = \"5s\"\n\
    [[subscriptions]]\nqueue = \"canary.news\"\nexchange = \"ops\"\nbindings = [\"flow.#\"]\n\
    [[subscriptions]]\nqueue = \"canary.all\"\nbindings = [\"#\"]\n\
    [policy]\ndefault_backend = \"crm\"\n";

async fn canary(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let look = async || {
        let lanes = world.look("/api/v1/lanes").await;
        Some(lanes["items"][0]["canary"].clone()).filter(|it| is(it))
    };
    world.until(what, look).await
}

/// Keys and stages of what operators heard, in order.
fn gist(heard: &[Heard]) -> Vec<(String, String)> {
    let text = |one: &Heard, name: &str| one.body[name].as_str().unwrap_or("-").to_owned();
    heard.iter().map(|one| (text(one, "event"), text(one, "stage"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_flow_is_told_once_and_its_way_back_once() {
    let mut node = Rabbit::started().await;
    let mut world = World::started(Setting {
        broker: Some((node.url(), "canary".to_owned())),
        backends: vec![("crm", Faults::default(), "")],
        config: CONFIG.to_owned(),
        systems_are_away: true,
        ..Setting::default()
    })
    .await;
    // The backend is away: the lane gives no answer.
    let dead = canary(&world, "the flow is dead", |it| it["dead"] == true).await;
    assert_eq!(dead["stage"], "carried", "{dead}");
    world.start_systems();
    let whole =
        |from: u64| move |it: &Value| it["rounds"].as_u64() >= Some(from) && it["dead"] == false;
    canary(&world, "the flow is alive", whole(2)).await;
    // Real work goes the same way.
    Publisher::send(&world, vec![message("m1", "json", raised("probe", "A1"))]).await;
    world.settled(1).await;

    // The broker dies. What is to be told is told when it is back.
    node.kill9();
    let dead = canary(&world, "the flow is dead again", |it| it["dead"] == true).await;
    assert!(["begun", "published", "told"].contains(&dead["stage"].as_str().unwrap()), "{dead}");
    node.start().await;
    canary(&world, "the flow is alive again", |it| it["dead"] == false).await;
    // News that the broker did not take are tried again by the process that has them: it may come
    // to its end only after it has told them.
    world
        .until("all four news are at the broker", async || {
            let queues = node.queues().await;
            let of_news = queues.iter().find(|(name, ..)| name.ends_with("canary.news"));
            of_news.filter(|(_, ready, _)| *ready >= 4).map(drop)
        })
        .await;

    // The process dies in the middle of it all; what it has begun does not come back to life.
    world.kill9();
    world.start().await;
    world.on_the_broker().await;
    canary(&world, "rounds go on after a start", whole(3)).await;
    let all = drain(&world, "canary.news");
    let gist = gist(&all);
    let told: Vec<_> = gist.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(told, ["flow.dead", "flow.alive", "flow.dead", "flow.alive"], "{gist:?}");
    assert_eq!(gist[0].1, "carried");
    assert_eq!(gist[2].1, dead["stage"].as_str().unwrap());

    // No ticket, no alarm, no row, nobody who hears of tickets hears of it.
    let status = world.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    world.change_config("[canary]\n", "[canary]\nenabled = false\n");
    world.start().await;
    world.settled(1).await;
    verdict::ledger_is_clean(&world);
    assert_eq!(world.ledger().report().tickets, 1);
    for (path, rows) in [("alarms", 1), ("tickets", 1), ("requests", 1), ("parked", 0)] {
        let all = world.all(&format!("/api/v1/{path}")).await;
        assert_eq!(all.len(), rows, "{path}: {all:#?}");
    }
    assert_eq!(world.figure("ticketgate_history_rows").await, Some(2.0));
    let heard = drain(&world, "canary.all");
    let keys: Vec<_> = heard.iter().map(|it| it.body["event"].clone()).collect();
    assert_eq!(keys.iter().filter(|it| **it == json!("created")).count(), 1, "{heard:#?}");
    assert!(heard.iter().all(|it| it.body["event"] != "canary"));
    verdict::the_broker_is_empty(&world, &node).await;
}
