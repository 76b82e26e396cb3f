//! The command line. Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 78 bad config.

mod alarm;
mod backend;
mod explain;
mod follow;
mod heartbeat;
mod history;
mod import;
mod offline;
mod pages;
mod parked;
mod people;
mod places;
mod progress;
mod reload;
mod remote;
mod sign_in;
mod sync;
mod ticket;
mod work;

pub(crate) use explain::in_words as explained;
pub(crate) use remote::client;

use crate::demo::DemoArgs;
use crate::simulate::cli::SimulateArgs;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIG: u8 = 78;

/// An actor-based message broker between alarm systems and ticketing systems.
#[derive(Debug, Parser)]
#[command(name = "ticketgate", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work: store, bus and three simulated ticketing systems in this one process
    Demo(DemoArgs),
    /// Run the service
    Serve {
        /// The config file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a config file, and reach the broker and every backend in it
    Check {
        /// The config file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Have the service read its config file anew: whole, or not at all
    Reload(reload::ReloadArgs),
    /// Ask a running service whether it is ready
    Health(remote::At),
    /// Why does this alarm have a ticket, or none?
    Explain {
        /// The alarm's source
        source: String,
        /// The alarm's id
        id: String,
        #[command(flatten)]
        at: remote::At,
    },
    /// Send and list alarms
    Alarm {
        #[command(subcommand)]
        command: alarm::AlarmCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Make, change, close, read and find tickets
    Ticket {
        #[command(subcommand)]
        command: ticket::TicketCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Take ticket clients for scripts
    Lock {
        #[command(subcommand)]
        command: people::LockCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Look at the ticket clients, and free them by force
    Client {
        #[command(subcommand)]
        command: people::ClientCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Look at the lanes to the backends; pause them, hold single tickets, let them go on
    Lane {
        #[command(subcommand)]
        command: work::LaneCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Look at requests: settle undecided ones, retry failed ones, cancel waiting ones
    Request {
        #[command(subcommand)]
        command: work::RequestCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Look at the backends, ask whether they answer, request new tokens
    Backend {
        #[command(subcommand)]
        command: backend::BackendCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Who did what, when and why
    Audit {
        #[command(subcommand)]
        command: backend::AuditCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Print what a shell needs to complete commands
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// The ticketing services of a backend, of which one is selected
    Service {
        #[command(subcommand)]
        command: places::ServiceCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Where final answers go that no command sends elsewhere
    Route {
        #[command(subcommand)]
        command: places::RouteCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// The newest calls to the backends, and what was said
    Communication {
        #[command(subcommand)]
        command: places::CommunicationCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// With whom tickets are kept in step
    Sync {
        #[command(subcommand)]
        command: sync::SyncCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Look at messages that could not be read; mend them, have them taken, let them go
    Parked {
        #[command(subcommand)]
        command: parked::ParkedCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Look at what has ended
    History {
        #[command(subcommand)]
        command: history::HistoryCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Put what has ended into its files
    Offload {
        #[command(subcommand)]
        command: history::OffloadCommand,
        #[command(flatten)]
        at: remote::At,
    },
    /// Print ticket events as they come
    Follow(follow::FollowArgs),
    /// Who beats, who is late, who is gone
    Heartbeat {
        #[command(subcommand)]
        what: HeartbeatCommand,
    },
    /// List the presets in the binary, or print one as the copy that you edit
    Presets {
        /// Which one
        name: Option<String>,
    },
    /// Run a simulated ticketing system with a ledger
    Simulate(SimulateArgs),
}

#[derive(Debug, Subcommand)]
enum HeartbeatCommand {
    /// Every origin that was heard or is expected
    List {
        #[command(flatten)]
        at: remote::At,
    },
}

/// Runs the command that was asked for.
pub fn run() -> ExitCode {
    let command = Cli::parse().command;
    let done = match command {
        Command::Demo(args) => on_actix(crate::demo::run(args)),
        Command::Serve { config } => match crate::config::load(&config) {
            Ok(loaded) => {
                let level = crate::telemetry::start(&loaded.config.log);
                on_actix(async move { crate::app::serve(&loaded, level).await.map(|()| true) })
            }
            Err(errors) => return bad_config(&errors),
        },
        Command::Check { config } => match crate::config::load(&config) {
            Ok(loaded) => on_actix(async move { offline::check(&config, &loaded).await }),
            Err(errors) => return bad_config(&errors),
        },
        Command::Reload(args) => on_actix(reload::reload(args)),
        Command::Health(at) => on_actix(explain::health(at)),
        Command::Explain { source, id, at } => on_actix(explain::explain(at, source, id)),
        Command::Alarm { command, at } => on_actix(alarm::run(at, command)),
        Command::Ticket { command, at } => on_actix(ticket::run(at, command)),
        Command::Lock { command, at } => on_actix(people::lock(at, command)),
        Command::Client { command, at } => on_actix(people::client(at, command)),
        Command::Lane { command, at } => on_actix(work::lane(at, command)),
        Command::Request { command, at } => on_actix(work::request(at, command)),
        Command::Backend { command, at } => on_actix(backend::backend(at, command)),
        Command::Audit { command, at } => on_actix(backend::audit(at, command)),
        Command::Completions { shell } => offline::completions(shell),
        Command::Service { command, at } => on_actix(places::service(at, command)),
        Command::Route { command, at } => on_actix(places::route(at, command)),
        Command::Communication { command, at } => on_actix(places::communication(at, command)),
        Command::Sync { command, at } => on_actix(sync::run(at, command)),
        Command::Parked { command, at } => on_actix(parked::parked(at, command)),
        Command::History { command, at } => on_actix(history::history(at, command)),
        Command::Offload { command, at } => on_actix(history::offload(at, command)),
        Command::Follow(args) => on_actix(follow::follow(args)),
        Command::Heartbeat { what: HeartbeatCommand::List { at } } => on_actix(heartbeat::list(at)),
        Command::Presets { name } => offline::presets(name.as_deref()),
        Command::Simulate(args) => on_actix(async move { args.run().await.map(|()| true) }),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            crate::say::aside(format_args!("ticketgate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn on_actix<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    actix::System::new().block_on(future)
}

fn bad_config(errors: &crate::config::ConfigErrors) -> ExitCode {
    crate::say::aside(errors);
    ExitCode::from(BAD_CONFIG)
}
