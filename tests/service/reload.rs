//! A changed config file, applied to the running service: whole, or not at all.

use crate::alarms::raised;
use crate::command_line::Shell;
use crate::world::{Setting, World};
use serde_json::json;
use ticketgate::simulate::faults::Faults;

const CONFIG: &str = "[policy]\ndefault_backend = \"crm\"\non_clear = \"close\"\n";

async fn open_tickets(world: &World) -> usize {
    let tickets = world.all("/api/v1/tickets").await;
    tickets.iter().filter(|it| it["backend_id"].is_string() && it["status"] != "closed").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_applied_whole_or_not_at_all() {
    let config = CONFIG.to_owned();
    let backends = vec![("crm", Faults::default(), "retries = 3")];
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    let shell = Shell(&world);
    let (status, said) = world.post("/api/v1/alarms", raised("probe", "1").to_string()).await;
    assert_eq!(status, 202, "{said}");
    world
        .until("the ticket is made", async || (open_tickets(&world).await == 1).then_some(()))
        .await;
    let same = shell.says(&["reload", "--dry-run"]);
    assert!(same.contains("what is in force"), "{same}");

    // A wrong file is refused with its line, and nothing of it is in force.
    world.change_config("on_clear = \"close\"", "on_clear = \"nothing\"\nclose_delay = \"soon\"");
    let wrong = shell.complains(&["reload", "--reason", "quieter"]);
    assert!(wrong.contains("policy.close_delay") && wrong.contains("soon"), "{wrong}");
    let policy = world.look("/api/v1/config").await["policy"].clone();
    assert_eq!(policy["on_clear"], "close", "{policy}");

    // What only a restart can change refuses the rest of the file too.
    world.change_config("close_delay = \"soon\"", "close_delay = \"0s\"\n[clients]\nnumber = 3");
    let dead = shell.complains(&["reload", "--reason", "quieter"]);
    assert!(dead.contains("only a restart") && dead.contains("clients.number"), "{dead}");

    world.change_config("[clients]\nnumber = 3", "");
    world.change_config("retries = 3", "retries = 1");
    let told = shell.says(&["reload", "--dry-run"]);
    for word in ["policy.on_clear", "backend[crm].retries", "nothing was changed"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(shell.says(&["reload", "--reason", "quieter"]).contains("in force"));
    let policy = world.look("/api/v1/config").await["policy"].clone();
    assert_eq!(policy["on_clear"], "nothing", "{policy}");

    // The alarm that was raised before goes by the new policy.
    let mut clear = raised("probe", "1");
    clear["state"] = "cleared".into();
    clear["changed_at"] = json!("2026-11-21T11:00:00Z");
    world.post("/api/v1/alarms", clear.to_string()).await;
    world.settled(1).await;
    assert_eq!(open_tickets(&world).await, 1, "policy leaves it open now");
    let explained = world.explain("probe", "1").await.to_string();
    assert!(explained.contains("policy leaves the ticket open"), "{explained}");
}

/// How syncs work changes at once, whole or not at all; between whom they are, and which there are, only
/// with a restart, which is told by key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_a_sync_works_changes_without_a_restart() {
    let config = format!(
        "{CONFIG}[[sync]]\nname = \"desk\"\nbackend = \"crm\"\nevery = \"1h\"\nbatch = 7\n\
         [[sync.field]]\nname = \"summary\"\n[[sync.field]]\nname = \"status\"\n[[notices]]\nbackend = \"crm\"\npause = \"30s\"\n"
    );
    let backends = vec![("crm", Faults::default(), "")];
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    let shell = Shell(&world);
    let sync = async || world.look("/api/v1/sync/desk").await;
    let ran = async |n: u64| {
        let done = async || {
            let calls = world.ledger().report_of("crm").map_or(0, |report| report.calls.search);
            (calls >= n).then_some(())
        };
        world.until("the sync runs", done).await;
    };
    ran(1).await;
    assert_eq!(sync().await["last_run"]["error"], serde_json::Value::Null);

    // A part of it needs a restart: nothing of it is in force, and the keys are named.
    world.change_config("batch = 7", "batch = 9\norganizer = \"opera\"");
    world.change_config("[[notices]]", "[[sync]]\nname = \"new\"\nbackend = \"crm\"\n[[notices]]");
    let dead = shell.complains(&["reload", "--reason", "more"]);
    for key in ["only a restart can change", "sync[desk].organizer", "sync[new]"] {
        assert!(dead.contains(key), "{key}: {dead}");
    }
    assert!(!dead.contains("sync[new].") && !dead.contains("sync[desk].batch"), "{dead}");
    assert_eq!(sync().await["batch"], 7);
    world.change_config("\norganizer = \"opera\"", "");
    world.change_config("[[sync]]\nname = \"new\"\nbackend = \"crm\"\n", "");

    // Masters, words, the page and the schedule; the first run of the new schedule comes by itself.
    let field = "[[sync.field]]\nname = \"summary\"\n";
    world.change_config("every = \"1h\"\n", "every = \"1s\"\nthree_way = true\n");
    world.change_config(field, &format!("{field}master = \"theirs\"\n"));
    world.change_config("pause = \"30s\"", "pause = \"1s\"");
    let told = shell.says(&["reload", "--dry-run"]);
    for key in ["sync[desk].batch", "sync[desk].every", "sync[desk].field[summary].master"] {
        assert!(told.contains(key), "{key}: {told}");
    }
    assert_eq!(sync().await["every"], "1h");
    assert!(shell.says(&["reload", "--reason", "more"]).contains("in force"));
    let now = sync().await;
    assert_eq!((&now["batch"], &now["every"]), (&json!(9), &json!("1s")), "{now}");
    assert_eq!(now["three_way"], true, "{now}");
    let before = world.ledger().report_of("crm").expect("it is there").calls.search;
    ran(before + 2).await;

    // Out of use, and back.
    world.change_config("three_way = true\n", "masked = true\n");
    assert!(shell.says(&["reload", "--reason", "out of use"]).contains("in force"));
    let (status, problem) = world.post("/webhooks/crm", "{}").await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].to_string().contains("is masked"), "{problem}");
    world.change_config("masked = true\n", "");
    assert!(shell.says(&["reload", "--reason", "back"]).contains("in force"));
    let before = world.ledger().report_of("crm").expect("it is there").calls.search;
    ran(before + 1).await;
}
