//! `ticketgate ticket import`: a CSV file of open tickets, to the service in parts.
//!
//! The file is read whole before anything is sent: a line that is wrong stops it, by its number.

use super::progress::Progress;
use super::remote::{Ask, At};
use crate::http::IMPORT_ROWS_MAX;
use crate::say;
use anyhow::{Context, bail};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns that must be there.
const NEEDED: [&str; 5] = ["source", "alarm_id", "backend", "backend_id", "status"];
/// One that may be.
const KIND: &str = "kind";
/// Refused rows that are shown; the others are counted.
const SHOWN: usize = 50;

/// Sends a file; false: some tickets could not be taken.
pub async fn run(at: &At, file: &Path, dry_run: bool, reason: &str) -> anyhow::Result<bool> {
    let rows = read(file)?;
    let rows_in_all = rows.len();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut refused = Vec::new();
    let mut progress = Progress::new("tickets", Some(rows_in_all as u64));
    for (part, rows) in rows.chunks(IMPORT_ROWS_MAX).enumerate() {
        let rows: Vec<_> = rows.iter().map(|(_, row)| Value::Object(row.clone())).collect();
        let body = json!({"dry_run": dry_run, "reason": reason, "rows": rows});
        let answer = at.api(Ask::post(["tickets", "import"], body)).await?;
        if !answer.ok() {
            progress.end();
            // The place in the answer is that in this part.
            let before = part * IMPORT_ROWS_MAX;
            if before > 0 {
                say::aside(format_args!(
                    "ticketgate: the first {before} tickets of the file are done"
                ));
            }
            return at.show(&answer, |_| String::new());
        }
        for (place, outcome) in answer.body["rows"].as_array().into_iter().flatten().enumerate() {
            let word = outcome["outcome"].as_str().unwrap_or("odd").to_owned();
            *counts.entry(word).or_default() += 1;
            if let Some(why) = outcome["reason"].as_str() {
                refused.push((part * IMPORT_ROWS_MAX + place, why.to_owned()));
            }
        }
        progress.at(((part + 1) * IMPORT_ROWS_MAX).min(rows_in_all) as u64);
    }
    progress.end();
    tell(at, &rows, &counts, &refused, dry_run)?;
    Ok(refused.is_empty())
}

type Line = (u64, Map<String, Value>);

fn read(file: &Path) -> anyhow::Result<Vec<Line>> {
    let name = file.display();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(file)
        .with_context(|| format!("{name} cannot be read"))?;
    let head = reader.headers().with_context(|| format!("{name}, line 1"))?.clone();
    let missing: Vec<_> =
        NEEDED.iter().filter(|needed| !head.iter().any(|column| column == **needed)).collect();
    if !missing.is_empty() {
        bail!("{name}, line 1: these columns are missing: {missing:?}");
    }
    if let Some(odd) = head.iter().find(|it| !NEEDED.contains(it) && *it != KIND) {
        bail!("{name}, line 1: no column is called {odd:?}; there are: {NEEDED:?} and {KIND:?}");
    }
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("{name} cannot be read on"))?;
        let number = record.position().map_or(0, csv::Position::line);
        let row: Map<String, Value> = head
            .iter()
            .zip(record.iter())
            .filter(|(column, value)| *column != KIND || !value.is_empty())
            .map(|(column, value)| (column.to_owned(), value.into()))
            .collect();
        if let Some(empty) = row.iter().find(|(_, value)| value.as_str() == Some("")) {
            bail!("{name}, line {number}: {} is empty", empty.0);
        }
        lines.push((number, row));
    }
    Ok(lines)
}

fn tell(
    at: &At,
    rows: &[Line],
    counts: &BTreeMap<String, u64>,
    refused: &[(usize, String)],
    dry_run: bool,
) -> anyhow::Result<()> {
    let refusals: Vec<Value> = refused
        .iter()
        .map(|(place, why)| json!({"line": rows[*place].0, "row": rows[*place].1, "reason": why}))
        .collect();
    if at.json {
        let all = json!({"dry_run": dry_run, "counts": counts, "refused": refusals});
        say::line(all)?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["line", "alarm", "ticket", "refused because"]);
    for (place, why) in refused.iter().take(SHOWN) {
        let (line, row) = &rows[*place];
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let alarm = format!("{}/{}", text("source"), text("alarm_id"));
        let ticket = format!("{} {}", text("backend"), text("backend_id"));
        table.add_row([line.to_string(), alarm, ticket, why.clone()]);
    }
    if !refused.is_empty() {
        say::line(table)?;
    }
    let counted: Vec<_> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    let what = if dry_run { "would be: " } else { "" };
    say::line(format_args!("{} tickets: {what}{}", rows.len(), counted.join(", ")))?;
    Ok(())
}
