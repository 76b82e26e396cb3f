//! What has ended, from outside: the lists, their files at a person's word and by the clock, and what
//! clean-up leaves alone (rules C1–C3).

use crate::alarms::raised;
use crate::command_line::Shell;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use ticketgate::simulate::faults::Faults;

const OFFLOAD: &str = "[offload]\nenabled = true\npath = \"HERE\"\nmax_rows = 4\namount = 3\n\
    check_every = \"1d\"\nkeep_files = \"1d\"\n";

async fn world() -> (World, PathBuf) {
    let faults = Faults { reject_summary_containing: Some("at 5".into()), ..Faults::default() };
    let config = format!("{OFFLOAD}[policy]\ndefault_backend = \"crm\"\n");
    let backends = vec![("crm", faults, "")];
    let mut world = World::prepared(Setting { backends, config, ..Setting::default() }).await;
    let path = world.file("offload");
    world.change_config("HERE", path.to_str().expect("a plain name"));
    world.start().await;
    (world, path)
}

async fn raise(world: &World, ids: impl IntoIterator<Item = u32>) {
    for id in ids {
        let mut event = raised("probe", &id.to_string());
        event["properties"] = json!({"priority": "=2+5", "dataminer_id": 7});
        let (status, said) = world.post("/api/v1/alarms", event.to_string()).await;
        assert_eq!(status, 202, "{said}");
    }
}

async fn list(world: &World, list: &str) -> Vec<Value> {
    let page = world.look(&format!("/api/v1/history?list={list}&limit=500")).await;
    page["items"].as_array().expect("a list").clone()
}

async fn rows_there(world: &World, rows: f64) {
    let what = format!("{rows} rows are counted");
    let look = async || {
        let counted = world.figure("ticketgate_history_rows").await?;
        (counted == rows).then_some(())
    };
    world.until(&what, look).await;
}

/// The records of all files of a list, by their columns.
fn records(of_list: &Path) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut records = Vec::new();
    for day in std::fs::read_dir(of_list).into_iter().flatten() {
        for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|it| it == "csv") {
                let mut csv = csv::Reader::from_path(path).unwrap();
                records.extend(csv.deserialize().map(|row| row.expect("a whole row")));
            }
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_is_listed_and_goes_to_its_files() {
    let (mut world, path) = world().await;
    raise(&world, 1..=5).await;
    // Five ends, five creates, one of them refused.
    rows_there(&world, 11.0).await;
    let failed = list(&world, "failed").await;
    assert_eq!((failed.len(), &failed[0]["http_error_code"]), (1, &json!("422")), "{failed:?}");
    let status = list(&world, "status").await;
    let of = |id: &str| {
        let alarm = format!("probe/{id}");
        status.iter().find(|row| row["alarm"] == alarm.as_str()).expect("it has ended").clone()
    };
    assert_eq!((&of("5")["status"], &of("1")["status"]), (&json!("Failed"), &json!("Succeeded")));
    assert!(of("5")["reason"].is_string() && of("1")["reason"].is_null());
    let shell = Shell(&world);
    let told = shell.says(&["history", "list", "--list", "tickets"]);
    assert!(told.contains("failed") && told.contains("=2+5"), "{told}");
    assert_eq!(shell.json(&["history", "list"])["items"], json!(status));
    let page = world.look("/api/v1/history?limit=2").await;
    assert_eq!(page["items"], json!(status[..2]));
    let next = page["next"].as_u64().expect("there is more");
    let rest = world.look(&format!("/api/v1/history?limit=500&before={next}")).await;
    assert_eq!(rest["items"], json!(status[2..]));

    // A file of ours that is old, one of somebody else beside it.
    let old = path.join("status/2020_01_01");
    std::fs::create_dir_all(&old).unwrap();
    std::fs::write(old.join("Offload_00_1.csv"), "x").unwrap();
    std::fs::write(old.join("notes.txt"), "x").unwrap();
    let gone = shell.json(&["offload", "now", "--reason", "the auditors come"]);
    assert_eq!(gone["offloaded"], json!({"status": 4, "tickets": 4, "failed": 0}));
    assert!(!old.join("Offload_00_1.csv").exists() && old.join("notes.txt").exists());
    for left in ["status", "tickets", "failed"] {
        assert_eq!(list(&world, left).await.len(), 1, "max_rows - amount are left of {left}");
    }
    let tickets = records(&path.join("tickets"));
    assert_eq!(tickets.len(), 4);
    assert!(tickets.iter().all(|row| row["priority"] == "'=2+5" && row["dataminer_id"] == "7"));
    let again = shell.json(&["offload", "now", "--reason", "once more"]);
    assert_eq!(again["offloaded"], json!({"status": 0, "tickets": 0, "failed": 0}));

    // By the clock, over a kill.
    world.kill9();
    world.change_config("check_every = \"1d\"", "check_every = \"1s\"");
    world.start().await;
    raise(&world, 11..=20).await;
    let every_one_once = async || {
        let table = list(&world, "status").await;
        let files = records(&path.join("status"));
        let named = table.iter().map(|row| row["instance"].as_str().unwrap_or_default().to_owned());
        let all: Vec<String> =
            named.chain(files.iter().map(|row| row["instance"].clone())).collect();
        let once: BTreeSet<&String> = all.iter().collect();
        (table.len() <= 4 && all.len() == 15 && once.len() == 15).then_some(())
    };
    world.until("fifteen ends are in the table or in a file, each once", every_one_once).await;

    for (query, says) in [("list=nothing", "list is one of"), ("limit=0", "limit is 1 to 500")] {
        let (status, said) = world.get(&format!("/api/v1/history?{query}")).await;
        assert_eq!(status, 400, "{said}");
        assert!(said.contains(says), "{said}");
    }
    world.stop().await;
    world.change_config("enabled = true", "enabled = false");
    world.start().await;
    for (reason, expected) in [(" ", 400), ("off", 409)] {
        let body = json!({ "reason": reason }).to_string();
        let (status, said) = world.post("/api/v1/history/offload", body).await;
        assert_eq!(status, expected, "{said}");
    }
}
