//! More and more backends, and more and more ticket clients: each time a fresh service does the work.

use super::Scale;
use super::figure::{Figure, Samples, Series};
use super::service::Service;
use super::work::work;
use crate::measure::in_turn;
use crate::process::mib;
use crate::stand::{self, Stand};
use anyhow::Context;

/// Backends where clients are what grows.
const BACKENDS: usize = 8;

/// All sizes of one of the two.
pub async fn run(
    stand: &Stand,
    scale: &Scale,
    series: Series,
    samples: &mut Samples,
) -> anyhow::Result<()> {
    let sizes = if series == Series::Backends { &scale.backends } else { &scale.clients };
    for round in 1..=scale.rounds {
        println!("round {round} of {}", scale.rounds);
        let _lock = scale.lock.as_deref().map(stand::locked).transpose()?;
        for size in in_turn(sizes, round) {
            let name = format!("{}{size}-{round}", series.name());
            let (backends, clients) = match series {
                Series::Backends => (size, String::new()),
                _ => (BACKENDS, format!("\n[clients]\nnumber = {size}\n")),
            };
            let service = Service::new(stand, &name, backends, clients).await?;
            let figures = one(service, scale.work).await.with_context(|| name)?;
            samples.add(series, size, round, &figures);
        }
    }
    Ok(())
}

async fn one(mut service: Service<'_>, alarms: usize) -> anyhow::Result<Vec<(Figure, f64)>> {
    let ready = service.start().await?;
    service.rests().await;
    let resting = mib(service.usage().resident);
    let backends = service.backends;
    // As many for each backend, so that all of them are equally long at work.
    let mut figures = work(&mut service, alarms.next_multiple_of(backends), 0..backends).await?;
    figures.extend([
        (Figure::RestingMib, resting),
        (Figure::PeakMib, mib(service.usage().peak)),
        (Figure::ReadyMs, ready.as_secs_f64() * 1_000.0),
    ]);
    service.close().await?;
    Ok(figures)
}
