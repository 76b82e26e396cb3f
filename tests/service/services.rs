//! A backend's ticketing services, over HTTP and by hand, with two simulated systems; the communication
//! log of what was said to them.

use crate::alarms::raised;
use crate::command_line::Shell;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use std::net::SocketAddr;
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::rest::{Running, start};
use ticketgate::simulate::settings::RestSettings;

const HEAD: &str = "name,host,port,path,tls,user,timeout,selected\n";

fn row(name: &str, at: SocketAddr, selected: bool) -> String {
    format!("{name},{},{},/crm,false,,5s,{selected}\n", at.ip(), at.port())
}

async fn import(world: &World, file: impl Into<String>) -> (u16, Value) {
    world.post("/api/v1/services/import?backend=crm&reason=moved", file).await
}

async fn raise(world: &World, id: &str) {
    let (status, answer) = world.post("/api/v1/alarms", raised("probe", id).to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

fn tickets(system: &Running) -> u64 {
    system.ledger.report_of("crm").unwrap().tickets
}

async fn world() -> (World, Running, Running) {
    let backends = vec![("crm", Faults::default(), "timeout = \"5s\"\nbackoff = \"100ms\"")];
    let config = "[policy]\ndefault_backend = \"crm\"\n".to_owned();
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    // Two ways to one system never give two tickets one id (rule T4).
    let system =
        |first_number| start(RestSettings { first_number, ..RestSettings::default() }).unwrap();
    (world, system(100), system(200))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_to_the_service_that_was_selected_and_looks_to_that_of_their_request() {
    let (mut world, one, two) = world().await;
    raise(&world, "own").await;
    world.settled(1).await;
    assert_eq!(world.ledger().report().tickets, 1, "without a table: the backend's own address");

    let file = format!("{HEAD}{}{}", row("one", one.address, true), row("two", two.address, false));
    let (status, told) = import(&world, file.clone()).await;
    assert_eq!((status, &told["services"], &told["selected"]), (200, &json!(2), &json!("one")));
    raise(&world, "A1").await;
    world.settled(2).await;
    assert_eq!((tickets(&one), tickets(&two)), (1, 0));

    // A create in doubt belongs to the service that it was accepted for, whatever is selected since, and
    // over a restart.
    let lost = Faults { lost_answer_rate: 1.0, at_most: Some(1), ..Faults::default() };
    one.ledger.set_faults("crm", lost).unwrap();
    raise(&world, "A2").await;
    world
        .until("the create is in doubt", async || {
            let rows = world.look("/api/v1/requests?state=in_doubt").await;
            (rows["items"][0]["service"] == "one").then_some(())
        })
        .await;
    let body = json!({"name": "two", "reason": "one loses answers"}).to_string();
    assert_eq!(world.post("/api/v1/services/crm/select", body).await.0, 200);
    let gone = format!("{HEAD}{}", row("two", two.address, true));
    let (status, problem) = import(&world, gone.clone()).await;
    assert_eq!(status, 409, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("\"one\"") && detail.contains("1 request"), "{detail}");
    raise(&world, "A3").await;
    world.until("two has it", async || (tickets(&two) == 1).then_some(())).await;
    world.kill9();
    world.start().await;
    world.settled(4).await;
    assert_eq!((tickets(&one), tickets(&two)), (2, 1));
    let adopted = world.look("/api/v1/requests?state=adopted").await;
    assert_eq!(adopted["items"][0]["service"], "one", "{adopted}");
    let looks = world.look("/api/v1/communication?backend=crm").await;
    let looks = looks["items"].as_array().unwrap().iter().filter(|row| row["what"] == "look");
    let looks: Vec<_> = looks.collect();
    assert!(!looks.is_empty() && looks.iter().all(|row| row["service"] == "one"), "{looks:?}");
    assert_eq!(two.ledger.report_of("crm").unwrap().calls.search, 0, "nobody looked there");

    // Selecting is durable; what ended holds no service.
    let listed = world.look("/api/v1/services?backend=crm").await;
    assert_eq!(listed["items"][1]["selected"], true, "{listed}");
    assert_eq!(import(&world, gone).await.0, 200);
    assert_eq!(import(&world, HEAD).await.0, 200);
    assert_eq!(world.look("/api/v1/services").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_the_same_at_both_ends_and_what_is_wrong_in_it_is_told() {
    let (world, one, two) = world().await;
    let shell = Shell(&world);
    let file =
        format!("{HEAD}{}{}", row("one", one.address, true), row("'=two", two.address, false));
    let (name, copy) = (world.file("services.csv"), world.file("copy.csv"));
    std::fs::write(&name, &file).unwrap();
    let (name, copy) = (name.to_str().unwrap(), copy.to_str().unwrap());
    let said = shell.says(&["service", "import", "crm", name, "--reason", "first"]);
    assert_eq!(said, "2 services, selected: one\n");
    shell.says(&["service", "export", "crm", copy]);
    assert_eq!(std::fs::read_to_string(copy).unwrap(), file);
    assert_eq!(shell.says(&["service", "export", "crm"]), file);
    let said = shell.says(&["service", "select", "crm", "=two", "--reason", "try"]);
    assert_eq!(said, "selected: =two\n");
    let table = shell.says(&["service", "list", "--backend", "crm"]);
    assert!(table.contains("=two") && table.contains("5s"), "{table}");
    let unknown = shell.complains(&["service", "select", "crm", "three", "--reason", "x"]);
    assert!(unknown.contains("there are: one, =two"), "{unknown}");
    for (file, field) in [
        (format!("{HEAD}a,h,0,,false,,,true\n"), "line 2, port"),
        (format!("{HEAD}a,h,80,,false,me,,true\n"), "line 2, user"),
        (format!("{HEAD}a,h,80,,false,,1h,true\n"), "line 2, timeout"),
        ("name\n".to_owned(), "line 1"),
    ] {
        let (status, problem) = import(&world, file).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{problem}");
    }
    let without = world.post("/api/v1/services/import?backend=crm", file.clone()).await;
    assert_eq!((without.0, &without.1["field"]), (400, &json!("reason")));
    let (status, _) = world.post("/api/v1/services/import?backend=x&reason=y", file).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_calls_are_written_down_in_words_and_without_what_was_said() {
    let (world, ..) = world().await;
    let busy = Faults { busy_rate: 1.0, at_most: Some(1), ..Faults::default() };
    world.ledger().set_faults("crm", busy).unwrap();
    raise(&world, "A1").await;
    world.settled(1).await;
    let rows = world.look("/api/v1/communication?backend=crm").await;
    let rows = rows["items"].as_array().unwrap().clone();
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (row["what"].as_str().unwrap(), row["attempt"].as_u64(), row["http_status"].as_u64())
        })
        .collect();
    assert_eq!(told, [("create", Some(2), Some(201)), ("create", Some(1), Some(503))]);
    assert_eq!(rows[0]["verdict"], "done");
    assert!(rows[1]["verdict"].as_str().unwrap().starts_with("busy: "), "{rows:?}");
    assert!(rows[0]["request"].is_string() && rows[0]["ticket"].is_string(), "{rows:?}");
    assert!(!json!(rows).to_string().contains("site"), "no field of a ticket is in it: {rows:?}");
    let table = Shell(&world).says(&["communication", "list", "--backend", "crm", "--limit", "1"]);
    // Word by word: an id may well have the figures 503 in it.
    let words: Vec<_> = table.split_whitespace().collect();
    assert!(words.contains(&"create") && words.contains(&"201"), "{table}");
    assert!(!words.contains(&"503"), "{table}");
    assert_eq!(world.get("/api/v1/communication?limit=501").await.0, 400);
    assert_eq!(world.get("/api/v1/communication?backend=x").await.0, 400);
    let open = world.look("/api/v1/requests?open=true").await;
    assert_eq!(open["items"], json!([]));
    assert_eq!(world.look("/api/v1/requests?open=false").await["items"][0]["state"], "done");
}
