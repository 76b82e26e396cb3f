//! A lane is paused, one ticket of it held, a request cancelled or tried again; a backend is asked.

use crate::browser::Browser;
use crate::world::World;
use serde_json::json;

const QUIET: &[&str] = &["/api/v1/sync"];

#[actix::test]
async fn a_lane_is_paused_and_what_waits_in_it_is_cancelled() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/lanes").await;
    browser.press_in("tr[data-key=crm]", "Pause…").await;
    browser.shot("pause").await;
    browser.confirm("they move their database", "Pause").await;
    browser.says("they move their database").await;
    world.alarm("probe", "A1", "raised").await;
    let path = "/api/v1/requests?open=true";
    let open = world.until(path, |it| it["items"][0]["state"] == "accepted").await;
    let request = open["items"][0]["id"].as_str().unwrap().to_owned();
    browser.go("/").await;
    browser.says("The lane to crm makes no calls").await;
    browser.go("/#/alarms/probe/A1").await;
    browser.says("the lane to crm is paused (they move their database)").await;
    browser.go(&format!("/#/requests/{request}")).await;
    browser.press("Cancel…").await;
    browser.confirm("it is planned work", "Cancel the request").await;
    browser.says("cancelled").await;
    browser.go("/#/lanes").await;
    browser.press_in("tr[data-key=crm]", "Resume…").await;
    browser.confirm("they are back", "Resume").await;
    browser.says_no_more("they move their database").await;
    browser.go("/#/audit").await;
    browser.says("they are back").await;
    browser.is_accessible("the audit").await;
    browser.shot("audit").await;
    browser.close(QUIET).await;
    world.stop().await;
}

#[actix::test]
async fn a_ticket_is_held_and_released() {
    let world = World::start().await;
    world.ticket("A1").await;
    let alarm = world.get("/api/v1/alarms/probe/A1").await;
    let browser = Browser::open(world.base()).await;
    browser.go(&format!("/#/tickets/{}", alarm["ticket"].as_str().unwrap())).await;
    browser.press("Hold…").await;
    browser.confirm("their people work on it", "Hold").await;
    browser.says("Held by operator: their people work on it").await;
    browser.is_accessible("a ticket").await;
    browser.shot("ticket").await;
    browser.go("/#/lanes").await;
    browser.says("Tickets held by a person").await;
    browser.shot("lanes-held").await;
    browser.press("Release…").await;
    browser.confirm("they are done", "Release").await;
    browser.says_no_more("Tickets held by a person").await;
    browser.close(QUIET).await;
    world.stop().await;
}

#[actix::test]
async fn a_backend_is_checked_and_given_a_new_token() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/backends").await;
    browser.press_in("tr[data-key=crm]", "Check").await;
    browser.says("Check of crm").await;
    browser.press_in("tr[data-key=oceane]", "Authenticate…").await;
    browser.confirm("they have changed something", "Authenticate").await;
    browser.says("signed in").await;
    browser.is_accessible("the backends").await;
    browser.shot("backends").await;
    let told = world.get("/api/v1/backends").await;
    assert_ne!(told["items"][1]["auth"]["expires_at"], json!(null));
    browser.close(QUIET).await;
    world.stop().await;
}
