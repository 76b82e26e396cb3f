//! Every subcommand that asks a running service: its exit code, what it says to people, and its
//! JSON for scripts.

use crate::alarms::{message, raised};
use crate::process;
use crate::programs::Publisher;
use crate::rabbit::Rabbit;
use crate::world::{Setting, World};
use serde_json::{Value, json};
use ticketgate::simulate::faults::Faults;
use uuid::Uuid;

/// A shell at a service.
pub struct Shell<'a>(pub &'a World);

impl Shell<'_> {
    /// Runs a command line: exit code, what it said to people, what it complained of.
    fn run(&self, line: &[&str]) -> (i32, String, String) {
        let url = self.0.url();
        let output = process::run(&[line, &["--url", &url]].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().expect("it ended by itself");
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// What it says to people when it succeeds.
    pub fn says(&self, line: &[&str]) -> String {
        let (code, said, complaint) = self.run(line);
        assert_eq!((code, complaint.as_str()), (0, ""), "{line:?}: {said}");
        said
    }

    /// Its JSON when it succeeds.
    pub fn json(&self, line: &[&str]) -> Value {
        let said = self.says(&[line, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{line:?}: {error}: {said}"))
    }

    /// What it complains of when it is refused.
    fn refused(&self, line: &[&str]) -> String {
        let (code, said, complaint) = self.run(line);
        assert_eq!((code, said.as_str()), (1, ""), "{line:?}: {complaint}");
        assert!(complaint.starts_with("ticketgate: "), "{line:?}: {complaint}");
        // A script gets the whole answer, and the same exit code.
        let (code, said, _) = self.run(&[line, &["--json"]].concat());
        assert!(code == 1 && serde_json::from_str::<Value>(&said).is_ok(), "{line:?}: {said}");
        complaint
    }

    /// What it says to people when it fails.
    pub fn complains(&self, line: &[&str]) -> String {
        let (code, said, complaint) = self.run(line);
        assert_eq!(code, 1, "{line:?}: {said}");
        complaint
    }

    /// It ends with that code and without a word, though nobody reads what it says.
    fn unread(&self, line: &[&str], expected: i32) {
        let url = self.0.url();
        let (reader, out) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = process::ticketgate();
        let output = command.args(line).args(["--url", &url]).stdout(out).output();
        let output = output.expect("the binary starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*complaint), (Some(expected), ""), "{line:?}");
    }

    /// It is wrong usage.
    fn wrong(&self, line: &[&str]) {
        let (code, _, complaint) = self.run(line);
        assert_eq!(code, 2, "{line:?}: {complaint}");
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}: {value}"))
}

async fn world(prefix: &str) -> World {
    let lossy = Faults { lost_answer_rate: 1.0, at_most: Some(1), ..Faults::default() };
    let backends = vec![("crm", Faults::default(), ""), ("blind", lossy, "capability = \"none\"")];
    let config = "[policy]\ndefault_backend = \"crm\"\n".to_owned();
    let broker = Some((Rabbit::shared().await.url(), prefix.to_owned()));
    World::started(Setting { broker, backends, config, ..Setting::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_are_raised_updated_cleared_and_listed_by_hand() {
    let world = world("by-hand-alarms").await;
    let shell = Shell(&world);
    let raise = ["alarm", "raise", "probe", "A1", "--object", "site-1", "--severity", "minor"];
    let more =
        ["--text", "no signal", "--property", "n=1", "--kind", "problem", "--field", "note=x"];
    assert_eq!(shell.says(&[&raise[..], &more].concat()), "accepted\n");
    world.settled(1).await;
    let update = ["alarm", "update", "probe", "A1", "--text", "worse"];
    assert_eq!(shell.json(&update), json!({ "accepted": 1, "repeats": 0 }));
    world.settled(1).await;
    let shown = world.look("/api/v1/alarms/probe/A1").await;
    assert_eq!((text(&shown, "/text"), text(&shown, "/severity")), ("worse", "minor"), "{shown}");
    assert_eq!(shown["properties"], json!({ "n": 1 }), "{shown}");
    assert_eq!(shell.says(&["alarm", "clear", "probe", "A1"]), "accepted\n");
    world.settled(1).await;
    let table = shell.says(&["alarm", "list"]);
    assert!(table.contains("A1") && table.contains("cleared"), "{table}");
    let list = shell.json(&["alarm", "list", "--state", "cleared", "--limit", "1"]);
    assert_eq!(text(&list, "/items/0/id"), "A1");
    assert_eq!(shell.json(&["alarm", "list", "--state", "active"])["items"], json!([]));

    let unknown = shell.refused(&["alarm", "clear", "probe", "nobody"]);
    assert!(unknown.contains("probe/nobody"), "{unknown}");
    let bad = shell.refused(&["alarm", "raise", "p", "A", "--object", "o", "--severity", "awful"]);
    assert!(bad.contains("severity"), "{bad}");
    shell.wrong(&["alarm", "raise", "probe", "A2"]);
    shell.wrong(&["alarm", "list", "--state", "odd"]);
    shell.wrong(&["alarm", "shout"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_ends_a_command_without_a_word() {
    let backends = vec![("crm", Faults::default(), "")];
    let config = "[policy]\ndefault_backend = \"crm\"\n".to_owned();
    let world = World::started(Setting { backends, config, ..Setting::default() }).await;
    let shell = Shell(&world);
    shell.says(&["alarm", "raise", "probe", "A1", "--object", "o"]);
    world.settled(1).await;
    for line in [
        &["explain", "probe", "A1"][..],
        &["lane", "list"],
        &["client", "list"],
        &["alarm", "list", "--all"],
        &["alarm", "list", "--json"],
        &["heartbeat", "list"],
        &["health"],
    ] {
        shell.unread(line, 0);
    }
    // What was asked for is done all the same, and the exit code tells how that went.
    shell.unread(&["alarm", "clear", "probe", "A1"], 0);
    world.settled(1).await;
    assert_eq!(world.look("/api/v1/alarms/probe/A1").await["state"], "cleared");
    shell.unread(&["explain", "probe", "nobody", "--json"], 1);

    let config = world.file("ticketgate.toml");
    let config = config.to_str().expect("a plain name");
    for line in [&["check", "--config", config][..], &["presets"], &["presets", "usms"]] {
        let (reader, out) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = process::ticketgate().args(line).stdout(out).output().expect("it starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*complaint), (Some(0), ""), "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_made_changed_read_found_and_closed_by_hand() {
    let world = world("by-hand-tickets").await;
    let shell = Shell(&world);
    let id = Uuid::now_v7().to_string();
    let create =
        ["ticket", "create", "--backend", "crm", "--field", "summary=by hand", "--id", &id];
    let made = shell.json(&create);
    let key = text(&made, "/result/key");
    assert_eq!((text(&made, "/stage"), text(&made, "/result/backend_id")), ("final", "CRM-1"));
    // The same command by the same id: nothing new.
    let again = shell.says(&create);
    assert!(again.contains(key) && again.contains("CRM-1"), "{again}");
    let update = ["ticket", "update", key, "--field", "note=seen"];
    assert!(shell.says(&update).contains("backend id: CRM-1"));
    let theirs = ["--backend", "crm", "--backend-id", "CRM-1"];
    let read = shell.json(&[&["ticket", "query"][..], &theirs].concat());
    assert_eq!(text(&read, "/result/ticket/fields/note"), "seen", "{read}");
    assert!(shell.says(&["ticket", "query", key]).contains("by hand"));
    let search = ["ticket", "search", "--backend", "crm", "--where", "summary=by hand"];
    assert!(shell.says(&search).contains("CRM-1"));
    let found = shell.json(&[&search[..], &["--limit", "1"]].concat());
    assert_eq!(text(&found, "/result/tickets/0/key"), key, "{found}");
    let closed =
        shell.json(&[&["ticket", "close"][..], &theirs, &["--field", "note=bye"]].concat());
    assert_eq!(text(&closed, "/result/ticket/status"), "closed", "{closed}");
    let table = shell.says(&["ticket", "list"]);
    assert!(table.contains("CRM-1") && table.contains("closed"), "{table}");
    let list = shell.json(&["ticket", "list", "--backend", "crm", "--status", "closed"]);
    assert_eq!(text(&list, "/items/0/key"), key);
    assert_eq!(shell.json(&["ticket", "list", "--backend", "blind"])["items"], json!([]));

    // Not waited for: accepted is a success too.
    let accepted = shell.says(&[&create[..6], &["--wait", "0s"]].concat());
    assert!(accepted.starts_with("accepted as request "), "{accepted}");
    let far = ["ticket", "create", "--backend", "far", "--field", "summary=x"];
    assert!(shell.refused(&far).contains("backend: no backend is called far"));
    let other = [&create[..5], &["summary=other", "--id", &id]].concat();
    assert!(shell.refused(&other).contains("id: "));
    let lost = Uuid::new_v4().to_string();
    let under = [&update[..], &["--lock", &lost, "--fence", "1"]].concat();
    assert!(shell.refused(&under).contains("lock: "));
    assert!(shell.refused(&["ticket", "query", &lost]).contains("key: "));
    shell.wrong(&["ticket", "update", key]);
    shell.wrong(&["ticket", "query"]);
    shell.wrong(&[&update[..], &["--lock", &lost]].concat());
    shell.wrong(&["ticket", "search", "--backend", "crm"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_are_taken_renewed_and_given_back_by_hand_and_clients_are_seen() {
    let world = world("by-hand-locks").await;
    let shell = Shell(&world);
    let lock =
        shell.json(&["lock", "acquire", "--timeout", "5m", "--wait", "1s", "--holder", "me"]);
    let (guid, fence) = (text(&lock, "/guid"), lock["fence"].to_string());
    let again = shell.says(&["lock", "acquire", "--guid", guid]);
    assert!(again.contains(&format!("fence: {fence}\n")), "{again}");
    let renewed = shell.json(&["lock", "renew", guid, "--timeout", "10m"]);
    assert_eq!(renewed["fence"], lock["fence"]);
    for list in [["lock", "list"], ["client", "list"]] {
        let table = shell.says(&list);
        assert!(table.contains(guid) && table.contains("me"), "{table}");
        let rows = shell.json(&list);
        assert_eq!(text(&rows, "/items/0/guid"), guid, "{rows}");
    }
    let under = ["--lock", guid, "--fence", &fence];
    let search = ["ticket", "search", "--backend", "crm", "--where", "summary=x"];
    shell.says(&[&search[..], &under].concat());
    let client = lock["client"].to_string();
    let responses = shell.json(&["client", "responses", &client]);
    assert!(text(&responses, "/items/0/what").starts_with("search "), "{responses}");
    assert!(shell.says(&["client", "responses", &client]).contains("search "));
    assert_eq!(shell.json(&["client", "results", &client])["items"], json!([]));
    let idle = shell.says(&["client", "not-busy", &client, "--reason", "a test"]);
    assert_eq!(idle, "it was not busy\n");
    let unlock = ["client", "unlock", &client, "--reason", "a test"];
    assert_eq!(shell.says(&unlock), "unlocked\n");
    assert_eq!(shell.says(&unlock), "it was not locked\n");
    assert!(shell.refused(&[&search[..], &under].concat()).contains("lock: "));
    for order in [&["lock", "renew", guid][..], &["lock", "release", guid]] {
        assert!(shell.refused(order).contains("guid: "));
    }
    let lock = shell.json(&["lock", "acquire"]);
    assert_eq!(shell.says(&["lock", "release", text(&lock, "/guid")]), "released\n");
    shell.refused(&["lock", "acquire", "--timeout", "11m"]);
    shell.refused(&["client", "responses", "99"]);
    shell.wrong(&["lock", "acquire", "--guid", "x"]);
    shell.wrong(&["lock", "renew"]);
    shell.wrong(&["client", "unlock", &client]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_requests_and_parked_messages_are_seen_and_settled_by_hand() {
    let world = world("by-hand-people").await;
    world.on_the_broker().await;
    let shell = Shell(&world);
    let create = ["ticket", "create", "--backend", "blind", "--field", "summary=x", "--wait", "0s"];
    shell.says(&create);
    let undecided = async || {
        let list = shell.json(&["request", "list", "--state", "undecided"]);
        list["items"].get(0).cloned()
    };
    let row = world.until("the create is undecided", undecided).await;
    let (id, ticket) = (text(&row, "/id"), text(&row, "/ticket"));
    let shown = shell.says(&["request", "show", id]);
    assert!(shown.contains("search text: tg") && shown.contains("--found NUMBER"), "{shown}");
    let done = shell.refused(&["request", "settle", id, "--done", "--reason", "a test"]);
    assert!(done.contains("say found"), "{done}");
    let table = shell.says(&["request", "list", "--backend", "blind", "--limit", "5"]);
    assert!(table.contains(id) && table.contains("undecided"), "{table}");
    assert_eq!(text(&shell.json(&["request", "list", "--ticket", ticket]), "/items/0/id"), id);
    let lanes = shell.json(&["lane", "list"]);
    let lanes = lanes["items"].as_array().expect("a list");
    let blind = lanes.iter().find(|lane| lane["id"] == "blind").expect("it has a lane");
    assert_eq!(blind["undecided"], 1, "{blind}");
    assert!(blind["last_error"].is_string() && blind["last_error_at"].is_string(), "{blind}");
    let hold = ["lane", "hold", "blind", ticket, "--reason", "a test"];
    shell.says(&hold);
    let table = shell.says(&["lane", "list"]);
    let mut lines = table.lines();
    let head = lines.next().expect("a head");
    let column = head.find("held tickets").expect("the column is there");
    let blind = lines.find(|line| line.trim_start().starts_with("blind")).expect("its line");
    assert!(blind[column..].starts_with('1'), "{table}");
    shell.says(&["lane", "release", "blind", ticket, "--reason", "a test"]);
    assert!(shell.says(&["lane", "list"]).contains("crm"));
    let resumed = shell.says(&["lane", "resume", "crm", "--reason", "a test"]);
    assert_eq!(resumed, "it was not held back; if it made only probes, it makes all calls again\n");
    let unknown = shell.refused(&["lane", "resume", "far", "--reason", "a test"]);
    assert!(unknown.contains("no backend is called far"), "{unknown}");

    let settle = ["request", "settle", id, "--drop", "--reason", "a test"];
    assert_eq!(shell.says(&settle), "dropped: nothing more is sent\n");
    assert!(shell.refused(&settle).contains("not undecided"));
    let nobody = Uuid::new_v4().to_string();
    shell.refused(&["request", "settle", &nobody, "--absent", "--reason", "a test"]);
    shell.wrong(&["request", "settle", id, "--reason", "a test"]);
    shell.wrong(&["request", "settle", id, "--drop", "--absent", "--reason", "a test"]);
    shell.wrong(&["request", "settle", id, "--drop"]);
    shell.wrong(&["lane", "resume", "crm"]);

    let mut bad = raised("probe", "A1");
    bad["severity"] = json!("awful");
    Publisher::send(&world, vec![message("m1", "json", bad)]).await;
    let parked = async || shell.json(&["parked", "list"])["items"].get(0).cloned();
    let row = world.until("the message is parked", parked).await;
    assert_eq!(text(&row, "/field"), "severity", "{row}");
    assert!(shell.says(&["parked", "list", "--limit", "1"]).contains("awful"));
    let n = row["n"].to_string();
    let shown = shell.says(&["parked", "show", &n]);
    assert!(shown.contains("message_id: m1") && shown.contains("\"id\""), "{shown}");
    assert!(text(&shell.json(&["parked", "show", &n]), "/body/text").contains("awful"));
    shell.refused(&["parked", "show", "99"]);
    shell.wrong(&["parked", "show", "x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_service_every_command_fails_with_1_and_says_where_it_asked() {
    let mut world = world("by-hand-gone").await;
    assert!(world.stop().await.success());
    let shell = Shell(&world);
    for line in [
        &["alarm", "list"][..],
        &["ticket", "list"],
        &["lock", "list"],
        &["client", "list"],
        &["lane", "list"],
        &["request", "list"],
        &["parked", "list"],
    ] {
        let (code, _, complaint) = shell.run(line);
        assert_eq!(code, 1, "{line:?}: {complaint}");
        assert!(complaint.contains("no service answers at"), "{line:?}: {complaint}");
    }
}
