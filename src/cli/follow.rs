//! `follow`: prints ticket events as they come, and reconnects from the last one that it saw.

use super::remote::At;
use crate::say;
use clap::Args;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// A stream that says nothing for so long is dead: the service sends a comment every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Between tries to reconnect; doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// Bytes of one event; the service writes none near that.
const EVENT_MAX: usize = 4 * 1024 * 1024;

/// What to follow.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Only of these backends (comma between them)
    #[arg(long)]
    backend: Option<String>,
    /// Only incident, change or problem
    #[arg(long)]
    kind: Option<String>,
    /// Only these events, for example created,closed
    #[arg(long)]
    event: Option<String>,
    /// Only tickets with an alarm of these sources
    #[arg(long)]
    source: Option<String>,
    /// Begin after the event with this id, instead of with what comes now
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<String>,
    #[command(flatten)]
    at: At,
}

/// Follows until it is interrupted, or until nobody reads what it prints.
pub async fn follow(args: FollowArgs) -> anyhow::Result<bool> {
    let client = args.at.client()?.read_timeout(SILENCE_MAX).build()?;
    let mut url = args.at.url(["api", "v1", "events"])?;
    let filters = [
        ("backend", &args.backend),
        ("kind", &args.kind),
        ("event", &args.event),
        ("source", &args.source),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let mut last = args.after.clone();
    let (mut connected_once, mut wait) = (false, FIRST_WAIT);
    loop {
        let mut request = args.at.signed(client.get(url.clone()))?;
        if let Some(last) = &last {
            request = request.header("Last-Event-ID", last);
        }
        match request.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                (connected_once, wait) = (true, FIRST_WAIT);
                if read(answer, args.at.json, &mut last).await? {
                    return Ok(true);
                }
                say::aside("ticketgate: the stream ended; connecting again");
            }
            Ok(answer) if answer.status().is_client_error() || !connected_once => {
                let status = answer.status();
                let problem: Value = answer.json().await.unwrap_or_default();
                anyhow::bail!("{} ({status})", args.at.complaint(status.as_u16(), &problem));
            }
            Err(error) if !connected_once => {
                return Err(args.at.unreached(error));
            }
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Prints what comes until the stream ends; true: nobody reads us any more.
async fn read(mut answer: Response, json: bool, last: &mut Option<String>) -> anyhow::Result<bool> {
    let mut parser = Parser::default();
    // An error is an end like any other: the next stream goes on from the last event.
    while let Ok(Some(bytes)) = answer.chunk().await {
        for message in parser.take(&bytes) {
            if let Some(id) = message.id.filter(|id| !id.is_empty()) {
                *last = Some(id);
            }
            if message.event == "reset" {
                say::aside(format_args!("ticketgate: events were missed: {}", message.data));
                continue;
            }
            let line = if json { message.data } else { for_people(&message.data) };
            if !say::line(line)? {
                return Ok(true);
            }
        }
        anyhow::ensure!(parser.pending.len() < EVENT_MAX, "that is not a Ticketgate");
    }
    Ok(false)
}

/// `2026-11-21T10:00:00.000Z created  crm INC1  probe/a1`
fn for_people(data: &str) -> String {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let ticket = &event["ticket"];
    let (at, name) = (text(&event["at"]), text(&event["event"]));
    let id = ticket["backend_id"].as_str().or(ticket["key"].as_str()).unwrap_or("-");
    let mut line = format!("{at} {name:<10} {} {id}", text(&ticket["backend"]));
    for alarm in event["alarms"].as_array().into_iter().flatten() {
        line.push_str(&format!("  {}/{}", text(&alarm["source"]), text(&alarm["id"])));
    }
    if let Some(reason) = event["error"]["reason"].as_str() {
        line.push_str(&format!("  ({reason})"));
    }
    line
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    id: Option<String>,
    event: String,
    data: String,
}

/// Server-sent events out of bytes, as the HTML standard reads them.
#[derive(Default)]
struct Parser {
    pending: Vec<u8>,
    message: Message,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.pending.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let mut from = 0;
        while let Some(length) = self.pending[from..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.pending[from..from + length]).into_owned();
            from += length + 1;
            messages.extend(self.line(line.trim_end_matches('\r')));
        }
        self.pending.drain(..from);
        messages
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return (!message.data.is_empty()).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.message.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // Comments begin with a colon; `retry` is ours to decide.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_however_their_bytes_are_cut() {
        let text = "retry: 2000\n: hello\n\nid: 1\nevent: created\ndata: {\"a\":1}\n\n: alive\n\n\
                    id:2\r\ndata: x\r\ndata:y\r\n\r\ndata: unfinished\n";
        let message = |id: &str, event: &str, data: &str| Message {
            id: Some(id.to_owned()),
            event: event.to_owned(),
            data: data.to_owned(),
        };
        let expected = [message("1", "created", "{\"a\":1}"), message("2", "", "x\ny")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let read: Vec<Message> =
                text.as_bytes().chunks(size).flat_map(|bytes| parser.take(bytes)).collect();
            assert_eq!(read, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_for_people_says_what_when_and_why() {
        let data = r#"{"at":"T","event":"rejected","alarms":[{"source":"probe","id":"a1"}],
            "ticket":{"backend":"crm","backend_id":null,"key":"K"},"error":{"reason":"no"}}"#;
        assert_eq!(for_people(data), "T rejected   crm K  probe/a1  (no)");
        assert!(for_people("not JSON").starts_with("- -"));
    }
}
