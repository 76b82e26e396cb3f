//! `GET /api/v1/events` and `ticketgate follow`.

use crate::world::{Process, User, World, soon};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

/// A reader of events.
struct Reader {
    answer: reqwest::Response,
    pending: String,
}

#[derive(Debug)]
struct Heard {
    id: String,
    event: String,
    data: Value,
}

impl Reader {
    async fn open(world: &World, query: &str, last: Option<&str>) -> Self {
        let mut request = world.request(&format!("/api/v1/events{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, pending: String::new() }
    }

    /// The next block; none: the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.pending.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.pending = rest;
                return Some(block);
            }
            let bytes = soon("bytes", self.answer.chunk()).await.ok().flatten()?;
            self.pending.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn next(&mut self) -> Heard {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().to_owned()
            };
            let data = field("data: ");
            if !data.is_empty() {
                let data = serde_json::from_str(&data).unwrap();
                return Heard { id: field("id: "), event: field("event: "), data };
            }
        }
    }

    /// The ids of alarms in the next events.
    async fn alarms(&mut self, count: usize) -> Vec<String> {
        let mut alarms = Vec::new();
        while alarms.len() < count {
            alarms.push(self.next().await.data["alarm"]["id"].as_str().unwrap().to_owned());
        }
        alarms
    }
}

/// One after the other, so that their order is known.
async fn tickets(world: &User, source: &str, ids: &[&str]) {
    for id in ids {
        world.raise(source, id).await;
        let path = format!("/api/v1/alarms/{source}/{id}/explain");
        world.until(&path, |told| told["occurrences"][0]["ticket"]["backend_id"].is_string()).await;
    }
}

#[actix::test]
async fn events_come_as_on_the_bus_and_go_on_from_the_last_one_seen() {
    let world = World::with("").await;
    let mut subscriber = world.service.inproc.clone().unwrap().subscribe(&["ticket.#"]);
    let mut reader = Reader::open(&world, "", None).await;
    tickets(&world, "probe", &["a1"]).await;
    let first = reader.next().await;
    let message = soon("the bus", subscriber.recv()).await.unwrap();
    let on_bus: Value = rmp_serde::from_slice(&message.body).unwrap();
    assert_eq!(first.data, on_bus);
    assert_eq!((first.id.as_str(), first.event.as_str()), (message.message_id.as_str(), "created"));
    drop(reader);

    tickets(&world, "probe", &["a2", "a3"]).await;
    for mut resumed in [
        Reader::open(&world, "", Some(&first.id)).await,
        Reader::open(&world, &format!("?last_event_id={}", first.id), None).await,
    ] {
        assert_eq!(resumed.alarms(2).await, ["a2", "a3"]);
    }
    world.service.stop().await;
}

#[actix::test]
async fn an_id_that_is_not_known_is_told_first_and_then_comes_what_is_new() {
    let world = World::with("").await;
    tickets(&world, "probe", &["a1"]).await;
    for unknown in ["no id", "00000000-0000-0000-0000-000000000001"] {
        let mut reader = Reader::open(&world, "", Some(unknown)).await;
        let reset = reader.next().await;
        assert_eq!(
            (reset.event.as_str(), &reset.data["last_event_id"]),
            ("reset", &unknown.into())
        );
        // Its id is a place to resume from.
        assert_ne!(reset.id, "");
        let id = format!("after {unknown}");
        tickets(&world, "probe", &[&id]).await;
        let mut resumed = Reader::open(&world, "", Some(&reset.id)).await;
        for reader in [&mut reader, &mut resumed] {
            assert_eq!(reader.next().await.data["alarm"]["id"], id.as_str());
        }
    }
    world.service.stop().await;
}

#[actix::test]
async fn a_reader_hears_only_what_it_asks_for() {
    let world = World::with("").await;
    tickets(&world, "probe", &["a0"]).await;
    let all = "00000000-0000-0000-0000-000000000001";
    let mut by_source = Reader::open(&world, "?source=scope,other", None).await;
    let mut by_all =
        Reader::open(&world, "?backend=crm&kind=incident&event=created&source=probe", Some(all))
            .await;
    let mut none = Reader::open(&world, "?event=closed", None).await;
    tickets(&world, "probe", &["a1"]).await;
    tickets(&world, "scope", &["b1"]).await;
    tickets(&world, "probe", &["a2"]).await;
    assert_eq!(by_source.alarms(1).await, ["b1"]);
    assert_eq!(by_all.next().await.event, "reset");
    assert_eq!(by_all.alarms(2).await, ["a1", "a2"]);
    let bad = world.ask("/api/v1/events?kind=indicent").await;
    assert_eq!(bad.status(), 400);
    assert_eq!(bad.json::<Value>().await.unwrap()["field"], "kind");
    world.service.stop().await;
    // The whole of a stream that heard nothing, to its end.
    let mut said = String::new();
    while let Some(block) = none.block().await {
        said.push_str(&block);
    }
    assert!(!said.contains("data:"), "{said}");
}

#[actix::test]
async fn so_many_streams_and_no_more_and_a_stop_ends_them() {
    let world = World::with("").await;
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(Reader::open(&world, "", None).await);
    }
    let refused = world.ask("/api/v1/events").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    // One that goes away makes room, once its next event or comment finds it gone.
    drop(readers.pop());
    let mut id = 0;
    soon("there is room", async {
        loop {
            id += 1;
            tickets(&world, "probe", &[&id.to_string()]).await;
            let again = world.ask("/api/v1/events").await;
            if again.status() == 200 {
                break;
            }
        }
    })
    .await;
    let from = Instant::now();
    world.service.stop().await;
    assert!(from.elapsed() < Duration::from_secs(4), "the stop waited for streams");
    for mut reader in readers {
        while reader.block().await.is_some() {}
    }
}

/// A reader that takes nothing costs a page, and gets all of it when it reads again.
#[actix::test]
async fn a_slow_reader_misses_nothing_and_stops_nobody() {
    let world = World::with("").await;
    let mut slow = TcpStream::connect(world.service.address).await.unwrap();
    slow.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut quick = Reader::open(&world, "", None).await;
    let ids: Vec<String> = (0..200).map(|n| format!("a{n}")).collect();
    for id in &ids {
        world.raise("probe", id).await;
    }
    let mut heard = quick.alarms(ids.len()).await;
    let mut text = String::new();
    soon("the slow one has all", async {
        let mut buffer = [0; 512];
        while text.matches("\nevent: created").count() < ids.len() {
            let read = slow.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the stream ended");
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    })
    .await;
    let mut expected = ids;
    expected.sort();
    heard.sort();
    assert_eq!(heard, expected);
    world.service.stop().await;
}

struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(world: &User) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ticketgate"))
            .args(["follow", "--json", "--url", &world.url("")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn next(&mut self) -> Value {
        let line = soon("a line of follow", self.lines.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("follow goes on")).unwrap()
    }
}

#[actix::test]
async fn follow_prints_events_and_goes_on_after_the_service_was_killed() {
    let world = Process::start().await;
    let mut follower = Follower::start(&world);
    // It hears what comes after it connected: raise until it has heard one.
    let mut n = 0;
    let first = loop {
        n += 1;
        tickets(&world, "probe", &[&format!("a{n}")]).await;
        if let Ok(line) =
            tokio::time::timeout(Duration::from_millis(500), follower.lines.next_line()).await
        {
            break serde_json::from_str::<Value>(&line.unwrap().unwrap()).unwrap();
        }
    };
    assert_eq!(first["event"], "created");
    let mut last = first["alarm"]["id"].as_str().unwrap().to_owned();
    while last != format!("a{n}") {
        last = follower.next().await["alarm"]["id"].as_str().unwrap().to_owned();
    }
    let world = world.restart().await;
    tickets(&world, "probe", &["b1", "b2"]).await;
    assert_eq!(follower.next().await["alarm"]["id"], "b1");
    assert_eq!(follower.next().await["alarm"]["id"], "b2");
    follower.child.kill().await.unwrap();
}
