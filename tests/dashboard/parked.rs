//! A parked message is looked at, mended and replayed; another one is thrown away.

use crate::browser::Browser;
use crate::world::World;

#[actix::test]
async fn a_parked_message_is_mended_and_replayed_and_another_one_discarded() {
    let world = World::start().await;
    let body = "{\"id\": \"P1\", \"source\": \"probe\", \"state\": \"raised\", \"severity\": \"major\", \
                \"object\": \"mux/1\"}";
    let first = world.park(body).await;
    let browser = Browser::open(world.base()).await;
    browser.go(&format!("/#/parked/{first}")).await;
    browser.says("raised_at").await;
    // As it is, it is refused, with the reason, and stays.
    browser.press("Replay…").await;
    browser.write("Reason", "let us see").await;
    browser.press("Replay").await;
    browser.until("it says why", "document.querySelector('dialog .trouble:not([hidden])')").await;
    browser.press("Cancel").await;
    browser.press("Mend…").await;
    let mended =
        body.replace("\"severity\"", "\"raised_at\": \"2026-11-21T10:00:00Z\", \"severity\"");
    browser.write("Body", &mended).await;
    browser.shot("mend").await;
    browser.confirm("the time was missing", "Keep the mended body").await;
    browser.press("Replay…").await;
    browser.confirm("it is right now", "Replay").await;
    browser.says("Nothing is parked").await;
    let path = "/api/v1/alarms/probe/P1/explain";
    world.until(path, |it| it["occurrences"][0]["ticket"]["backend_id"].is_string()).await;

    let second = world.park("no JSON at all <b>").await;
    browser.go(&format!("/#/parked/{second}")).await;
    browser.says("no JSON at all <b>").await;
    browser.press("Discard…").await;
    browser.confirm("nobody knows what it is", "Discard").await;
    browser.says("Nothing is parked").await;
    browser.close(&["/api/v1/sync", "/replay", "/api/v1/parked/"]).await;
    world.stop().await;
}
