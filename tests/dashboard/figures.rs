//! How long pages take with 1,000 tickets in the store, and with 100,000: `make face` (docs/performance.md).
//! Figures, and no judgement: a machine that does something else besides is slow.

use crate::browser::Browser;
use crate::world::World;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Times that each is looked at; told is the median.
const LOOKS: usize = 7;
/// Tickets in one import.
const PART: usize = 1_000;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

async fn import(world: &World, from: usize, upto: usize) {
    let row = |n: usize| {
        json!({ "source": "old", "alarm_id": format!("A{n}"), "backend": "crm",
                "backend_id": format!("OLD-{n}"), "status": "acknowledged" })
    };
    let numbers: Vec<usize> = (from..upto).collect();
    for part in numbers.chunks(PART) {
        let rows: Vec<Value> = part.iter().map(|n| row(*n)).collect();
        world.post("/api/v1/tickets/import", json!({ "rows": rows, "reason": "figures" })).await;
        if part[0] % 20_000 == 0 {
            eprintln!("{} tickets in the store", part[0]);
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Milliseconds until a page that is loaded anew says so.
async fn page(browser: &Browser, path: &str, words: &str) -> f64 {
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        browser.go(path).await;
        let script = format!("text().includes({}) && performance.now()", json!(words));
        times.push(browser.soonest(&script).await);
    }
    median(times)
}

/// Milliseconds from the search to the page that it leads to.
async fn search(browser: &Browser, text: &str, words: &str) -> f64 {
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        browser.go("/").await;
        browser.says("Needs you").await;
        let submit = format!(
            "window.from = performance.now(); const it = document.querySelector('input[name=q]'); \
             it.value = {}; it.form.requestSubmit();",
            json!(text)
        );
        browser.run(&submit).await;
        let script =
            format!("text().includes({}) && performance.now() - window.from", json!(words));
        times.push(browser.soonest(&script).await);
    }
    median(times)
}

async fn answer(world: &World, path: &str) -> f64 {
    let mut times = Vec::new();
    for _ in 0..3 * LOOKS {
        let from = Instant::now();
        world.get(path).await;
        times.push(from.elapsed().as_secs_f64() * 1_000.0);
    }
    median(times)
}

async fn measured(world: &World, browser: &Browser) -> Vec<(String, f64)> {
    let mut figures = Vec::new();
    for (name, path, words) in [
        ("overview", "/", "Needs you"),
        ("overview, its lanes", "/", "Last success"),
        ("tickets", "/#/tickets", "50 rows"),
        ("alarms", "/#/alarms", "50 rows"),
        ("one ticket's story (the oldest)", "/#/alarms/old/A0", "What happened"),
    ] {
        figures.push((name.to_owned(), page(browser, path, words).await));
    }
    for (name, text, words) in [
        ("search, the oldest ticket's number", "OLD-0", "What happened"),
        ("search, an alarm by source and id", "old/A0", "What happened"),
        ("search, a name that nobody has", "nobody", "No alarm matches"),
    ] {
        figures.push((name.to_owned(), search(browser, text, words).await));
    }
    for path in [
        "overview",
        "lanes",
        "alarms",
        "alarms?state=active",
        "alarms?source=old",
        "alarms?source=nobody",
        "alarms?order=oldest",
        "tickets",
        "tickets?backend=crm",
        "tickets?status=acknowledged",
        "tickets?backend=crm&status=closed",
        "tickets?backend_id=OLD-0",
        "requests",
        "requests?open=true",
        "requests?state=undecided",
        "history",
        "audit",
        "parked",
        "alarms/old/A0/explain",
    ] {
        figures.push((path.to_owned(), answer(world, &format!("/api/v1/{path}")).await));
    }
    figures
}

#[actix::test]
#[ignore = "a measurement: make face"]
async fn with_few_tickets_and_with_many() {
    let (few, many) = (number("FEW", 1_000), number("MANY", 100_000));
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    import(&world, 0, few).await;
    // The first load fills the browser's cache.
    page(&browser, "/#/tickets", "50 rows").await;
    let first = measured(&world, &browser).await;
    import(&world, few, many).await;
    let second = measured(&world, &browser).await;
    println!("| what | {few} tickets: ms | {many} tickets: ms | ratio |\n|---|---|---|---|");
    for ((name, few), (_, many)) in first.iter().zip(&second) {
        println!("| {name} | {few:.1} | {many:.1} | {:.2} |", many / few);
    }
    browser.close(&[]).await;
    world.stop().await;
}
