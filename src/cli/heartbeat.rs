//! `heartbeat list`.

use super::remote::{Ask, At};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;
use std::time::Duration;

/// Lists origins and what is made of them.
pub async fn list(at: At) -> anyhow::Result<bool> {
    let answer = at.api(Ask::get(["heartbeats"])).await?;
    at.show(&answer, |body| {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_header(["origin", "verdict", "status", "silent", "beats", "outages", "problems"]);
        for item in body["items"].as_array().into_iter().flatten() {
            table.add_row(row(item));
        }
        table.to_string()
    })
}

fn row(item: &Value) -> [String; 7] {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let number = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
    let silent = item["silent_ms"].as_u64().map(Duration::from_millis);
    let problems = item["detail"]["problems"].as_array().into_iter().flatten();
    [
        text(&item["origin"]),
        text(&item["verdict"]),
        text(&item["status"]),
        silent.map_or_else(|| "-".to_owned(), |span| format!("{:.1} s", span.as_secs_f64())),
        number(&item["beats"]),
        number(&item["outages"]),
        problems.filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
    ]
}
