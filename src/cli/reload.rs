//! `ticketgate reload`: the service reads its config file anew, whole or not at all.

use super::remote::{Ask, At};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    at: At,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Why; kept in the audit
    #[arg(long, required_unless_present = "dry_run", default_value = "")]
    reason: String,
}

/// Runs it.
pub async fn reload(args: ReloadArgs) -> anyhow::Result<bool> {
    let body = json!({ "dry_run": args.dry_run, "reason": args.reason });
    let answer = args.at.api(Ask::post(["config", "reload"], body)).await?;
    let dry_run = args.dry_run;
    args.at.show(&answer, |body| in_words(body, dry_run))
}

fn in_words(body: &Value, dry_run: bool) -> String {
    let changes = body["changes"].as_array().cloned().unwrap_or_default();
    if changes.is_empty() {
        let file = body["file"].as_str().unwrap_or("the file");
        return format!("{file}, where the service runs, says what is in force: nothing changes");
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["key", "from", "to"]);
    let text = |value: &Value| value.as_str().unwrap_or("not set").to_owned();
    for change in &changes {
        table.add_row([text(&change["key"]), text(&change["from"]), text(&change["to"])]);
    }
    let end = if dry_run { "nothing was changed" } else { "in force from now on" };
    format!("{table}\n{end}")
}
