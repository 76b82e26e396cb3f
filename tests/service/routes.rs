//! Routes that an operator sets: they win over the config, count from the next final answer on, and
//! outlive a restart.

use crate::alarms::raised;
use crate::command_line::Shell;
use crate::programs::drain;
use crate::rabbit::Rabbit;
use crate::world::{Setting, World};
use serde_json::json;
use ticketgate::simulate::faults::Faults;

const QUEUES: [&str; 2] = ["set-routes.config", "set-routes.operator"];

async fn world(node: &Rabbit) -> World {
    let mut config = "[policy]\ndefault_backend = \"crm\"\n".to_owned();
    for queue in QUEUES {
        let more =
            format!("[[subscriptions]]\nqueue = {queue:?}\nbindings = [\"nothing.at.all\"]\n");
        config.push_str(&more);
    }
    config.push_str(&format!("[[routes]]\nbackend = \"crm\"\nkey = {:?}\n", QUEUES[0]));
    let broker = Some((node.url(), "set-routes".to_owned()));
    let backends = vec![("crm", Faults::default(), "")];
    World::started(Setting { broker, backends, config, ..Setting::default() }).await
}

/// An alarm gets its ticket; where its final answer went.
async fn answered(world: &World, n: usize) -> Vec<&'static str> {
    world.post("/api/v1/alarms", raised("probe", &format!("A{n}")).to_string()).await;
    world.settled(n).await;
    QUEUES.into_iter().filter(|queue| !drain(world, queue).is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_was_set_counts_at_once_and_wins_over_the_config() {
    let mut world = world(Rabbit::shared().await).await;
    world.on_the_broker().await;
    let [config, operator] = QUEUES;
    assert_eq!(answered(&world, 1).await, [config]);

    let body = json!({"backend": "crm", "key": operator, "reason": "a new desk"});
    assert_eq!(world.post("/api/v1/routes", body.to_string()).await.0, 201);
    assert_eq!(answered(&world, 2).await, [operator]);
    assert_eq!(world.post("/api/v1/routes", body.to_string()).await.0, 409, "it is there already");
    let listed = world.look("/api/v1/routes").await;
    let route = json!({"backend": "crm", "exchange": "", "key": operator, "set_by": "operator"});
    assert_eq!(listed["items"], json!([route]));
    assert_eq!(world.stop().await.code(), Some(0));
    world.start().await;
    world.on_the_broker().await;
    assert_eq!(answered(&world, 3).await, [operator]);

    let back = json!({"key": config, "reason": "back"}).to_string();
    assert_eq!(world.put("/api/v1/routes/crm", back).await.0, 200);
    assert_eq!(answered(&world, 4).await, [config]);
    let shell = Shell(&world);
    shell.says(&["route", "set", "crm", "--key", operator, "--reason", "again"]);
    assert!(shell.says(&["route", "list"]).contains(operator));
    assert_eq!(answered(&world, 5).await, [operator]);
    assert_eq!(shell.says(&["route", "remove", "crm", "--reason", "closed"]), "removed\n");
    assert_eq!(answered(&world, 6).await, [config]);
    let gone = shell.complains(&["route", "remove", "crm", "--reason", "twice"]);
    assert!(gone.contains("no operator's route"), "{gone}");
    for (body, field) in [
        (json!({"backend": "x", "key": "k", "reason": "r"}), "backend"),
        (json!({"backend": "crm", "key": "", "reason": "r"}), "key"),
        (json!({"backend": "crm", "key": "k", "reason": " "}), "reason"),
        (
            json!({"backend": "crm", "key": "k", "exchange": "x".repeat(256), "reason": "r"}),
            "exchange",
        ),
    ] {
        let (status, problem) = world.post("/api/v1/routes", body.to_string()).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{body}");
    }
}
