//! `ticketgate demo`: the main job with nothing but this binary. Embedded store and bus, three
//! simulated ticketing systems (a fast, a slow, a flaky one), a believable stream of alarms, a
//! live view, and at the end the ledger's verdict: what the generator expected against what the
//! simulated systems, which know nothing of Ticketgate, say that they have.

mod generator;
mod story;
mod verdict;
mod view;

use crate::app::{self, Service};
use crate::backends;
use crate::config::{self, Loaded};
use crate::say;
use crate::simulate::faults::Faults;
use crate::simulate::rest::{self, Running};
use crate::simulate::settings::RestSettings;
use crate::telemetry::{self, LogLevel};
use clap::Args;
use generator::Generator;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::ports::{Delivery, Verdict};
use verdict::Verdict as Judgement;
use view::View;

/// After the last alarm everything must be settled within this time, doubts of the flaky system
/// included.
const SETTLE_WITHIN: Duration = Duration::from_secs(180);
/// How often the view is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Shows the main job at work.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// End after so many alarms, and exit non-zero if a ticket is missing or doubled; without it
    /// the stream goes on until Ctrl-C
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    alarms: Option<u64>,
    /// Alarms a second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
    /// Where to look at it; another port is taken if this one is in use
    #[arg(long, default_value = "127.0.0.1:8640")]
    listen: SocketAddr,
    /// Keep the data folder here instead of a temporary one
    #[arg(long)]
    data: Option<PathBuf>,
    /// Seed of the stream and of the faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show the service's log as well, at this level
    #[arg(long)]
    log: Option<String>,
}

/// The three simulated systems.
const SYSTEMS: [(&str, &str); 3] = [
    ("fast", "answers in 5 ms"),
    ("slow", "answers in 120 ms"),
    ("flaky", "loses answers after the ticket was made, is busy, fails"),
];

fn faults(name: &str) -> Faults {
    match name {
        "fast" => Faults { latency_ms: 5, ..Faults::default() },
        "slow" => Faults { latency_ms: 120, latency_jitter_ms: 40, ..Faults::default() },
        _ => Faults {
            latency_ms: 15,
            lost_answer_rate: 0.05,
            error_after_rate: 0.02,
            busy_rate: 0.05,
            index_lag_ms: 300,
            ..Faults::default()
        },
    }
}

/// Runs the demo; true: everything that was expected is there, exactly once.
pub async fn run(args: DemoArgs) -> anyhow::Result<bool> {
    let level = match &args.log {
        Some(level) => {
            telemetry::start(&config::Log { level: level.clone(), format: config::LogFormat::Text })
        }
        None => LogLevel::fixed(),
    };
    let folder = Folder::make(args.data.clone())?;
    let systems = rest::start(RestSettings { seed: args.seed, ..RestSettings::default() })?;
    for (name, _) in SYSTEMS {
        systems.ledger.set_faults(name, faults(name))?;
    }
    let service = start(&args, &folder, &systems, level).await?;
    say::line(introduction(&service))?;

    let mut generator = Generator::new(args.seed);
    let mut view = View::new(args.alarms, SYSTEMS.map(|(name, _)| name));
    let ended_by_itself = publish(&args, &service, &mut generator, &mut view).await?;
    if ended_by_itself {
        settle(&service, &generator, &mut view).await?;
    }
    view.finish();
    let judgement = Judgement::of(&generator, &systems.ledger, &service.cast.outside).await?;
    say::line(judgement.in_words(ended_by_itself))?;
    if let Some(story) = story::of_one(&service).await? {
        say::line(story)?;
    }
    let right = judgement.right() || !ended_by_itself;
    service.stop().await;
    systems.stop().await;
    Ok(right)
}

fn introduction(service: &Service) -> String {
    let mut text =
        "Ticketgate demo: embedded store, in-process bus, three simulated ticketing systems\n"
            .to_owned();
    for (name, what) in SYSTEMS {
        text += &format!("  {name:<6} {what}\n");
    }
    text + &format!("  look at it:  http://{}/\n", service.address)
}

/// The data folder: temporary, unless one was asked for.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn make(asked: Option<PathBuf>) -> anyhow::Result<Self> {
        match asked {
            Some(path) => Ok(Self { path, temporary: false }),
            None => {
                let name = format!("ticketgate-demo-{}", std::process::id());
                let path = std::env::temp_dir().join(name);
                std::fs::create_dir_all(&path)?;
                Ok(Self { path, temporary: true })
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // A folder that cannot be removed is left to the system's own cleaning of /tmp.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

async fn start(
    args: &DemoArgs,
    folder: &Folder,
    systems: &Running,
    level: LogLevel,
) -> anyhow::Result<Service> {
    let mut text = format!(
        "node = \"demo\"\n[store]\ndir = {:?}\n[http]\nlisten = \"{}\"\n",
        folder.path.display().to_string(),
        free_or_any(args.listen),
    );
    for (name, _) in SYSTEMS {
        text += &format!(
            "[[policy.rule]]\nname = \"{name}\"\nsource = \"{}\"\nbackend = \"{name}\"\n",
            generator::source_of(name),
        );
    }
    for (name, _) in SYSTEMS {
        text += &format!(
            "[[backend]]\nid = \"{name}\"\npreset = \"simulated-rest\"\nbase_url = \"{}\"\n\
             timeout = \"1s\"\nindex_lag = \"500ms\"\n",
            systems.url(name),
        );
    }
    let loaded: Loaded = config::parse("demo", &text, std::iter::empty())?;
    backends::install_tls();
    app::start(&loaded, level).await
}

/// The port that was asked for, or any free one if somebody has it.
fn free_or_any(listen: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(listen) {
        Ok(_) => listen,
        Err(_) => SocketAddr::new(listen.ip(), 0),
    }
}

/// Publishes the stream until it ends by itself (true), or nobody wants it any more.
async fn publish(
    args: &DemoArgs,
    service: &Service,
    generator: &mut Generator,
    view: &mut View,
) -> anyhow::Result<bool> {
    let bus = service.inproc.as_ref().expect("the demo configures no broker");
    let pause = Duration::from_secs_f64(1.0 / args.rate as f64);
    let mut ticks = tokio::time::interval(pause);
    let mut draws = tokio::time::interval(DRAW_EVERY);
    while args.alarms.is_none_or(|alarms| generator.alarms() < alarms) || generator.has_more() {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(false),
            _ = draws.tick() => {
                view.draw(&service.cast.outside, generator).await?;
                if view.is_alone() {
                    return Ok(false);
                }
            }
            _ = ticks.tick() => {
                let more = args.alarms.is_none_or(|alarms| generator.alarms() < alarms);
                for body in generator.next(more) {
                    let delivery = Delivery {
                        inlet: Arc::from("demo"),
                        body: body.into(),
                        content_type: Some("application/json".to_owned()),
                        message_id: None,
                        cloudevents_id: None,
                        cloudevents_source: None,
                        reply_to: None,
                        correlation_id: None,
                        dead_lettered: None,
                    };
                    let verdict = bus.publish_in(delivery).await;
                    anyhow::ensure!(verdict == Verdict::Settled, "an alarm was not accepted");
                }
            }
        }
    }
    Ok(true)
}

/// Waits until no alarm wants anything and every event is out.
async fn settle(service: &Service, generator: &Generator, view: &mut View) -> anyhow::Result<()> {
    let outside = &service.cast.outside;
    let settled = async {
        loop {
            view.draw(outside, generator).await?;
            let figures = outside.reads.figures().await?;
            if figures.unsettled_alarms == 0 && figures.unsent_events == 0 {
                return anyhow::Ok(());
            }
            tokio::time::sleep(DRAW_EVERY).await;
        }
    };
    match tokio::time::timeout(SETTLE_WITHIN, settled).await {
        Ok(result) => result,
        // Not an error here: the verdict tells what is missing.
        Err(_) => Ok(()),
    }
}
