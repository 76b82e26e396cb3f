//! The story of one alarm, as `ticketgate explain` tells it: that whose ticket was the hardest to make.

use crate::app::Service;
use crate::cli;
use anyhow::Context;
use serde_json::Value;
use ticketgate_actors::model::{MadeBy, Op, Request, State};
use ticketgate_actors::ports::{Page, RequestFilter};

/// Of so many of the newest requests one is chosen.
const LOOKED_AT: u32 = 500;

/// The story; none: no ticket was made for an alarm.
pub async fn of_one(service: &Service) -> anyhow::Result<Option<String>> {
    let page = Page { before: None, after: None, limit: LOOKED_AT };
    let requests = service.cast.outside.reads.requests(RequestFilter::default(), page).await?;
    let creates = requests.iter().filter(|request| request.op == Op::Create);
    // One whose answer was lost, and that was found, before one that was only refused for a while.
    let hardest =
        |request: &&Request| (request.state == State::Adopted, request.story.steps().len());
    let Some(create) = creates.max_by_key(hardest) else { return Ok(None) };
    let MadeBy::Level { at, .. } = &create.made_by else { return Ok(None) };
    let alarm = &at.alarm;
    // Over HTTP, as the command asks: what is shown here is what it shows.
    let mut url = reqwest::Url::parse(&format!("http://{}", service.address))?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(["api", "v1", "alarms", &alarm.source, &alarm.id, "explain"]);
    }
    let asked = cli::client().build()?.get(url).send().await;
    let told: Value = asked.context("the demo's own service does not answer")?.json().await?;
    let (source, id, told) = (&alarm.source, &alarm.id, cli::explained(&told));
    Ok(Some(format!("\nOne of them, by `ticketgate explain {source} {id}` while it runs:\n{told}")))
}
