//! Commands that ask a running service over HTTP: `explain`, `health`.

use super::sign_in::SignIn;
use anyhow::Context;
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;
use std::time::Duration;

/// How long the service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the service is.
#[derive(Debug, Args)]
pub struct At {
    /// The service's address
    #[arg(long, env = "TICKETGATE_URL", default_value = "http://127.0.0.1:8640")]
    url: String,
    #[command(flatten)]
    sign_in: SignIn,
}

impl At {
    /// Gets a path; the status and the body.
    async fn get(&self, path: &[&str]) -> anyhow::Result<(u16, Value)> {
        crate::backends::install_tls();
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let mut url = reqwest::Url::parse(&self.url).context("--url is not a URL")?;
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("--url cannot carry a path"))?
            .pop_if_empty()
            .extend(path);
        let answer = self
            .sign_in
            .put_into(client.get(url))?
            .send()
            .await
            .with_context(|| format!("no service answers at {} (--url)", self.url))?;
        let status = answer.status().as_u16();
        let body = answer.json().await.context("that is not a Ticketgate")?;
        Ok((status, body))
    }
}

/// Is it ready?
pub async fn health(at: At) -> anyhow::Result<bool> {
    let (status, body) = at.get(&["readyz"]).await?;
    println!("{body}");
    Ok(status == 200)
}

/// Why is there, or is there not, a ticket?
pub async fn explain(at: At, source: String, id: String, json: bool) -> anyhow::Result<bool> {
    let path = ["api", "v1", "alarms", source.as_str(), id.as_str(), "explain"];
    let (status, body) = at.get(&path).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&body)?);
        return Ok(status == 200);
    }
    if status != 200 {
        anyhow::bail!("{}", body["detail"].as_str().unwrap_or("the service answered oddly"));
    }
    println!("{source}/{id}: {}", body["verdict"].as_str().unwrap_or("-"));
    for occurrence in body["occurrences"].as_array().into_iter().flatten() {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["when", "of", "what", "why"]);
        for step in occurrence["steps"].as_array().into_iter().flatten() {
            table.add_row(
                ["at", "of", "what", "why"]
                    .map(|name| step[name].as_str().unwrap_or_default().to_owned()),
            );
        }
        println!("\noccurrence {}", occurrence["alarm"]["occurrence"]);
        println!("{table}");
    }
    Ok(true)
}
