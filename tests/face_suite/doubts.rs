//! What a person says of a ticket is held against what its backend shows: settling a doubt, linking an alarm.

use crate::world::{User, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::rest::{Running, start};
use ticketgate::simulate::settings::RestSettings;

/// A service whose alarms go to `noc`, which cannot find out what became of a create.
async fn world() -> (World, Running) {
    world_with("capability = \"none\"\nbackoff = \"50ms\"\nbreaker_after = 1000\n").await
}

/// A service whose alarms go to `noc`, with these keys of its own.
async fn world_with(keys: &str) -> (World, Running) {
    ticketgate::backends::install_tls();
    let systems = start(RestSettings::default()).unwrap();
    let more = format!(
        "[[policy.rule]]\nname = \"all\"\nsource = \"probe\"\nbackend = \"noc\"\n\
         [[backend]]\nid = \"noc\"\npreset = \"simulated-rest\"\nbase_url = \"{}\"\n\
         timeout = \"300ms\"\n{keys}",
        systems.url("noc")
    );
    (World::with(&more).await, systems)
}

fn lost(reads_too: bool) -> Faults {
    let at_most = (!reads_too).then_some(1);
    Faults { lost_answer_rate: 1.0, at_most, reads_too, ..Faults::default() }
}

async fn post(user: &User, path: &str, body: Value) -> (u16, Value) {
    let sent = user.send("POST", path).json(&body).send().await.unwrap();
    (sent.status().as_u16(), sent.json().await.unwrap_or_default())
}

async fn undecided(world: &World) -> (String, Value) {
    let path = "/api/v1/requests?state=undecided";
    let list = world.until(path, |it| it["items"][0].is_object()).await;
    let request = list["items"][0].clone();
    (format!("/api/v1/requests/{}/settle", request["id"].as_str().unwrap()), request)
}

fn detail(told: &Value) -> &str {
    told["detail"].as_str().unwrap_or_default()
}

/// A ticket that somebody else makes at the backend.
async fn made_there(systems: &Running, key: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({ "summary": "by hand", "correlation_key": key });
    let sent = client.post(format!("{}/tickets", systems.url("noc"))).json(&body).send().await;
    let made: Value = sent.unwrap().json().await.unwrap();
    made["id"].as_str().unwrap().to_owned()
}

async fn event(world: &World, id: &str, state: &str) {
    let event = json!({
        "id": id, "source": "probe", "state": state, "severity": "major",
        "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1",
    });
    assert_eq!(post(world, "/api/v1/alarms", event).await.0, 202);
}

async fn ticket_of(world: &World, id: &str) -> Value {
    let path = format!("/api/v1/alarms/probe/{id}/explain");
    let told = world.until(&path, |it| !it["occurrences"][0]["ticket"]["backend_id"].is_null());
    told.await["occurrences"][0]["ticket"].clone()
}

#[actix::test]
async fn a_ticket_that_is_not_there_settles_nothing_unless_a_person_insists() {
    let (world, systems) = world().await;
    event(&world, "other", "raised").await;
    let other = ticket_of(&world, "other").await;
    systems.ledger.set_faults("noc", lost(false)).unwrap();
    event(&world, "lost", "raised").await;
    let (settle, request) = undecided(&world).await;

    // Nobody can decide about the alarm before, and is told how that ends.
    let link = json!({ "backend": "noc", "backend_id": "NOC-1", "reason": "seen" });
    let (status, told) = post(&world, "/api/v1/alarms/probe/lost/link", link).await;
    let id = request["id"].as_str().unwrap();
    assert_eq!(status, 409);
    assert!(detail(&told).contains(&format!("ticketgate request settle {id}")), "{told}");

    let found = |id: &str| json!({ "says": "found", "backend_id": id, "reason": "seen" });
    let (status, told) = post(&world, &settle, found("NOPE-9")).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).starts_with("noc has no ticket NOPE-9"), "{told}");
    let (status, told) = post(&world, &settle, found(other["backend_id"].as_str().unwrap())).await;
    assert_eq!(status, 409, "{told}");
    assert!(detail(&told).contains("of alarm probe/other"), "{told}");
    let foreign = made_there(&systems, "somebody-elses").await;
    let (status, told) = post(&world, &settle, found(&foreign)).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).contains("carries the key somebody-elses"), "{told}");
    let (status, told) = post(&world, &settle, json!({ "says": "done", "reason": "seen" })).await;
    assert_eq!((status, &told["field"]), (400, &json!("says")), "{told}");
    // It is there, so it is not sent again.
    let absent = json!({ "says": "absent", "reason": "I did not look well" });
    let (status, told) = post(&world, &settle, absent).await;
    assert_eq!(status, 409, "{told}");
    assert!(detail(&told).contains("there would be two"), "{told}");
    // While it is away nothing is taken on trust.
    systems.ledger.set_faults("noc", Faults { down: true, ..Faults::default() }).unwrap();
    let (status, told) = post(&world, &settle, found("NOPE-9")).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).contains("could not be asked"), "{told}");
    let row = world.get(&format!("/api/v1/requests/{id}")).await;
    assert_eq!(row["state"], "undecided", "all the while");
    let mut insists = found("NOPE-9");
    insists["force"] = json!(true);
    let (status, told) = post(&world, &settle, insists).await;
    assert_eq!((status, &told["state"]), (200, &json!("adopted")), "{told}");
    let audit = world.get("/api/v1/audit").await;
    let what = audit["items"][0]["what"].as_str().unwrap();
    assert!(what.contains("it is there as NOPE-9, not verified: noc could not be asked"), "{what}");
}

#[actix::test]
async fn the_ticket_that_a_lost_create_made_is_taken_as_its_backend_shows_it() {
    let (world, systems) = world().await;
    systems.ledger.set_faults("noc", lost(false)).unwrap();
    event(&world, "lost", "raised").await;
    let (settle, _) = undecided(&world).await;
    let made = systems.ledger.report_with_tickets("noc").unwrap().ticket_list.unwrap();
    let found = json!({ "says": "found", "backend_id": made[0].id, "reason": "seen" });
    let (status, told) = post(&world, &settle, found).await;
    assert_eq!((status, &told["state"]), (200, &json!("adopted")), "{told}");
    let steps = told["steps"].to_string();
    assert!(steps.contains(&format!("settled by operator: it is there as {}", made[0].id)));
    let ticket = ticket_of(&world, "lost").await;
    assert!(ticket["url"].is_string(), "as it was shown: {ticket}");
}

/// The ticket of an alarm, made by a backend that does nothing any more.
async fn made_and_then_gone(world: &World, systems: &Running) -> Value {
    event(world, "a", "raised").await;
    let ticket = ticket_of(world, "a").await;
    let gone = Faults { error_before_rate: 1.0, reads_too: true, ..Faults::default() };
    systems.ledger.set_faults("noc", gone).unwrap();
    ticket
}

#[actix::test]
async fn a_close_is_settled_as_done_only_if_it_was_and_its_ticket_stays_its_own() {
    let (world, systems) = world().await;
    let ticket = made_and_then_gone(&world, &systems).await;
    let theirs = ticket["backend_id"].as_str().unwrap();
    event(&world, "a", "cleared").await;
    let (settle, _) = undecided(&world).await;
    systems.ledger.set_faults("noc", Faults::default()).unwrap();
    let another = made_there(&systems, "REF 4711").await;
    let found = json!({ "says": "found", "backend_id": another, "reason": "seen", "force": true });
    let (status, told) = post(&world, &settle, found).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &Value::Null), "not even by force: {told}");
    assert!(detail(&told).contains(&format!("this close is about {theirs}")), "{told}");
    let done = json!({ "says": "done", "reason": "seen" });
    let (status, told) = post(&world, &settle, done.clone()).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).contains("it shows another status"), "{told}");

    // A person closes it there.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/tickets/{theirs}", systems.url("noc"));
    client.patch(url).json(&json!({ "status": "closed" })).send().await.unwrap();
    let (status, told) = post(&world, &settle, done).await;
    assert_eq!((status, &told["state"]), (200, &json!("done")), "{told}");
    let now = world.get(&format!("/api/v1/tickets/{}", ticket["key"].as_str().unwrap())).await;
    assert_eq!((&now["backend_id"], &now["status"]), (&json!(theirs), &json!("closed")));
}

/// What is there as before says nothing of the update; only what it changes does.
#[actix::test]
async fn an_update_is_settled_as_done_only_if_what_it_changes_is_there() {
    let (world, systems) = world().await;
    let ticket = made_and_then_gone(&world, &systems).await;
    let theirs = ticket["backend_id"].as_str().unwrap();
    let worse = json!({
        "id": "a", "source": "probe", "state": "updated", "severity": "critical",
        "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1",
    });
    assert_eq!(post(&world, "/api/v1/alarms", worse).await.0, 202);
    let (settle, request) = undecided(&world).await;
    assert_eq!(request["op"], "update", "{request}");
    systems.ledger.set_faults("noc", Faults::default()).unwrap();
    let done = json!({ "says": "done", "reason": "seen" });
    let (status, told) = post(&world, &settle, done.clone()).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).contains(&format!("the update of {theirs} was not done")), "{told}");

    // A person changes it there.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/tickets/{theirs}", systems.url("noc"));
    client.patch(url).json(&request["fields"]).send().await.unwrap();
    let (status, told) = post(&world, &settle, done).await;
    assert_eq!((status, &told["state"]), (200, &json!("done")), "{told}");
}

#[actix::test]
async fn an_alarm_is_linked_to_what_is_there_and_tells_of_the_ticket_that_it_left() {
    let (world, systems) = world().await;
    event(&world, "a", "raised").await;
    let first = ticket_of(&world, "a").await;
    let path = "/api/v1/alarms/probe/a/link";
    let to = |id: &str| json!({ "backend": "noc", "backend_id": id, "reason": "the same fault" });
    let (status, told) = post(&world, path, to("NOC-77")).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).starts_with("noc has no ticket NOC-77"), "{told}");
    assert_eq!(ticket_of(&world, "a").await["key"], first["key"], "it stays as it was");

    let mut insists = to("NOC-77");
    insists["force"] = json!(true);
    let (status, told) = post(&world, path, insists).await;
    assert_eq!(status, 200, "{told}");
    let was =
        format!("was {} at noc, left there acknowledged", first["backend_id"].as_str().unwrap());
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains(&was) && reason.contains("not verified"), "{reason}");
    let told = world.get("/api/v1/alarms/probe/a/explain").await;
    assert_eq!(told["occurrences"][0]["earlier"][0]["key"], first["key"], "{told}");
    assert!(told["verdict"].as_str().unwrap().contains(&was), "{told}");
    let steps = told["occurrences"][0]["steps"].to_string();
    assert!(steps.contains("done by the backend as"), "the first one's story is told: {steps}");

    // What was only linked is free again.
    let there = made_there(&systems, "REF 4711").await;
    let (status, told) = post(&world, path, to(&there)).await;
    assert_eq!(status, 200, "{told}");
    let found = world.get("/api/v1/tickets?backend_id=NOC-77").await;
    assert_eq!(found["items"], json!([]));
    let key = format!("tg{}", "a".repeat(26));
    let made_for_another = made_there(&systems, &key).await;
    let (status, told) = post(&world, path, to(&made_for_another)).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).contains(&key), "{told}");
}

/// The first command that a verdict names, pasted into a shell as it stands.
async fn type_it(world: &World, verdict: &str) {
    let (_, line) = verdict.split_once("ticketgate ").expect("it names a command");
    let line = line.split(';').next().unwrap();
    let output = tokio::process::Command::new("sh")
        .args(["-c", &format!("{} {line}", env!("CARGO_BIN_EXE_ticketgate"))])
        .env("TICKETGATE_URL", world.url(""))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
}

/// Its looks are not made either, and to wait for them helps nobody.
#[actix::test]
async fn a_doubt_in_a_paused_lane_says_that_nobody_finds_it_out() {
    let (world, systems) = world_with("settle = \"1h\"\n").await;
    systems.ledger.set_faults("noc", lost(false)).unwrap();
    event(&world, "a", "raised").await;
    let path = "/api/v1/alarms/probe/a/explain";
    let says = |told: &Value, words: &str| told["verdict"].as_str().unwrap().contains(words);
    let found_out = "it is being found out, from";
    world.until(path, |it| says(it, found_out)).await;
    post(&world, "/api/v1/lanes/noc/pause", json!({ "reason": "they upgrade" })).await;
    let told = world.get(path).await;
    assert!(says(&told, "nobody finds it out meanwhile: the lane to noc is paused"), "{told}");
    type_it(&world, told["verdict"].as_str().unwrap()).await;
    world.until(path, |it| says(it, found_out)).await;
}

#[actix::test]
async fn a_paused_lane_is_not_waited_for() {
    let (world, _systems) = world().await;
    post(&world, "/api/v1/lanes/noc/pause", json!({ "reason": "they upgrade" })).await;
    // What is said is not that its time in the lane was over.
    let (status, told) = post(&world, "/api/v1/backends/noc/check", json!({})).await;
    assert_eq!((status, &told["works"]), (200, &json!(false)), "{told}");
    let said = told["findings"][0]["said"].as_str().unwrap();
    assert!(said.contains("paused (they upgrade)"), "{said}");
    assert!(said.contains("ticketgate lane resume noc"), "{said}");
    world.raise("elsewhere", "c").await;
    let path = "/api/v1/alarms/elsewhere/c/explain";
    world.until(path, |it| it["occurrences"][0]["ticket"]["backend_id"].is_string()).await;
    let link = json!({ "backend": "noc", "backend_id": "NOC-5", "reason": "the same fault" });
    let (status, told) = post(&world, "/api/v1/alarms/elsewhere/c/link", link).await;
    assert_eq!((status, &told["may_be_forced"]), (409, &json!(true)), "{told}");
    assert!(detail(&told).contains("paused (they upgrade)"), "{told}");
}

/// What a verdict says to type does what it says.
#[actix::test]
async fn a_refused_and_a_dropped_create_say_the_way_on() {
    let (world, systems) = world().await;
    let word = "tx/1".to_owned();
    let refuses = Faults { reject_summary_containing: Some(word), ..Faults::default() };
    systems.ledger.set_faults("noc", refuses).unwrap();
    event(&world, "refused", "raised").await;
    let path = "/api/v1/alarms/probe/refused/explain";
    let says = |told: &Value, words: &str| told["verdict"].as_str().unwrap().contains(words);
    let told = world.until(path, |it| says(it, "create rejected")).await;
    assert!(says(&told, "ticketgate alarm unlink probe refused --reason …"), "{told}");
    systems.ledger.set_faults("noc", Faults::default()).unwrap();
    type_it(&world, told["verdict"].as_str().unwrap()).await;
    world.until(path, |it| says(it, "it has ticket")).await;
    let why = json!({ "reason": "the summary is right now" });

    systems.ledger.set_faults("noc", lost(false)).unwrap();
    event(&world, "dropped", "raised").await;
    let (settle, request) = undecided(&world).await;
    let path = "/api/v1/alarms/probe/dropped/explain";
    let told = world.get(path).await;
    let id = request["id"].as_str().unwrap();
    let typed = format!(
        "ticketgate request settle {id} --reason …, with --found NUMBER, --absent or --drop"
    );
    assert!(says(&told, &typed), "{told}");
    let drop = json!({ "says": "drop", "reason": "nobody needs it" });
    assert_eq!(post(&world, &settle, drop).await.0, 200);
    let told = world.get(path).await;
    assert!(says(&told, "a person dropped it"), "{told}");
    let list = world.get("/api/v1/alarms?source=probe").await;
    let row = &list["items"][0];
    assert_eq!((&row["id"], &row["ticket_status"]), (&json!("dropped"), &json!("cancelled")));
    let (status, _) = post(&world, "/api/v1/alarms/probe/dropped/unlink", why).await;
    assert_eq!(status, 200);
    world.until(path, |it| says(it, "it has ticket")).await;
}

#[actix::test]
async fn a_verdict_says_when_the_next_call_comes() {
    let more = "[[policy.rule]]\nname = \"all\"\nsource = \"probe\"\nbackend = \"away\"\n\
                [[backend]]\nid = \"away\"\npreset = \"simulated-rest\"\n\
                base_url = \"http://127.0.0.1:1/away\"\nbackoff = \"100ms\"\nbreaker_after = 3\n";
    let world = World::with(more).await;
    event(&world, "a", "raised").await;
    let path = "/api/v1/alarms/probe/a/explain";
    let says = |told: &Value, words: &str| told["verdict"].as_str().unwrap().contains(words);
    let told = world.until(path, |it| says(it, "makes only probes since")).await;
    assert!(says(&told, "the next at 2"), "{told}");
    assert!(says(&told, "`ticketgate lane resume away --reason …` tries at once"), "{told}");
}
