//! Every page shows what is there, can be read by everybody, and can be reached by keys alone.

use crate::browser::Browser;
use crate::world::{MARKUP, World};
use serde_json::json;

/// Address, what stands on it, and the name of its picture.
const PAGES: [(&str, &str, &str); 22] = [
    ("/", "1 undecided at oceane", "overview"),
    ("/#/alarms", "probe/A1", "alarms"),
    ("/#/alarms/probe/A1", "It has ticket CRM-1 at crm", "alarm"),
    ("/#/alarms/nobody/none", "Nothing of this alarm has ever arrived", "alarm-unknown"),
    ("/#/tickets", "CRM-1", "tickets"),
    ("/#/undecided", "Was this create done at oceane?", "undecided"),
    ("/#/requests", "undecided", "requests"),
    ("/#/parked", "1 rows", "parked"),
    ("/#/parked/1", "Came in at", "parked-one"),
    ("/#/lanes", "One lane a backend", "lanes"),
    ("/#/clients", "0 of 4 locked", "clients"),
    ("/#/clients/1", "Network path of the last flow", "client"),
    ("/#/backends", "A lost create", "backends"),
    ("/#/services", "No backend has a table of services", "services"),
    ("/#/routes", "Where the answer goes", "routes"),
    ("/#/communication", "create", "communication"),
    ("/#/heartbeats", "noc-b", "heartbeats"),
    ("/#/history/status", "Succeeded", "history-status"),
    ("/#/history/tickets", "Technical impact", "history-tickets"),
    ("/#/history/failed", "No create has failed", "history-failed"),
    ("/#/config", "policy.default_backend", "config"),
    ("/#/debug", "Processing lock", "debug"),
];

async fn furnished() -> World {
    let world = World::start().await;
    world.ticket("A1").await;
    world.alarm("quiet", "Q1", "raised").await;
    world.doubt("R1").await;
    world.park("{\"id\": \"P1\", \"source\": \"probe\"}").await;
    world
}

/// Not there, and asked for on purpose.
const REFUSED: &[&str] = &["/alarms/nobody/none"];

async fn every_page_in(theme: &str) {
    let world = furnished().await;
    let browser = Browser::open(world.base()).await;
    for (path, words, name) in PAGES {
        browser.go(path).await;
        browser.run(&format!("document.documentElement.dataset.theme = '{theme}';")).await;
        browser.says(words).await;
        browser.is_accessible(&format!("{path} in {theme}")).await;
        browser.shot(&format!("{name}-{theme}")).await;
    }
    browser.close(REFUSED).await;
    world.stop().await;
}

#[actix::test]
async fn every_page_shows_what_is_there_and_can_be_read_by_everybody_in_light() {
    every_page_in("light").await;
}

#[actix::test]
async fn every_page_shows_what_is_there_and_can_be_read_by_everybody_in_dark() {
    every_page_in("dark").await;
}

#[actix::test]
async fn every_page_fits_a_narrow_window() {
    let world = furnished().await;
    let browser = Browser::open(world.base()).await;
    browser.wide(800).await;
    for (path, words, name) in PAGES {
        browser.go(path).await;
        browser.says(words).await;
        // Nothing of the page itself hangs over its edge; a wide table moves within its own frame.
        let over = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        browser.until("it fits", over).await;
        browser.shot(&format!("{name}-narrow")).await;
    }
    browser.close(REFUSED).await;
    world.stop().await;
}

#[actix::test]
async fn an_alarm_text_with_markup_stays_text() {
    let world = World::start().await;
    world.ticket("A1").await;
    let browser = Browser::open(world.base()).await;
    for path in ["/#/alarms", "/#/alarms/probe/A1", "/new-ticket?source=probe&id=<b>x</b>&object=o"]
    {
        browser.go(path).await;
        let shown = if path.starts_with("/#") { MARKUP } else { "<b>x</b>" };
        browser.until("the text", &format!("text().includes({})", json!(shown))).await;
        let made =
            "!document.querySelector('main img, main script, main b') && document.title !== 'hit'";
        browser.until("no element came of it", made).await;
    }
    browser.close(&["/api/v1/sync", "/alarms/probe/"]).await;
    world.stop().await;
}

#[actix::test]
async fn keys_lead_everywhere_and_the_search_finds_what_an_operator_has_in_hand() {
    let world = World::start().await;
    let number = world.ticket("A1").await;
    let browser = Browser::open(world.base()).await;
    browser.go("/").await;
    browser.says("Needs you").await;
    browser.strike(&["?"]).await;
    browser.until("the help", "document.querySelector('dialog.help')").await;
    browser.shot("help").await;
    browser.strike(&["\u{E00C}"]).await;
    browser.until("it closes", "!document.querySelector('dialog')").await;
    for (key, words) in
        [("u", "Nothing is undecided"), ("l", "One lane a backend"), ("p", "Nothing is parked")]
    {
        browser.strike(&["g", key]).await;
        browser.says(words).await;
    }
    // To the search, to the ticket by its number, and to its alarm by the alarm's own name.
    for text in [number.as_str(), "probe/A1", "A1"] {
        browser.strike(&["g", "o"]).await;
        browser.says("Needs you").await;
        browser.strike(&["/"]).await;
        browser.until("the search", "document.activeElement.type === 'search'").await;
        let keys: Vec<String> = text.chars().map(String::from).collect();
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        keys.push("\u{E007}");
        browser.strike(&keys).await;
        browser.says("What happened").await;
        browser.run("document.activeElement.blur();").await;
    }
    // The first thing that the tab key reaches leads past the navigation, and what has focus shows it.
    browser.go("/#/alarms").await;
    browser.says("probe/A1").await;
    browser.strike(&["\u{E004}"]).await;
    browser.until("the skip link", "document.activeElement.className === 'skip'").await;
    browser.strike(&["\u{E007}"]).await;
    browser.until("the page", "document.activeElement.id === 'main'").await;
    browser.strike(&["\u{E004}"]).await;
    let outlined = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    browser.until("focus is seen", outlined).await;
    browser.close(&["/api/v1/sync", "/api/v1/alarms/"]).await;
    world.stop().await;
}

#[actix::test]
async fn many_tabs_leave_each_other_a_connection() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    for _ in 0..8 {
        browser.tab().await;
        browser.go("/").await;
        browser.says("Nothing. Every lane makes its calls").await;
        browser.until("the stream", "document.querySelector('.live').textContent === 'live'").await;
    }
    browser.close(&[]).await;
    world.stop().await;
}

#[actix::test]
async fn the_pages_are_live() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    browser.go("/").await;
    browser.says("Nothing. Every lane makes its calls").await;
    world.ticket("A1").await;
    browser.says("CRM-1").await;
    browser.until("the stream", "document.querySelector('.live').textContent === 'live'").await;
    world.doubt("R1").await;
    browser.says("1 undecided at oceane").await;
    browser.close(&["/api/v1/sync"]).await;
    world.stop().await;
}
