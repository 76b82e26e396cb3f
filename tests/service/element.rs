//! A DataMiner element over RabbitMQ: the binary as the service, and the binary as the element, an
//! independent program with a table of tickets of its own. Edits made in each show up in the other, each
//! field from its master, and settle; also when pages come twice, in the wrong order or again, and
//! whoever is on the way is killed.

use crate::alarms::{message, raised};
use crate::dice::Dice;
use crate::process::{Process, append_to, ticketgate};
use crate::programs::{Publisher, Subscriber};
use crate::rabbit::{Rabbit, free_port};
use crate::scripts::command;
use crate::world::{Setting, World};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use ticketgate::simulate::faults::Faults;

const BACKEND: &str = "dataminer";
/// Of the random edits, unless `TICKETGATE_TEST_SEED` gives another.
const SEED: u64 = 21;
/// Tickets that each side makes, and rounds of edits, in the test with faults.
const TICKETS: usize = 30;
const ROUNDS: usize = 6;
const EDITS: usize = 20;
/// Tickets that an element has first, in the test with ids of its own.
const OWN: usize = 12;

/// `summary` is ours, `owner` is theirs, `note` and `place` are anybody's.
const SYNC: &str = r#"
[policy]
default_backend = "dataminer"
[[sync]]
name = "element"
backend = "dataminer"
element = "7/42"
credit = 8
three_way = true
[sync.states]
Open = "acknowledged"
Working = "inProgress"
Done = "closed"
[[sync.field]]
name = "summary"
master = "ours"
[[sync.field]]
name = "owner"
master = "theirs"
[[sync.field]]
name = "note"
[[sync.field]]
name = "place"
[[sync.field]]
name = "status"
[[backend]]
id = "dataminer"
preset = "dataminer"
"#;

/// The other side.
struct Element {
    url: String,
    http: reqwest::Client,
    _process: Process,
}

impl Element {
    async fn started(world: &World, encoding: &str) -> Self {
        Self::of(world, BACKEND, encoding).await
    }

    async fn of(world: &World, backend: &str, encoding: &str) -> Self {
        let (broker, prefix) = world.broker();
        let listen = format!("127.0.0.1:{}", free_port());
        let exchange = format!("{prefix}.sync");
        let mut command = ticketgate();
        command.args(["simulate", "dataminer", "--listen", &listen, "--amqp-url", broker]);
        command.args(["--exchange", &exchange, "--backend", backend, "--element", "7/42"]);
        command.args(["--every", "200ms", "--complete-every", "5", "--encoding", encoding]);
        let log = append_to(&world.file("programs.log"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = Process::start(&mut command);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let element = Self { url: format!("http://{listen}/{backend}"), http, _process: process };
        let connected = async || {
            let request = element.http.get(format!("{}/ledger", element.url));
            let ledger: Value = request.send().await.ok()?.json().await.ok()?;
            (ledger["connected"] == true && ledger["credit"].is_u64()).then_some(())
        };
        world.until("the element has a line and the gateway's credit", connected).await;
        element
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method.clone(), format!("{}{path}", self.url));
        let answer = request.json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    async fn makes(&self, fields: Value) -> String {
        let made = json!({ "status": "Open", "fields": fields });
        let made = self.ask(Method::POST, "/tickets", made).await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn edits(&self, id: &str, edit: Value) {
        self.ask(Method::PATCH, &format!("/tickets/{id}"), edit).await;
    }

    async fn ledger(&self) -> Value {
        self.ask(Method::GET, "/ledger", Value::Null).await
    }

    /// Its tickets by their ids there.
    async fn tickets(&self) -> BTreeMap<String, Value> {
        let list = self.ask(Method::GET, "/tickets", Value::Null).await;
        by(list["tickets"].as_array().unwrap().clone(), "id")
    }
}

fn by(items: Vec<Value>, name: &str) -> BTreeMap<String, Value> {
    let named = |it: Value| (it[name].as_str().unwrap_or_default().to_owned(), it);
    items.into_iter().map(named).collect()
}

/// The service's tickets by their ids at the element.
async fn ours(world: &World) -> BTreeMap<String, Value> {
    by(world.all("/api/v1/tickets").await, "backend_id")
}

/// Four fields and the state, in the element's words.
fn gist(ticket: &Value, status: &str) -> Value {
    let fields: Map<_, _> = ["summary", "owner", "note", "place"]
        .iter()
        .map(|name| ((*name).to_owned(), ticket["fields"][*name].clone()))
        .collect();
    json!({ "status": ticket[status], "fields": fields })
}

/// Both have the same tickets with the same fields and states, and nothing is on its way.
async fn agree(world: &World, element: &Element, count: usize) {
    let deadline = tokio::time::Instant::now() + crate::world::PATIENCE;
    loop {
        let quiet = element.ledger().await["quiet"] == true
            && world.look("/api/v1/sync/element").await["waiting"] == 0;
        let (here, there) = (ours(world).await, element.tickets().await);
        let here: BTreeMap<_, _> =
            here.iter().map(|(id, it)| (id.clone(), gist(it, "backend_status"))).collect();
        let there: BTreeMap<_, _> =
            there.iter().map(|(id, it)| (id.clone(), gist(it, "status"))).collect();
        if quiet && here == there && here.len() == count {
            return;
        }
        if tokio::time::Instant::now() > deadline {
            let sync = world.look("/api/v1/sync/element").await;
            let ledger = element.ledger().await;
            let differ: Vec<_> = there
                .iter()
                .filter(|(id, it)| here.get(*id) != Some(*it))
                .map(|(id, it)| (id, it, here.get(id)))
                .take(5)
                .collect();
            panic!(
                "they do not agree: {} here, {} there of {count}, such as {differ:#?}\n{sync:#}\n{ledger:#}",
                here.len(),
                there.len()
            );
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn orders(world: &World, name: &str, members: Value) -> Value {
    let order = command(name, members);
    let (status, answer) = world.post("/api/v1/commands?wait=90s", order.to_string()).await;
    assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
    answer
}

async fn world(node: &Rabbit, prefix: &str) -> World {
    let broker = Some((node.url(), prefix.to_owned()));
    let world = World::started(Setting { broker, config: SYNC.to_owned(), ..Setting::default() });
    let world = world.await;
    world.on_the_broker().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataminer_element_and_the_service_keep_each_other_in_step() {
    let world = world(Rabbit::shared().await, "element").await;
    let subscriber = Subscriber::listening(&world, "all", &["#"]).await;
    let element = Element::started(&world, "json").await;

    // Theirs, not ours; ours, not theirs; and one that an alarm makes.
    let theirs = element.makes(json!({"summary": "a", "owner": "ann", "note": "n"})).await;
    let fields = json!({"summary": "of a person", "note": "by us"});
    let create = json!({"backend": BACKEND, "kind": "incident", "fields": fields});
    let made = orders(&world, "create", create).await;
    Publisher::send(&world, vec![message("m1", "json", raised("probe", "1"))]).await;
    agree(&world, &element, 3).await;
    let shown = ours(&world).await;
    let of_alarm = shown.values().find(|it| it["fields"]["alarm_source"] == "probe");
    let of_alarm = of_alarm.unwrap_or_else(|| panic!("{shown:#?}")).clone();
    let of_person = shown.values().find(|it| it["key"] == made["key"]).unwrap().clone();
    let id_of = |it: &Value| it["backend_id"].as_str().unwrap().to_owned();

    // Their edits: a field of theirs and one of nobody's stay, a field of ours is put back.
    let edit = json!({"fields": {"summary": "not theirs", "owner": "bob", "note": "m"}});
    element.edits(&theirs, edit).await;
    element.edits(&id_of(&of_person), json!({"status": "Working"})).await;
    agree(&world, &element, 3).await;
    let now = element.tickets().await;
    let fields = json!({"summary": "a", "owner": "bob", "note": "m", "place": null});
    assert_eq!(gist(&now[&theirs], "status")["fields"], fields);
    assert_eq!(ours(&world).await[&id_of(&of_person)]["status"], "inProgress");

    // Our edits.
    let update = json!({"key": of_person["key"], "fields": {"summary": "other", "place": "Ghent"}});
    orders(&world, "update", update).await;
    agree(&world, &element, 3).await;
    let now = element.tickets().await;
    let fields = json!({"summary": "other", "owner": null, "note": "by us", "place": "Ghent"});
    assert_eq!(gist(&now[&id_of(&of_person)], "status")["fields"], fields);

    // Ends: the alarm clears, a person closes one there, and removes one.
    let mut cleared = raised("probe", "1");
    cleared["state"] = json!("cleared");
    Publisher::send(&world, vec![message("m2", "json", cleared)]).await;
    element.edits(&id_of(&of_person), json!({"status": "Done"})).await;
    element.ask(Method::DELETE, &format!("/tickets/{theirs}"), Value::Null).await;
    let ended = async || {
        let here = ours(&world).await;
        let closed = |it: &Value| it["status"] == "closed";
        (closed(&here[&id_of(&of_alarm)]) && closed(&here[&id_of(&of_person)])).then_some(())
    };
    world.until("both are closed here", ended).await;
    let done = async || {
        let there = element.tickets().await;
        (there.len() == 2 && there.values().all(|it| it["status"] == "Done")).then_some(())
    };
    world.until("both are done there", done).await;

    // Each is told as what it was.
    let heard = async || {
        let heard = subscriber.heard();
        let all = |event: &str, key: &Value| {
            let same = |it: &&crate::programs::Heard| {
                it.body["event"] == event && it.body["ticket"]["backend_id"] == *key
            };
            heard.iter().filter(same).count()
        };
        let told = all("created", &json!(theirs)) == 1 && all("deleted", &json!(theirs)) == 1;
        (told && all("merged", &json!(theirs)) >= 1).then_some(())
    };
    world.until("what became of theirs is told", heard).await;
    let ledger = element.ledger().await;
    assert_eq!(ledger["counts"]["unreadable"], 0, "{ledger:#}");
    let held = world.look("/api/v1/sync/element/held").await;
    assert_eq!(held["items"], json!([]), "{held:#}");
}

/// The last that each side has written in a field of a ticket.
#[derive(Default)]
struct Written {
    ours: BTreeMap<(String, &'static str), String>,
    theirs: BTreeMap<(String, &'static str), String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_agree_though_pages_are_doubled_reordered_and_lost_and_both_are_killed() {
    let given = std::env::var("TICKETGATE_TEST_SEED").ok();
    let seed = given.map_or(SEED, |seed| seed.parse().expect("a seed is a number"));
    eprintln!("seed of the edits: {seed}");
    let mut dice = Dice::new(seed);
    let node = Rabbit::started().await;
    let mut world = world(&node, "element2").await;
    let element = Element::started(&world, "msgpack").await;
    let faults = json!({"doubled_rate": 0.3, "reordered_rate": 0.3, "lost_answer_rate": 0.2});
    element.ask(Method::PUT, "/faults", faults).await;
    for n in 0..TICKETS {
        element.makes(json!({"summary": format!("theirs {n}")})).await;
        let fields = json!({"summary": format!("ours {n}")});
        let create = json!({"backend": BACKEND, "kind": "incident", "fields": fields});
        orders(&world, "create", create).await;
    }
    agree(&world, &element, 2 * TICKETS).await;

    let mut written = Written::default();
    for round in 0..ROUNDS {
        let here = ours(&world).await;
        let ids: Vec<_> = here.keys().cloned().collect();
        for edit in 0..EDITS {
            let id = ids[dice.within(0..ids.len())].clone();
            let value = format!("{round}.{edit}");
            if dice.within(0..2) == 0 {
                let name = ["owner", "note", "place"][dice.within(0..3)];
                element.edits(&id, json!({"fields": {name: value}})).await;
                written.theirs.insert((id, name), value);
            } else {
                let name = ["summary", "note", "place"][dice.within(0..3)];
                let update = json!({"key": here[&id]["key"], "fields": {name: value}});
                orders(&world, "update", update).await;
                written.ours.insert((id, name), value);
            }
        }
        match round % 3 {
            0 => {
                world.kill9();
                world.start().await;
            }
            1 => _ = element.ask(Method::POST, "/restart", Value::Null).await,
            _ => node.close_all_connections().await,
        }
    }
    agree(&world, &element, 2 * TICKETS).await;

    // Nobody's edit is lost, but for one of the other side's in the same field.
    let here = ours(&world).await;
    let names =
        |it: &BTreeMap<(String, &'static str), String>| it.keys().cloned().collect::<Vec<_>>();
    for at in names(&written.ours).into_iter().chain(names(&written.theirs)) {
        let stands = here[&at.0]["fields"][at.1].as_str();
        let (ours, theirs) = (written.ours.get(&at), written.theirs.get(&at));
        let by_somebody =
            stands == ours.map(String::as_str) || stands == theirs.map(String::as_str);
        assert!(
            stands.is_some() && by_somebody,
            "{at:?} is {stands:?}, not {ours:?} or {theirs:?}"
        );
    }
    let counts = element.ledger().await["counts"].clone();
    for (fault, least) in [("doubled", 5), ("reordered", 1), ("lost", 5), ("restarts", 2)] {
        assert!(counts[fault].as_u64() >= Some(least), "{fault}: {counts:#}");
    }
    let requests = world.all("/api/v1/requests").await;
    let ended = |it: &Value| it["state"] == "done";
    assert!(requests.iter().all(ended), "a partner's tickets are never in doubt: {requests:#?}");
}

/// An element whose ids are its own, over a ticketing system that loses answers: what it has first is made
/// there once, in its state, though it is told again and again, and the service is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_element_has_first_is_made_once_at_the_ticketing_system() {
    let node = Rabbit::shared().await;
    let broker = Some((node.url(), "element3".to_owned()));
    let fields = "three_way = true\n[[sync.field]]\nname = 'summary'\n[[sync.field]]\n\
                  name = 'description'\n[[sync.field]]\nname = 'status'\n";
    let config = format!(
        "[[sync]]\nname = 'desk'\nbackend = 'crm'\nevery = '1s'\noverlap = '5s'\n{fields}\
         [[sync]]\nname = 'element'\nbackend = 'crm'\nfrom = 'connector'\nown_ids = true\n{fields}"
    );
    let faults = Faults { lost_answer_rate: 0.3, ..Faults::default() };
    let backends = vec![("crm", faults, "timeout = \"1s\"\nindex_lag = \"100ms\"")];
    let setting = Setting { broker, config, backends, ..Setting::default() };
    let mut world = World::started(setting).await;
    world.on_the_broker().await;
    let element = Element::of(&world, "crm", "json").await;
    let faults = json!({"doubled_rate": 0.3, "lost_answer_rate": 0.3});
    element.ask(Method::PUT, "/faults", faults).await;
    let states = ["acknowledged", "inProgress", "resolved"];
    for n in 0..OWN {
        let fields = json!({"summary": format!("theirs {n}"), "description": "by it"});
        let made = json!({"status": states[n % 3], "fields": fields});
        element.ask(Method::POST, "/tickets", made).await;
        if n == OWN / 2 {
            world.kill9();
            world.start().await;
            element.ask(Method::POST, "/restart", Value::Null).await;
        }
    }
    let there = async || {
        let report = world.ledger().report();
        let tickets = world.all("/api/v1/tickets").await;
        let ended = |it: &Value| it["state"] == "done" || it["state"] == "adopted";
        let all = world.all("/api/v1/requests").await.iter().all(ended);
        let made = tickets.iter().all(|it| it["backend_id"].is_string());
        (report.tickets >= OWN as u64 && made && all).then_some((report, tickets))
    };
    let (report, tickets) = world.until("all are made and nothing is under way", there).await;
    assert_eq!((report.tickets, tickets.len()), (OWN as u64, OWN), "{report:#?}");
    assert!(report.duplicates.is_empty(), "{report:#?}");
    let rows = element.tickets().await;
    assert_eq!(rows.len(), OWN, "nothing came back as another ticket");
    for (n, row) in rows.values().enumerate() {
        let ours = tickets.iter().find(|it| it["key"] == row["key"]);
        let ours = ours.unwrap_or_else(|| panic!("the {n}th is not known here: {row}"));
        assert_eq!(gist(ours, "status"), gist(row, "status"), "{row}");
    }
    let in_progress = report.by_state.get("in_progress").copied().unwrap_or_default();
    assert_eq!(in_progress, OWN.div_ceil(3) as u64, "{report:#?}");

    // Gone there is not gone at the ticketing system.
    let gone = rows.keys().next().unwrap();
    element.ask(Method::DELETE, &format!("/tickets/{gone}"), Value::Null).await;
    let quiet = async || (element.ledger().await["quiet"] == true).then_some(());
    world.until("that was told", quiet).await;
    let path = format!("/api/v1/tickets/{}", rows[gone]["key"].as_str().unwrap());
    assert_eq!(world.look(&path).await["status"], rows[gone]["status"]);
    assert_eq!(element.tickets().await.len(), OWN - 1, "nor does it come back");
}

/// What only `make test-systems` says.
fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run make test-systems"))
}

/// A real Redmine, for its own users.
struct Redmine(reqwest::Client);

impl Redmine {
    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.0.request(method.clone(), told("REDMINE_URL") + path);
        let request = request.header("X-Redmine-API-Key", told("REDMINE_KEY"));
        let answer = request.json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    async fn edits(&self, id: &str, issue: Value) {
        self.ask(Method::PUT, &format!("/issues/{id}.json"), json!({ "issue": issue })).await;
    }

    async fn issue(&self, id: &str) -> Value {
        self.ask(Method::GET, &format!("/issues/{id}.json"), Value::Null).await["issue"].clone()
    }
}

fn beside_redmine() -> String {
    let keys =
        ["URL", "KEY", "CF_ALARMKEY", "TRACKER_INCIDENT", "TRACKER_CHANGE", "TRACKER_PROBLEM"];
    let [url, key, field, incident, change, problem] =
        keys.map(|key| told(&format!("REDMINE_{key}")));
    let fields = "three_way = true\n[[sync.field]]\nname = 'summary'\n[[sync.field]]\n\
                  name = 'description'\n[[sync.field]]\nname = 'status'\n";
    format!(
        "[[sync]]\nname = 'desk'\nbackend = 'redmine'\nevery = '1s'\noverlap = '5s'\n{fields}\
         [[sync]]\nname = 'element'\nbackend = 'redmine'\nfrom = 'connector'\nown_ids = true\n{fields}\
         [[backend]]\nid = 'redmine'\npreset = 'redmine'\nbase_url = '{url}'\n\
         auth = {{ value = '{key}' }}\n\
         [backend.read]\ncorrelation_key = '$.custom_fields[?@.id=={field}].value'\n\
         [backend.maps.fields.to]\ncorrelation_key = '{field}'\n\
         [backend.maps.filters.to]\ncorrelation_key = 'cf_{field}'\n\
         [backend.maps.trackers.to]\nincident = '{incident}'\nchange = '{change}'\n\
         problem = '{problem}'\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a running Redmine: make test-systems"]
async fn edits_in_a_real_redmine_and_in_an_element_show_up_in_the_other_and_settle() {
    let node = Rabbit::shared().await;
    let broker = Some((node.url(), "redmine".to_owned()));
    let config = beside_redmine();
    let world = World::started(Setting { broker, config, ..Setting::default() }).await;
    world.on_the_broker().await;
    let element = Element::of(&world, "redmine", "json").await;
    let redmine = Redmine(reqwest::Client::builder().no_proxy().build().unwrap());
    let mut ids = Vec::new();
    for n in 0..3 {
        let fields = json!({"summary": format!("ticket {n}"), "description": "as it was"});
        let create = json!({"backend": "redmine", "kind": "incident", "fields": fields});
        let made = orders(&world, "create", create).await;
        ids.push((made["key"].clone(), made["result"]["backend_id"].as_str().unwrap().to_owned()));
    }
    // What that Redmine had before comes along too: only these are looked at.
    let row =
        async |key: &Value| element.tickets().await.into_values().find(|row| row["key"] == *key);
    let as_both_have_it = async |key: &Value, id: &str| {
        let (there, shown) = (row(key).await?, redmine.issue(id).await);
        let status = shown["status"]["id"].to_string();
        let same = there["fields"]["summary"] == shown["subject"]
            && there["fields"]["description"] == shown["description"]
            && there["status"] == told_as(&status);
        same.then_some((there, shown))
    };
    for (key, id) in &ids {
        world.until("the element has it", async || as_both_have_it(key, id).await).await;
    }

    // Each edits another field of each, at the same time.
    for (key, id) in &ids {
        let theirs = row(key).await.unwrap()["id"].as_str().unwrap().to_owned();
        redmine.edits(id, json!({"subject": format!("by redmine {id}")})).await;
        element.edits(&theirs, json!({"fields": {"description": format!("by it {id}")}})).await;
    }
    for (key, id) in &ids {
        let settled = async || {
            let (there, _) = as_both_have_it(key, id).await?;
            let fields = &there["fields"];
            (fields["summary"] == format!("by redmine {id}")
                && fields["description"] == format!("by it {id}"))
            .then_some(())
        };
        world.until(&format!("both edits of {id} are on both sides"), settled).await;
    }

    // States: one is taken up there, one is closed here.
    let (taken, closed) = (&ids[0], &ids[1]);
    let theirs = row(&taken.0).await.unwrap()["id"].as_str().unwrap().to_owned();
    element.edits(&theirs, json!({"status": "inProgress"})).await;
    redmine.edits(&closed.1, json!({"status_id": "5"})).await;
    for ((key, id), status) in [(taken, "inProgress"), (closed, "closed")] {
        let settled = async || {
            let (there, _) = as_both_have_it(key, id).await?;
            (there["status"] == status).then_some(())
        };
        world.until(&format!("{id} is {status} on both sides"), settled).await;
    }

    // One that the element has first.
    let theirs = json!({"status": "inProgress", "fields": {"summary": "first there"}});
    let theirs = element.ask(Method::POST, "/tickets", theirs).await["id"].clone();
    let made = async || {
        let row = element.tickets().await.remove(theirs.as_str().unwrap())?;
        let key = row["key"].as_str()?.to_owned();
        let ours = world.look(&format!("/api/v1/tickets/{key}")).await;
        let shown = redmine.issue(ours["backend_id"].as_str()?).await;
        (shown["subject"] == "first there" && shown["status"]["id"] == 2).then_some(())
    };
    world.until("Redmine has what the element had first", made).await;

    // It settles: nothing is written any more, here or there.
    let quiet = async || {
        let syncs = ["desk", "element"].map(|name| format!("/api/v1/sync/{name}"));
        let counters = async || {
            let [desk, element] = [world.look(&syncs[0]).await, world.look(&syncs[1]).await];
            [desk["counters"]["written"].clone(), element["counters"]["written"].clone()]
        };
        let before = (counters().await, redmine.issue(&taken.1).await["updated_on"].clone());
        let runs = world.look(&syncs[0]).await["last_run"]["begun_at"].clone();
        let ran =
            async || (world.look(&syncs[0]).await["last_run"]["begun_at"] != runs).then_some(());
        world.until("the feed was read again", ran).await;
        let after = (counters().await, redmine.issue(&taken.1).await["updated_on"].clone());
        (before == after && element.ledger().await["quiet"] == true).then_some(())
    };
    world.until("nothing is written any more", quiet).await;
    let requests = world.all("/api/v1/requests").await;
    let ended = |it: &Value| it["state"] == "done" || it["state"] == "superseded";
    assert!(requests.iter().all(ended), "{requests:#?}");
}

/// A status of Redmine as the element is told of it.
fn told_as(status: &str) -> &'static str {
    match status {
        "1" => "acknowledged",
        "2" => "inProgress",
        "3" => "resolved",
        "4" => "pending",
        "5" => "closed",
        _ => "rejected",
    }
}
