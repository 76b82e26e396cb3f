//! A ticket by hand, from the link of an alarm console.

use crate::browser::Browser;
use crate::world::World;
use serde_json::json;

pub const LINK: &str = "/new-ticket?source=dma&id=7%2F12345&object=enc%2F7&object_name=Encoder%207\
                    &value=98%20%C2%B0C&root_time=2026-11-21T10:00:00Z";
const REFUSED: &[&str] = &["/api/v1/sync", "/api/v1/alarms/dma/", "/api/v1/commands"];

#[actix::test]
async fn the_form_asks_for_what_the_backend_needs_and_makes_one_ticket() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    browser.go(LINK).await;
    browser.says("This alarm was never seen here").await;
    browser.says("crm was searched: it has no open ticket about enc/7").await;
    browser.write("Backend", "oceane").await;
    browser.says("Technical impact (required)").await;
    browser.press("Create ticket").await;
    // What is required is asked for, and nothing is sent without it.
    browser.until("a value is missing", "document.querySelector('select:invalid')").await;
    for (field, value) in [
        ("Priority (required)", "P1"),
        ("Urgency (required)", "high"),
        ("Technical impact (required)", "degraded"),
        ("Client impact", "one customer"),
    ] {
        browser.write(field, value).await;
    }
    browser.is_accessible("the form").await;
    browser.shot("new-ticket").await;
    browser.press("Create ticket").await;
    browser.says("You can close this page").await;
    browser.shot("new-ticket-made").await;
    let made = world.oceane.ledger.report_of("one").unwrap();
    assert_eq!(made.tickets, 1, "{made:?}");
    let alarm = world.get("/api/v1/alarms/dma/7%2F12345").await;
    let ticket = world.get(&format!("/api/v1/tickets/{}", alarm["ticket"].as_str().unwrap())).await;
    assert_eq!(ticket["backend"], "oceane");
    assert_eq!(ticket["fields"]["technical_impact"], "degraded");
    assert_eq!(alarm["value"], "98 °C");

    // The same link again shows that ticket, and makes none.
    browser.go(LINK).await;
    browser.says("This alarm has a ticket already").await;
    assert_eq!(world.oceane.ledger.report_of("one").unwrap().tickets, 1);
    browser.close(REFUSED).await;
    world.stop().await;
}

#[actix::test]
async fn a_ticket_that_the_backend_has_is_found_first_and_taken() {
    let world = World::start().await;
    world.alarm("quiet", "Q1", "raised").await;
    let create = json!({
        "command": "create", "id": "0196c3c0-0000-7000-8000-000000000002", "backend": "crm",
        "kind": "incident", "fields": { "summary": "made by somebody", "object": "mux/1" },
    });
    let made = world.post("/api/v1/commands?wait=30s", create).await;
    let number = made["result"]["backend_id"].as_str().unwrap().to_owned();
    let browser = Browser::open(world.base()).await;
    browser.go("/new-ticket?source=quiet&id=Q1").await;
    browser.says("crm has an open ticket about mux/1").await;
    browser.shot("new-ticket-found").await;
    browser.press("Take this one").await;
    browser.says("The alarm is linked to the existing ticket").await;
    let told = world.get("/api/v1/alarms/quiet/Q1/explain").await;
    assert_eq!(told["occurrences"][0]["ticket"]["backend_id"], json!(number));
    browser.close(REFUSED).await;
    world.stop().await;
}

#[actix::test]
async fn a_link_without_values_asks_for_them() {
    let world = World::start().await;
    world.alarm("quiet", "Q1", "raised").await;
    let browser = Browser::open(world.base()).await;
    browser.go("/new-ticket").await;
    browser.says("For which alarm?").await;
    browser.write("Source", "quiet").await;
    browser.write("Alarm ID", "Q1").await;
    browser.press("Go on").await;
    browser.says("Summary (required)").await;
    browser.press("Create ticket").await;
    browser.says("You can close this page").await;
    assert_eq!(world.crm.ledger.report_of("crm").unwrap().tickets, 1);
    browser.close(REFUSED).await;
    world.stop().await;
}
