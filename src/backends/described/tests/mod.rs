//! Described systems over real connections: against simulated ones, and against answers by hand.

mod answers;
mod envelopes;
mod feeds;
mod osb_later;
mod presets;
mod probing;
mod said;
mod services;
mod signing_in;
mod simulator;
mod steps;
mod strict;
mod systems;

use crate::backends::{Description, load};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ticketgate_actors::model::{CorrelationKey, Fields, Kind, RequestId, TicketKey};
use ticketgate_actors::ports::{
    Answer, Backend, Call, Clock, Reading, SearchBy, TicketTarget, Via, Work,
};
use ticketgate_actors::testing::ManualClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

/// No test waits longer for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time limit of calls that will not be answered.
const SHORT: Duration = Duration::from_millis(400);

const KEY: &str = "tgaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn described(toml: &str) -> Description {
    load(toml.parse().unwrap()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// The preset with more keys laid over it.
fn simulated(base_url: &str, more: &str) -> Description {
    described(&format!(
        "id = \"osb\"\npreset = \"simulated-rest\"\nbase_url = \"{base_url}\"\n{more}"
    ))
}

fn adapter(description: &Description) -> Arc<dyn Backend> {
    adapter_at(description, Arc::new(ManualClock::default()))
}

fn adapter_at(description: &Description, clock: Arc<ManualClock>) -> Arc<dyn Backend> {
    description.connect(clock).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn target(backend_id: Option<&str>) -> TicketTarget {
    TicketTarget {
        key: TicketKey(Uuid::from_u128(7)),
        correlation_key: CorrelationKey(KEY.to_owned()),
        kind: Kind::Incident,
        backend_id: backend_id.map(str::to_owned),
    }
}

fn fields(json: serde_json::Value) -> Fields {
    serde_json::from_value(json).unwrap()
}

fn summary(text: &str) -> Fields {
    fields(serde_json::json!({ "summary": text }))
}

fn create(text: &str) -> Work {
    Work::Create { ticket: target(None), fields: summary(text) }
}

fn update(id: &str, text: &str) -> Work {
    Work::Update { ticket: target(Some(id)), fields: summary(text) }
}

fn get(id: &str) -> Work {
    Work::Get { backend_id: id.to_owned(), kind: Kind::Incident }
}

fn look() -> Work {
    let by = SearchBy::CorrelationKey(CorrelationKey(KEY.to_owned()));
    Work::Search { by, kind: Kind::Incident, limit: 2 }
}

fn call(work: Work) -> Call {
    Call {
        via: Via::Selected,
        service: None,
        ticket: None,
        attempt: 1,
        request: Some(RequestId(Uuid::from_u128(9))),
        alarm: None,
        work,
        send_by: ManualClock::default().now().mono.plus(Duration::from_secs(5)),
        timeout: PATIENCE,
    }
}

async fn calls(backend: &Arc<dyn Backend>, work: Work) -> Answer {
    backend.call(call(work)).await.answer
}

async fn calls_in_a_hurry(backend: &Arc<dyn Backend>, work: Work) -> Answer {
    backend.call(Call { timeout: SHORT, ..call(work) }).await.answer
}

/// An answer's kind, and what a reason says.
fn kind(answer: &Answer) -> (&'static str, &str) {
    match answer {
        Answer::Done(found) => ("done", &found.backend_id),
        Answer::Acknowledged { backend_ref } => ("taken", backend_ref.as_deref().unwrap_or("")),
        Answer::Read(Reading { tickets, more: true, .. }) => {
            ("more", tickets.first().map_or("", |found| &found.backend_id))
        }
        Answer::Read(Reading { tickets, more: false, .. }) => {
            ("read", tickets.first().map_or("", |found| &found.backend_id))
        }
        Answer::NotSent(reason) => ("not sent", reason),
        Answer::Busy { error, .. } => ("busy", &error.reason),
        Answer::Retryable { error, .. } => ("retryable", &error.reason),
        Answer::Refused(error) => ("refused", &error.reason),
        Answer::Unauthorised(error) => ("unauthorised", &error.reason),
        Answer::InDoubt(error) => ("in doubt", &error.reason),
    }
}

/// A server that answers each request with the next of its texts, the last one for ever, closes, and
/// remembers what was said.
struct Canned {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::in_turn(vec![answer.into()]).await
    }

    async fn in_turn(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut said = Vec::new();
                while !is_whole(&said) {
                    if socket.read_buf(&mut said).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let turn = {
                    let mut heard = ears.lock().unwrap();
                    heard.push(String::from_utf8(said).unwrap());
                    heard.len() - 1
                };
                // The client may have gone.
                let _ = socket.write_all(&answers[turn.min(answers.len() - 1)]).await;
                let _ = socket.shutdown().await;
            }
        });
        Self { url, heard }
    }

    async fn with_json(status: u16, json: &str) -> Self {
        Self::answering(http(status, "content-type: application/json\r\n", json)).await
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The body of the only request.
    fn body(&self) -> serde_json::Value {
        let heard = self.heard();
        let (_, body) = heard[0].split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

fn json(status: u16, body: serde_json::Value) -> Vec<u8> {
    http(status, "content-type: application/json\r\n", &body.to_string())
}

/// The first lines of what was said: method and path.
fn lines(heard: &[String]) -> Vec<&str> {
    heard.iter().map(|said| said.split(" HTTP/").next().unwrap_or_default()).collect()
}

fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

fn is_whole(said: &[u8]) -> bool {
    let text = String::from_utf8_lossy(said).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    said.len() >= head.len() + 4 + length.map_or(0, |length| length.parse().unwrap())
}
