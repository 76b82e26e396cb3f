//! `explain` and `health`: the two questions that operators ask most.

use super::remote::{Ask, At, cell, table};
use crate::say;
use serde_json::Value;

/// Is it ready?
pub async fn health(at: At) -> anyhow::Result<bool> {
    let answer = at.call(Ask::get(["readyz"])).await?;
    say::line(&answer.body)?;
    Ok(answer.status == 200)
}

/// Why is there, or is there not, a ticket?
pub async fn explain(at: At, source: String, id: String) -> anyhow::Result<bool> {
    let answer = at.api(Ask::get(["alarms", source.as_str(), id.as_str(), "explain"])).await?;
    at.show(&answer, in_words)
}

/// What `explain` answers, for people.
pub fn in_words(told: &Value) -> String {
    let name = |name: &str| cell(told.get(name));
    let mut text = format!("{}/{}: {}", name("source"), name("id"), name("verdict"));
    for occurrence in told["occurrences"].as_array().into_iter().flatten() {
        let columns = [("when", "/at"), ("of", "/of"), ("what", "/what"), ("why", "/why")];
        let number = &occurrence["alarm"]["occurrence"];
        let steps = table(&occurrence["steps"], &columns);
        text.push_str(&format!("\n\noccurrence {number}\n{steps}"));
    }
    text
}
