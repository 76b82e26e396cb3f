//! Lists that can grow: page by page to the end, or as far as somebody wants them.
//!
//! What always holds: a page is printed before the next one is asked for, so that a list of any length needs
//! no more than a page of memory; what was cut off by an error is no whole JSON document, and the exit code
//! says so too. Rows that come in meanwhile are newer than where a list began, and are not in it.

use super::progress::Progress;
use super::remote::{Ask, At, cell};
use crate::say;
use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, Table, Width};
use serde_json::Value;
use std::fmt::Write;

/// Rows asked for at once: the most that the service gives.
const PAGE: u64 = 500;
/// Rows, where nothing else is said.
const ROWS: u64 = 50;

/// How much of a list.
#[derive(Debug, Args)]
pub struct Rows {
    /// At most so many rows [default: 50]
    #[arg(long, value_name = "ROWS", conflicts_with = "all", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// All of them, page by page
    #[arg(long)]
    all: bool,
}

impl Rows {
    fn most(&self) -> u64 {
        match (self.all, self.limit) {
            (true, _) => u64::MAX,
            (false, limit) => limit.unwrap_or(ROWS),
        }
    }
}

/// The cursor of a list: by what name its next page is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Cursor {
    /// By number, newest first.
    Before,
    /// By name, in order of the names.
    After,
}

impl Cursor {
    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

impl At {
    /// Gets a list, as much of it as is wanted, and prints it as it comes.
    pub async fn pages(
        &self,
        ask: Ask<'_>,
        cursor: Cursor,
        rows: &Rows,
        columns: &[(&str, &str)],
    ) -> anyhow::Result<bool> {
        self.pages_from(ask, cursor, None, rows, columns).await
    }

    /// The same from a place on.
    pub async fn pages_from(
        &self,
        ask: Ask<'_>,
        cursor: Cursor,
        mut next: Option<String>,
        rows: &Rows,
        columns: &[(&str, &str)],
    ) -> anyhow::Result<bool> {
        let most = rows.most();
        let mut printed = Printed::new(self.json, columns);
        let mut progress = Progress::new("rows", None);
        loop {
            let left = most - printed.rows;
            let ask = ask.clone().with("limit", Some(left.clamp(1, PAGE)));
            let answer = self.api(ask.with(cursor.name(), next)).await?;
            if !answer.ok() {
                progress.end();
                // After the first page stdout has begun: what was refused is told on stderr alone.
                return match printed.pages {
                    0 => self.show(&answer, |_| String::new()),
                    _ => self.refused(&answer),
                };
            }
            next = match &answer.body["next"] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            let none = Vec::new();
            let items = answer.body["items"].as_array().unwrap_or(&none);
            let items = &items[..items.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            let mut read = Ok(true);
            progress.aside(|| read = printed.page(items));
            if !read? {
                progress.end();
                return Ok(true);
            }
            progress.at(printed.rows);
            if next.is_none() || printed.rows >= most {
                progress.end();
                printed.end(answer.body["next"].clone())?;
                return Ok(true);
            }
        }
    }
}

/// What was printed so far.
struct Printed<'a> {
    json: bool,
    columns: &'a [(&'a str, &'a str)],
    /// The widest cell of each column so far: later pages stand below the first.
    widths: Vec<u16>,
    rows: u64,
    pages: u64,
}

impl<'a> Printed<'a> {
    fn new(json: bool, columns: &'a [(&'a str, &'a str)]) -> Self {
        Self { json, columns, widths: vec![0; columns.len()], rows: 0, pages: 0 }
    }

    /// False: nobody reads any more.
    fn page(&mut self, items: &[Value]) -> anyhow::Result<bool> {
        let mut text = String::new();
        if self.json {
            if self.pages == 0 {
                text.push_str("{\"items\": [");
            }
            for (n, item) in items.iter().enumerate() {
                let comma = if self.rows > 0 || n > 0 { "," } else { "" };
                write!(text, "{comma}\n{}", serde_json::to_string(item)?)?;
            }
        } else if self.pages == 0 || !items.is_empty() {
            writeln!(text, "{}", self.table(items))?;
        }
        self.pages += 1;
        self.rows += items.len() as u64;
        Ok(say::part(text)?)
    }

    fn table(&mut self, items: &[Value]) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING);
        if self.pages == 0 {
            table.set_header(self.columns.iter().map(|(title, _)| *title));
        }
        for item in items {
            table.add_row(self.columns.iter().map(|(_, pointer)| cell(item.pointer(pointer))));
        }
        let widest = table.column_max_content_widths();
        for (n, width) in self.widths.iter_mut().enumerate() {
            *width = (*width).max(widest.get(n).copied().unwrap_or(0));
            // With the space on either side.
            let least = ColumnConstraint::LowerBoundary(Width::Fixed(width.saturating_add(2)));
            if let Some(column) = table.column_mut(n) {
                column.set_constraint(least);
            }
        }
        table
    }

    fn end(&self, next: Value) -> anyhow::Result<()> {
        if self.json {
            say::line(format_args!("\n], \"next\": {next}}}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn later_pages_stand_below_the_first() {
        let columns = [("name", "/name"), ("n", "/n")];
        let mut printed = Printed::new(false, &columns);
        let first = printed.table(&[json!({"name": "a long name", "n": 1})]).to_string();
        printed.pages = 1;
        let second = printed.table(&[json!({"name": "short", "n": 2})]).to_string();
        let place = |text: &str, of: &str| text.lines().find_map(|line| line.find(of));
        assert_eq!(place(&first, "1"), place(&second, "2"), "{first}\n{second}");
        assert!(!second.contains("name"), "the head comes once: {second}");
    }
}
