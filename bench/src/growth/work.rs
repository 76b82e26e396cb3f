//! The measured work, which is the same beside everything that grows: alarms come at once for a service
//! that runs and rests, and get their tickets from backends that answer at once.

use super::figure::Figure;
use super::service::Service;
use crate::listener::Listener;
use crate::process::between;
use anyhow::ensure;
use std::ops::Range;
use std::time::Duration;
use tokio::time::sleep;

/// Work that is not over by then has failed.
const PATIENCE: Duration = Duration::from_secs(300);
/// After the last ticket, for one too many.
const ONE_TOO_MANY: Duration = Duration::from_millis(200);

/// Does it; tickets a second, and CPU from the first alarm until shortly after the last event.
pub async fn work(
    service: &mut Service<'_>,
    alarms: usize,
    backends: Range<usize>,
) -> anyhow::Result<Vec<(Figure, f64)>> {
    service.stand.reset(Duration::ZERO).await?;
    let listener = Listener::start(service.url(), &service.prefix, false).await?;
    service.rests().await;
    let before = service.usage();
    service.send(alarms, backends).await?;
    let whole = listener.hears(alarms as u64, PATIENCE).await;
    let (heard, last_us) = listener.heard();
    let stats = service.stand.stats().await?;
    ensure!(
        whole,
        "{heard} of {alarms} tickets, {} calls; it said: {}",
        stats.calls,
        service.last_words()
    );
    // What is left: acknowledged events are marked, and so on.
    sleep(ONE_TOO_MANY).await;
    let after = service.usage();
    let heard = listener.heard().0;
    ensure!(heard == alarms as u64, "{heard} tickets for {alarms} alarms");
    service.stand.stats().await?.check(alarms)?;
    let seconds = last_us.saturating_sub(stats.first_call_us) as f64 / 1e6;
    Ok(vec![
        (Figure::PerSecond, alarms as f64 / seconds),
        (Figure::CpuPer1000, between(before, after) / (alarms as f64 / 1_000.0)),
    ])
}
