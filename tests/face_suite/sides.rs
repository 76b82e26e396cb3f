//! Sides of a sync with a say of their own: a field that another side masters, an owner who becomes a
//! contact.

use crate::sync::{backend, message, order, system, there};
use crate::world::World;
use serde_json::{Value, json};
use ticketgate::simulate::settings::System;

/// The element is master of a field: what people write into it at the Redmine is put back, and the
/// element never hears of it.
#[actix::test]
async fn a_field_that_one_side_masters_is_put_back_where_another_changes_it() {
    let redmine = system(System::Redmine);
    let config = format!(
        "[[sync]]\nname = 'desk'\nbackend = 'redmine'\nevery = '1s'\nthree_way = true\n\
         [[sync.field]]\nname = 'summary'\n[[sync.field]]\nname = 'description'\n\
         [[sync]]\nname = 'element'\nbackend = 'redmine'\nfrom = 'connector'\n\
         [[sync.field]]\nname = 'summary'\nmaster = 'theirs'\n\
         [[sync.field]]\nname = 'description'\n{}",
        backend(
            "redmine",
            &redmine,
            "auth = { type = 'header', name = 'X-Redmine-API-Key', value = 'right' }"
        )
    );
    let world = World::with(&config).await;
    let create = json!({"command": "create", "id": uuid::Uuid::new_v4(), "backend": "redmine",
                        "kind": "incident", "fields": {"summary": "one", "description": "d"}});
    let (status, made) = order(&world, "/api/v1/commands?wait=20s", create).await;
    assert_eq!(status, 200, "{made}");
    let id = made["result"]["backend_id"].as_str().unwrap().to_owned();
    let issue = format!("/issues/{id}.json");
    let path = "/api/v1/sync/element/messages";
    let now = || world.service.cast.outside.clock.now().wall.to_string();
    let told = json!([{"changed_at": now(), "ticket": {"backend_id": id,
                       "fields": {"summary": "the element's", "description": "d"}}}]);
    let told = message("m1", told, json!({"polled_at": now()}));
    let (_, answer) = order(&world, path, told).await;
    assert_eq!(answer["events"][0]["event"], "merged", "{answer}");
    world.until("/api/v1/sync/element", |sync| sync["counters"]["written"] == 1).await;
    assert_eq!(
        there(&redmine, "GET", &issue, Value::Null).await["issue"]["subject"],
        "the element's"
    );

    // Both have agreed before somebody changes something.
    let key = made["key"].as_str().unwrap();
    let history = format!("/api/v1/tickets/{key}/changes");
    let verified = |changes: &Value| {
        let twins = changes["sync"].as_array().unwrap();
        twins.iter().any(|twin| twin["sync"] == "desk" && twin["verified_at"].is_string())
    };
    world.until(&history, verified).await;
    let edit = json!({"issue": {"subject": "a person's", "description": "a person's"}});
    there(&redmine, "PUT", &issue, edit).await;
    world.until("/api/v1/sync/desk", |sync| sync["counters"]["written"] == 1).await;
    let shown = there(&redmine, "GET", &issue, Value::Null).await;
    assert_eq!(shown["issue"]["subject"], "the element's", "its master's value is back: {shown}");
    assert_eq!(shown["issue"]["description"], "a person's", "nobody masters that: {shown}");
    let ticket = world.get(&format!("/api/v1/tickets/{key}")).await;
    assert_eq!(ticket["fields"]["summary"], "the element's", "{ticket}");
    assert_eq!(ticket["fields"]["description"], "a person's", "{ticket}");
    let (_, answer) = order(&world, path, message("m2", json!([]), json!({}))).await;
    for event in answer["events"].as_array().unwrap() {
        assert_eq!(event["ticket"]["fields"]["summary"], "the element's", "{event}");
    }
    // It settles: no write after the one that put it back.
    world.until(&history, verified).await;
    assert_eq!(world.get("/api/v1/sync/desk").await["counters"]["written"], 1);
    world.service.stop().await;
}

/// With contact creation on nothing more is to be configured: the owner's address makes a contact, to
/// which the ticket is assigned; without it the address is not even kept.
#[actix::test]
async fn an_owner_becomes_a_contact_where_that_is_switched_on() {
    for contacts in [true, false] {
        let (tixngo, s360) = (system(System::Tixngo), system(System::S360));
        let auth = "auth = { type = 'bearer', token = 'right' }";
        let config = format!(
            "[[sync]]\nname = 'feedback'\nbackend = 'tixngo'\ntarget = 's360'\nlaunch = 'manual'\n\
             contacts = {contacts}\n[[sync.field]]\nname = 'owner'\nmaster = 'theirs'\n{}{}",
            backend("tixngo", &tixngo, auth),
            backend("s360", &s360, auth)
        );
        let world = World::with(&config).await;
        let put = json!({"owner": "anna", "ownerEmail": "anna@example.org"});
        let made = there(&tixngo, "POST", "/tickets", put).await;
        there(&s360, "POST", "/tickets", json!({})).await;
        let id = made["id"].as_str().unwrap();
        let (status, ran) =
            order(&world, "/api/v1/sync/feedback/run", json!({"reason": "now"})).await;
        assert_eq!(status, 200, "{ran}");
        let done = |sync: &Value| sync["counters"]["written"] == 1;
        let sync = world.until("/api/v1/sync/feedback", done).await;
        let shown = there(&s360, "GET", &format!("/tickets/{id}"), Value::Null).await;
        assert_eq!(shown["owner"], "anna", "{shown}");
        let contact = if contacts { json!("C-anna@example.org") } else { Value::Null };
        assert_eq!(shown["contactId"], contact, "{shown}");
        assert_eq!(sync["counters"]["contacts"], u64::from(contacts), "{sync}");
        let tickets = world.get("/api/v1/tickets").await.to_string();
        assert_eq!(tickets.contains("anna@example.org"), contacts, "{tickets}");
        world.service.stop().await;
    }
}
