//! `explain` and `health`: the two questions that operators ask most.

use super::remote::{Ask, At, table};

/// Is it ready?
pub async fn health(at: At) -> anyhow::Result<bool> {
    let answer = at.call(Ask::get(["readyz"])).await?;
    println!("{}", answer.body);
    Ok(answer.status == 200)
}

/// Why is there, or is there not, a ticket?
pub async fn explain(at: At, source: String, id: String) -> anyhow::Result<bool> {
    let answer = at.api(Ask::get(["alarms", source.as_str(), id.as_str(), "explain"])).await?;
    at.show(&answer, |body| {
        let mut text = format!("{source}/{id}: {}", body["verdict"].as_str().unwrap_or("-"));
        for occurrence in body["occurrences"].as_array().into_iter().flatten() {
            let columns = [("when", "/at"), ("of", "/of"), ("what", "/what"), ("why", "/why")];
            let number = &occurrence["alarm"]["occurrence"];
            let steps = table(&occurrence["steps"], &columns);
            text.push_str(&format!("\n\noccurrence {number}\n{steps}"));
        }
        text
    })
}
