//! Long lists on the command line: page by page to the end.

use crate::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::process::Command;

/// More than two pages of the service.
const TICKETS: usize = 1_203;

async fn import(world: &World) {
    let row = |n: usize| {
        json!({ "source": "old", "alarm_id": format!("A{n}"), "backend": "crm",
                "backend_id": format!("OLD-{n}"), "status": "acknowledged" })
    };
    let rows: Vec<Value> = (0..TICKETS).map(row).collect();
    for part in rows.chunks(1_000) {
        let body = json!({ "rows": part, "reason": "a test" });
        let sent = world.send("POST", "/api/v1/tickets/import").json(&body).send().await.unwrap();
        assert_eq!(sent.status(), 200);
    }
}

/// What `ticketgate` prints; it must succeed.
async fn says(world: &World, args: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ticketgate"))
        .args(args)
        .args(["--url", &world.url("")])
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(output.stderr));
    (text(output.stdout), text(output.stderr))
}

#[actix::test]
async fn a_long_list_comes_whole_or_as_far_as_somebody_wants_it() {
    let world = World::with("").await;
    import(&world).await;
    let items = |told: &str| -> (Vec<Value>, Value) {
        let mut told: Value = serde_json::from_str(told).unwrap();
        (told["items"].as_array_mut().map(std::mem::take).unwrap(), told["next"].clone())
    };
    let (told, _) = says(&world, &["ticket", "list", "--all", "--json"]).await;
    let (all, next) = items(&told);
    let keys: BTreeSet<_> = all.iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!((all.len(), keys.len(), next), (TICKETS, TICKETS, Value::Null));

    for (limit, more) in [("1", true), ("500", true), ("700", true), ("5000", false)] {
        let (told, _) = says(&world, &["ticket", "list", "--limit", limit, "--json"]).await;
        let (some, next) = items(&told);
        assert_eq!(some.len(), limit.parse::<usize>().unwrap().min(TICKETS));
        assert_eq!(some[..], all[..some.len()], "the same, in the same order");
        assert_eq!(next.is_number(), more, "{limit}: {next}");
    }
    let (told, _) = says(&world, &["ticket", "list"]).await;
    assert_eq!(told.lines().count(), 51, "a head, and 50 rows");
    // Each column begins where it begins on the first page.
    let (told, aside) = says(&world, &["ticket", "list", "--all"]).await;
    assert_eq!((told.lines().count(), aside.as_str()), (TICKETS + 1, ""));
    let places: BTreeSet<_> = told.lines().skip(1).map(|line| line.find("crm").unwrap()).collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert_eq!(told.matches("backend").count(), 1, "the head comes once");

    let (told, _) = says(&world, &["alarm", "list", "--source", "old", "--all", "--json"]).await;
    assert_eq!(items(&told).0.len(), TICKETS);
    for list in ["request", "parked", "audit", "history"] {
        let (told, _) = says(&world, &[list, "list", "--all", "--json"]).await;
        let (rows, next) = items(&told);
        assert_eq!((rows.is_empty(), next), (list != "audit", Value::Null), "{list}");
    }
    world.service.stop().await;
}

/// On a terminal long work shows how far it is: there, and not in what was asked for.
#[actix::test]
async fn long_work_tells_on_a_terminal_how_far_it_is() {
    let world = World::with("").await;
    let folder = tempfile::TempDir::with_prefix("ticketgate-face").unwrap();
    let file = folder.path().join("old.csv");
    let mut text = "source,alarm_id,backend,backend_id,status\n".to_owned();
    for n in 0..TICKETS {
        text.push_str(&format!("old,A{n},crm,OLD-{n},acknowledged\n"));
    }
    std::fs::write(&file, text).unwrap();
    let binary = env!("CARGO_BIN_EXE_ticketgate");
    let list = folder.path().join("list");
    for (work, told, shown) in [
        (format!("ticket import {file:?} --url {}", world.url("")), "tickets", None),
        (format!("ticket list --all --url {} > {list:?}", world.url("")), "rows", Some(&list)),
    ] {
        // `script` gives it a terminal.
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &format!("{binary} {work}"), "/dev/null"])
            .env("TERM", "xterm")
            .output()
            .await
            .unwrap();
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && seen.contains(told), "{work}: {seen}");
        if let Some(shown) = shown {
            let text = std::fs::read_to_string(shown).unwrap();
            assert_eq!(text.lines().count(), TICKETS + 1);
            assert!(!text.contains('\u{1b}'), "no control codes in what was asked for");
        }
    }
    world.service.stop().await;
}
