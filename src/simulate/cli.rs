//! The flags of `ticketgate simulate`.
//!
//! What always holds: a flag left out means the default of `RestSettings` and `Faults`; durations
//! are words.
//!
//! What it leaves to others: running it (`rest`).

use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use secrecy::SecretString;

use super::callbacks::CallbackSettings;
use super::dataminer::{self, ElementFaults, ElementSettings, Encoding};
use super::faults::Faults;
use super::rest;
use super::settings::{RestSettings, System, duration_in_words};

/// Runs a simulated system, for demonstrations and tests.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// The system to simulate
    #[arg(value_enum)]
    pub system: Simulated,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8700")]
    pub listen: SocketAddr,
    /// The only backends there are, separated by commas; without it, any name is one
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub backends: Vec<String>,
    /// Ticket calls must bring this secret, in the way of the system: a bearer token, a key, a password
    #[arg(long, value_parser = secret)]
    pub token: Option<SecretString>,
    /// Seeds the dice of the faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The number of each backend's first ticket: give another one at each start on which somebody
    /// still remembers the tickets of the last
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..1 << 53))]
    pub first_number: u64,
    /// Where a system that answers writes later (telenet-osb) calls back, such as
    /// http://127.0.0.1:8640/callbacks/{backend}; {backend} is its name here. Without it, what is taken is
    /// done at once and never confirmed
    #[arg(long, value_name = "URL")]
    pub callback_url: Option<String>,
    /// The bearer token that a callback brings
    #[arg(long, value_parser = secret, requires = "callback_url")]
    pub callback_token: Option<SecretString>,
    /// What goes wrong
    #[command(flatten)]
    pub faults: FaultArgs,
    /// How an element is
    #[command(flatten)]
    pub element: ElementArgs,
}

/// What can be simulated: a system that is called, or one that comes to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simulated {
    /// A ticketing system.
    Tickets(System),
    /// A DataMiner element.
    Dataminer,
}

impl ValueEnum for Simulated {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Tickets(System::Rest),
            Self::Tickets(System::Usms),
            Self::Tickets(System::TelenetOsb),
            Self::Tickets(System::Oceane),
            Self::Tickets(System::RequestTracker),
            Self::Tickets(System::Redmine),
            Self::Tickets(System::Tixngo),
            Self::Tickets(System::S360),
            Self::Dataminer,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Tickets(system) => system.to_possible_value(),
            Self::Dataminer => Some(PossibleValue::new("dataminer").help(
                "A DataMiner element: sync messages over RabbitMQ, people at `/NAME/tickets`",
            )),
        }
    }
}

/// What only an element has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Of an element (dataminer)")]
pub struct ElementArgs {
    /// The broker, with user and password
    #[arg(
        long,
        env = "AMQP_URL",
        hide_env_values = true,
        value_parser = secret,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f",
        value_name = "URL"
    )]
    pub amqp_url: SecretString,
    /// The exchange of sync messages
    #[arg(long, default_value = "ticketgate.sync", value_name = "NAME")]
    pub exchange: String,
    /// The backend that it is to the gateway
    #[arg(long, default_value = "dataminer", value_name = "ID")]
    pub backend: String,
    /// Its own name, AGENT/ELEMENT: its tickets' ids begin with the agent
    #[arg(long, default_value = "1/1", value_name = "NAME")]
    pub element: String,
    /// From one pass to the next
    #[arg(long, value_parser = duration_in_words, default_value = "10s", value_name = "DURATION")]
    pub every: Duration,
    /// Every so many passes name all tickets; 0: none does
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    pub complete_every: u64,
    /// How its messages are written
    #[arg(long, value_enum, default_value_t = Encoding::Msgpack)]
    pub encoding: Encoding,
    /// A page is sent twice
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub doubled_rate: f64,
    /// Two pages are sent in the wrong order
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub reordered_rate: f64,
}

/// The faults as flags; see `Faults` for what each one does.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Faults (rates are from 0 to 1)")]
pub struct FaultArgs {
    /// Every answer takes this long
    #[arg(long, value_parser = duration_in_words, default_value = "0ms", value_name = "DURATION")]
    pub latency: Duration,
    /// Up to this much is added to the latency
    #[arg(long, value_parser = duration_in_words, default_value = "0ms", value_name = "DURATION")]
    pub latency_jitter: Duration,
    /// 503 `busy`, nothing done
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub busy_rate: f64,
    /// 429, nothing done
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub too_many_rate: f64,
    /// 500, nothing done
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub error_before_rate: f64,
    /// 200 with an HTML page, nothing done
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub html_rate: f64,
    /// 500 or 504 after the write was done
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub error_after_rate: f64,
    /// The write is done, the connection closed without an answer
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub lost_answer_rate: f64,
    /// The write is done, there is no answer
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub hang_rate: f64,
    /// No answer, and the write is done only after `--late-apply`
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub late_apply_rate: f64,
    /// How late a late write is
    #[arg(long, value_parser = duration_in_words, default_value = "5s", value_name = "DURATION")]
    pub late_apply: Duration,
    /// A search finds a ticket only this long after it was made
    #[arg(long, value_parser = duration_in_words, default_value = "0ms", value_name = "DURATION")]
    pub index_lag: Duration,
    /// Connections are closed at once
    #[arg(long)]
    pub down: bool,
    /// Every call is answered 401
    #[arg(long)]
    pub unauthorised: bool,
    /// Tickets whose summary contains this are refused
    #[arg(long, value_name = "TEXT")]
    pub reject_summary_containing: Option<String>,
    /// Honour the header `Idempotency-Key`
    #[arg(long)]
    pub idempotent: bool,
    /// Faults after the work hit reads as well
    #[arg(long)]
    pub reads_too: bool,
    /// What is taken, to be answered later, is done and told only after this
    #[arg(long, value_parser = duration_in_words, default_value = "0ms", value_name = "DURATION")]
    pub callback_delay: Duration,
    /// What is taken is done and never told
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub no_callback_rate: f64,
    /// The callback comes twice
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub double_callback_rate: f64,
    /// What is taken is refused after all
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub nack_callback_rate: f64,
    /// The clock goes wrong by so much, such as 10m, or -10m for one that is behind
    #[arg(long, value_parser = offset_in_words, default_value = "0s", value_name = "DURATION", allow_hyphen_values = true)]
    pub clock_offset: jiff::SignedDuration,
    /// A feed takes none of its cursors back
    #[arg(long)]
    pub cursor_refused: bool,
    /// At most so many faults by rate, for each backend
    #[arg(long, value_name = "COUNT")]
    pub at_most: Option<u64>,
}

impl SimulateArgs {
    /// Simulates until the process is asked to end.
    ///
    /// # Errors
    /// When the flags make no sense together, or the address cannot be bound.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.system {
            Simulated::Tickets(system) => rest::run_forever(self.into_rest_settings(system)).await,
            Simulated::Dataminer => dataminer::run_forever(self.into_element_settings()).await,
        }
    }

    fn into_element_settings(self) -> ElementSettings {
        let ElementArgs { amqp_url, exchange, backend, element, every, .. } = self.element;
        ElementSettings {
            listen: self.listen,
            amqp_url,
            exchange,
            backend,
            element,
            every,
            complete_every: self.element.complete_every,
            encoding: self.element.encoding,
            faults: ElementFaults {
                clock_offset_ms: offset_ms(self.faults.clock_offset),
                doubled_rate: self.element.doubled_rate,
                reordered_rate: self.element.reordered_rate,
                lost_answer_rate: self.faults.lost_answer_rate,
                silent: self.faults.down,
            },
            seed: self.seed,
        }
    }

    fn into_rest_settings(self, system: System) -> RestSettings {
        RestSettings {
            system,
            listen: self.listen,
            backends: self.backends,
            token: self.token,
            callbacks: self
                .callback_url
                .map(|url| CallbackSettings { url, token: self.callback_token }),
            faults: self.faults.into_faults(),
            seed: self.seed,
            first_number: self.first_number,
            ..RestSettings::default()
        }
    }
}

impl FaultArgs {
    fn into_faults(self) -> Faults {
        Faults {
            latency_ms: milliseconds(self.latency),
            latency_jitter_ms: milliseconds(self.latency_jitter),
            busy_rate: self.busy_rate,
            too_many_rate: self.too_many_rate,
            error_before_rate: self.error_before_rate,
            html_rate: self.html_rate,
            error_after_rate: self.error_after_rate,
            lost_answer_rate: self.lost_answer_rate,
            hang_rate: self.hang_rate,
            late_apply_rate: self.late_apply_rate,
            late_apply_ms: milliseconds(self.late_apply),
            index_lag_ms: milliseconds(self.index_lag),
            down: self.down,
            unauthorised: self.unauthorised,
            reject_summary_containing: self.reject_summary_containing,
            idempotent: self.idempotent,
            reads_too: self.reads_too,
            callback_delay_ms: milliseconds(self.callback_delay),
            no_callback_rate: self.no_callback_rate,
            double_callback_rate: self.double_callback_rate,
            nack_callback_rate: self.nack_callback_rate,
            clock_offset_ms: offset_ms(self.clock_offset),
            cursor_refused: self.cursor_refused,
            at_most: self.at_most,
        }
    }
}

fn offset_in_words(text: &str) -> Result<jiff::SignedDuration, String> {
    text.parse().map_err(|error| format!("{error}; write it like 10m or -10m"))
}

fn offset_ms(offset: jiff::SignedDuration) -> i64 {
    i64::try_from(offset.as_millis()).unwrap_or(i64::MAX)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        simulate: SimulateArgs,
    }

    fn parse(flags: &[&str]) -> Result<RestSettings, clap::Error> {
        let cli = Cli::try_parse_from([&["simulate"], flags].concat())?;
        match cli.simulate.system {
            Simulated::Tickets(system) => Ok(cli.simulate.into_rest_settings(system)),
            Simulated::Dataminer => panic!("{flags:?} simulate an element"),
        }
    }

    #[test]
    fn an_unknown_system_is_an_error_that_lists_the_systems() {
        let error = parse(&["corba"]).unwrap_err().to_string();
        assert!(error.contains("'corba'") && error.contains("rest"), "{error}");
    }

    #[test]
    fn every_system_can_be_named_and_an_element_too() {
        for system in System::value_variants() {
            assert!(
                Simulated::value_variants().contains(&Simulated::Tickets(*system)),
                "{system:?}"
            );
        }
        let flags = [
            "simulate",
            "dataminer",
            "--amqp-url",
            "amqp://u:p@broker",
            "--backend",
            "dm",
            "--element",
            "7/42",
            "--every",
            "2s",
            "--clock-offset",
            "-10m",
            "--doubled-rate",
            "0.5",
            "--encoding",
            "json",
        ];
        let element = Cli::try_parse_from(flags).unwrap().simulate.into_element_settings();
        assert_eq!((element.backend.as_str(), element.element.as_str()), ("dm", "7/42"));
        assert_eq!((element.every, element.complete_every), (Duration::from_secs(2), 10));
        assert_eq!((element.faults.clock_offset_ms, element.faults.doubled_rate), (-600_000, 0.5));
        assert_eq!(element.encoding, Encoding::Json);
        assert!(!format!("{element:?}").contains("u:p"));
    }

    #[test]
    fn without_flags_nothing_goes_wrong() {
        let settings = parse(&["rest"]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8700");
        assert!(settings.backends.is_empty());
        // The lateness alone does nothing: its rate is 0.
        let faults = Faults { late_apply_ms: 5_000, ..Faults::default() };
        assert_eq!(settings.faults, faults);
    }

    #[test]
    fn flags_become_settings() {
        let settings = parse(&[
            "rest",
            "--latency",
            "20ms",
            "--backends",
            "a,b",
            "--lost-answer-rate",
            "0.1",
            "--index-lag",
            "2s",
            "--token",
            "T",
            "--seed",
            "9",
            "--first-number",
            "700",
            "--at-most",
            "3",
        ])
        .unwrap();
        assert_eq!(settings.backends, ["a", "b"]);
        assert_eq!((settings.seed, settings.first_number), (9, 700));
        assert!(settings.token.is_some());
        let faults = &settings.faults;
        assert_eq!((faults.latency_ms, faults.index_lag_ms, faults.at_most), (20, 2_000, Some(3)));
        assert_eq!(faults.lost_answer_rate, 0.1);
    }
}
