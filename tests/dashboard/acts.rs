//! What a person does on the pages: each act asks for a reason, does what it says, and is seen.

use crate::browser::Browser;
use crate::world::World;
use serde_json::{Value, json};

const QUIET: &[&str] = &["/api/v1/sync"];

#[actix::test]
async fn an_alarm_is_unlinked_linked_and_gets_no_ticket() {
    let world = World::start().await;
    let number = world.ticket("A1").await;
    world.alarm("quiet", "Q1", "raised").await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/alarms/probe/A1").await;
    browser.says("It has ticket CRM-1").await;
    browser.press("Unlink…").await;
    browser.shot("unlink").await;
    browser.confirm("wrong ticket", "Unlink").await;
    // As the dialog says: policy decides anew at once.
    browser.says("It has ticket CRM-2").await;

    browser.press("Link…").await;
    browser.write("Ticket number there", &number).await;
    browser.is_accessible("a dialog").await;
    browser.confirm("it was right after all", "Link").await;
    browser.says("It has ticket CRM-1").await;

    browser.go("/#/alarms/quiet/Q1").await;
    browser.says("planned work").await;
    browser.press("No ticket…").await;
    browser.confirm("we know of it", "No ticket").await;
    let path = "/api/v1/alarms/quiet/Q1";
    world.until(path, |alarm| alarm["no_ticket"] == json!(true)).await;
    browser.close(QUIET).await;
    world.stop().await;
}

#[actix::test]
async fn a_doubt_is_settled_in_each_of_the_three_ways() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    let state = |world: &World, id: &str| {
        let path = format!("/api/v1/requests/{id}");
        let world = world.base().to_owned();
        async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let got = client.get(format!("{world}{path}")).send().await.unwrap();
            got.json::<Value>().await.unwrap()["state"].clone()
        }
    };

    let first = world.doubt("R1").await;
    browser.go("/#/undecided").await;
    browser.press("Enter its number…").await;
    // A number that is mistyped settles nothing, and nobody insists on it by mistake.
    browser.write("Its number at oceane", "OCE-77").await;
    browser.write("Reason", "I see it there").await;
    browser.press("This is the ticket").await;
    browser.until("it says why", "document.querySelector('dialog .trouble:not([hidden])')").await;
    let said = browser.run("return document.querySelector('dialog .trouble').innerText;").await;
    assert!(said.as_str().unwrap().contains("oceane has no ticket OCE-77"), "{said}");
    browser.is_accessible("a dialog that may be insisted on").await;
    browser.shot("settle-found").await;
    assert_eq!(state(&world, &first).await, "undecided");
    let made = world.oceane.ledger.report_with_tickets("one").unwrap().ticket_list.unwrap();
    browser.write("Its number at oceane", &made[0].id).await;
    browser.press("This is the ticket").await;
    browser.says("Nothing is undecided").await;
    assert_eq!(state(&world, &first).await, "adopted");
    let number = world.get(&format!("/api/v1/tickets?backend_id={}", made[0].id)).await;
    assert_eq!(number["items"].as_array().unwrap().len(), 1, "it is the ticket that was made");

    let second = world.doubt("R2").await;
    browser.says("Was this create done at oceane?").await;
    browser.press("Send it again…").await;
    browser.write("Reason", "it is not there").await;
    browser.press("Send it again").await;
    // Who has not looked is not let through.
    browser
        .until(
            "it waits for the look",
            "!document.querySelector('dialog [type=checkbox]').validity.valid",
        )
        .await;
    browser.run("document.querySelector('dialog [type=checkbox]').click();").await;
    browser.shot("settle-absent").await;
    browser.press("Send it again").await;
    browser.says("Nothing is undecided").await;
    let path = format!("/api/v1/requests/{second}");
    world.until(&path, |it| it["state"] == "done").await;

    let third = world.doubt("R3").await;
    browser.says("Was this create done at oceane?").await;
    browser.press("Drop it…").await;
    browser.confirm("nobody needs it", "Drop it").await;
    browser.says("Nothing is undecided").await;
    assert_eq!(state(&world, &third).await, "cancelled");
    // The list says so in people's words.
    browser.go("/#/alarms?source=radio").await;
    browser.says("no ticket (dropped)").await;
    browser.says(&made[0].id).await;
    browser.close(&[QUIET, &["/settle"]].concat()).await;
    world.stop().await;
}

#[actix::test]
async fn a_stuck_client_is_freed_and_a_dialog_that_fails_keeps_what_was_typed() {
    let world = World::start().await;
    let guid = "0196c3c0-0000-7000-8000-000000000001";
    let lock = json!({ "guid": guid, "timeout_ms": 600_000, "holder": "a script that died" });
    world.post("/api/v1/locks", lock).await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/clients").await;
    browser.says("1 of 4 locked").await;
    browser.says("a script that died").await;
    browser.press("Force unlock…").await;
    // Without a reason nothing happens.
    browser.press("Force unlock").await;
    browser.until("it stays", "document.querySelector('dialog[open]')").await;
    assert_eq!(world.get("/api/v1/locks").await["items"].as_array().unwrap().len(), 1);
    browser.shot("force-unlock").await;
    browser.confirm("its script is dead", "Force unlock").await;
    browser.says("0 of 4 locked").await;

    browser.go("/#/routes").await;
    browser.press("Add…").await;
    browser.write("Key", &"k".repeat(250)).await;
    browser.write("Exchange", "\u{e9}".repeat(200).as_str()).await;
    browser.write("Reason", "a name that is too long for AMQP").await;
    browser.press("Add").await;
    browser.until("it says why", "document.querySelector('dialog .trouble:not([hidden])')").await;
    let kept = browser.run("return document.querySelector('dialog textarea').value;").await;
    assert_eq!(kept, "a name that is too long for AMQP");
    browser.close(&[QUIET, &["/api/v1/routes"]].concat()).await;
    world.stop().await;
}

#[actix::test]
async fn external_configurations_are_added_changed_and_removed() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/routes").await;
    browser.press("Add…").await;
    browser.write("Backend", "crm").await;
    browser.write("Exchange", "answers").await;
    browser.write("Key", "crm-1").await;
    browser.confirm("they listen there", "Add").await;
    browser.says("crm-1").await;
    browser.press("Edit…").await;
    browser.write("Key", "crm-2").await;
    browser.confirm("they have moved", "Change").await;
    browser.says("crm-2").await;
    browser.shot("routes-filled").await;
    browser.press("Remove…").await;
    browser.confirm("nobody listens", "Remove").await;
    browser.says("No backend has a route").await;
    browser.close(QUIET).await;
    world.stop().await;
}

#[actix::test]
async fn services_are_imported_selected_and_exported() {
    let world = World::start().await;
    let file = world.config().with_file_name("services.csv");
    let rows = "name,host,port,path,tls,user,timeout,selected\n\
                one,127.0.0.1,8650,/crm,false,,,true\ntwo,127.0.0.1,8651,/crm,false,,,false\n";
    std::fs::write(&file, rows).unwrap();
    let browser = Browser::open(world.base()).await;
    browser.go("/#/services").await;
    browser.press("Import CSV…").await;
    browser.write("Backend", "crm").await;
    browser.write("File", file.to_str().unwrap()).await;
    browser.confirm("the new bus", "Import").await;
    browser.says("two").await;
    browser.press("Select…").await;
    browser.confirm("the first is down", "Select").await;
    let path = "/api/v1/services";
    world.until(path, |it| it["items"][1]["selected"] == json!(true)).await;
    browser.shot("services-filled").await;
    browser.press("Export CSV").await;
    browser.close(QUIET).await;
    world.stop().await;
}

#[actix::test]
async fn a_changed_config_is_looked_at_and_applied() {
    let world = World::start().await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/config").await;
    browser.says("policy.default_backend").await;
    let secret = browser.run("return text().includes('right-secret');").await;
    assert_eq!(secret, false, "a secret is shown");
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace("[policy]\n", "[policy]\nclose_delay = \"7m\"\n");
    std::fs::write(world.config(), text).unwrap();
    browser.press("Show the difference").await;
    browser.says("policy.close_delay").await;
    browser.shot("config-difference").await;
    browser.press("Reload…").await;
    browser.confirm("slower closes", "Reload").await;
    let path = "/api/v1/config";
    world.until(path, |it| it["policy"]["close_delay"] == json!("7m")).await;
    browser.close(QUIET).await;
    world.stop().await;
}
