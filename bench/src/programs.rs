//! The programs that are measured, and how each is started for one run.

use crate::broker;
use crate::process::Program;
use anyhow::{Context, ensure};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The bare loop: the yardstick.
    Bare,
    /// The same with an fsynced file.
    Journal,
    /// `ticketgate serve` with its defaults.
    Ticketgate,
    /// aio-pika and aiohttp.
    Python,
    /// A Celery application: a worker process a backend.
    Celery,
}

impl Kind {
    /// All, the yardstick first.
    pub const ALL: [Self; 5] =
        [Self::Bare, Self::Journal, Self::Ticketgate, Self::Python, Self::Celery];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Journal => "journal",
            Self::Ticketgate => "ticketgate",
            Self::Python => "python",
            Self::Celery => "celery",
        }
    }

    /// One of so many alarms is enough for what is so much slower.
    pub fn share(self) -> usize {
        match self {
            Self::Bare | Self::Journal | Self::Ticketgate => 1,
            Self::Python | Self::Celery => 4,
        }
    }

    /// Does it take its alarms from queues of its own, one a backend?
    pub fn has_own_queues(self) -> bool {
        self == Self::Celery
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where one run happens.
pub struct Place<'a> {
    /// A folder that is the run's own.
    pub folder: &'a Path,
    /// The broker.
    pub url: &'a str,
    /// In front of the run's names at the broker.
    pub prefix: &'a str,
    /// The backends' server.
    pub base: &'a str,
    /// How many backends.
    pub backends: usize,
    /// Where the service listens.
    pub port: u16,
    /// What the service is told besides: the end of its config.
    pub more: &'a str,
}

/// The programs' files.
pub struct Programs {
    /// The service's binary.
    pub ticketgate: PathBuf,
    /// The virtual environment's interpreter, where there is one.
    pub python: Option<PathBuf>,
}

impl Programs {
    /// Looks for the service; installs the Python programs' needs if one of them is wanted.
    pub fn find(
        ticketgate: Option<PathBuf>,
        folder: &Path,
        wanted: &mut Vec<Kind>,
    ) -> anyhow::Result<Self> {
        let beside = std::env::current_exe()?.with_file_name("ticketgate");
        let ticketgate = ticketgate.unwrap_or(beside);
        ensure!(
            ticketgate.exists() || !wanted.contains(&Kind::Ticketgate),
            "{} is not there: cargo build --release --bin ticketgate",
            ticketgate.display()
        );
        let needs_python = wanted.iter().any(|kind| matches!(kind, Kind::Python | Kind::Celery));
        let python = if needs_python { environment(folder) } else { Ok(PathBuf::new()) };
        let python = match python {
            Ok(python) => Some(python).filter(|_| needs_python),
            Err(error) => {
                println!("without python and celery, which cannot be installed here: {error:#}");
                wanted.retain(|kind| !matches!(kind, Kind::Python | Kind::Celery));
                None
            }
        };
        Ok(Self { ticketgate, python })
    }

    /// Starts one.
    pub fn start(&self, kind: Kind, place: &Place<'_>) -> anyhow::Result<Program> {
        let mut command = match kind {
            Kind::Bare | Kind::Journal => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["bare", "--url", place.url, "--prefix", place.prefix]);
                command.args(["--base", place.base, "--backends", &place.backends.to_string()]);
                if kind == Kind::Journal {
                    command.arg("--journal").arg(place.folder.join("journal"));
                }
                command
            }
            Kind::Ticketgate => {
                let config = place.folder.join("ticketgate.toml");
                std::fs::write(&config, config_of(place))?;
                let mut command = Command::new(&self.ticketgate);
                command.arg("serve").arg("--config").arg(config);
                command
            }
            Kind::Python => {
                let mut command = self.python("plain.py")?;
                command.arg(place.url).arg(broker::intake(place.prefix));
                command.args([&broker::tickets(place.prefix), place.base]);
                command
            }
            Kind::Celery => {
                let mut command = self.python("celery_workers.py")?;
                command.arg(place.url).arg(place.prefix);
                command.args([&broker::tickets(place.prefix), place.base]);
                command.arg(place.backends.to_string());
                command
            }
        };
        command.current_dir(place.folder);
        Program::start(&mut command, &place.folder.join("log"))
    }

    fn python(&self, program: &str) -> anyhow::Result<Command> {
        let python = self.python.as_ref().context("there is no Python environment")?;
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(program));
        Ok(command)
    }
}

/// Everything by default, but for what has no default: broker, backends, folder, port.
fn config_of(place: &Place<'_>) -> String {
    let (url, prefix, port) = (place.url, place.prefix, place.port);
    let mut config = format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\n\n[amqp]\nurl = \"{url}\"\nprefix = \"{prefix}\"\n\n\
         [policy]\ndefault_backend = \"b0\"\n"
    );
    for number in 0..place.backends {
        config += &format!(
            "\n[[backend]]\nid = \"b{number}\"\npreset = \"simulated-rest\"\n\
             base_url = \"{}/b{number}\"\n",
            place.base
        );
    }
    config + place.more
}

/// Makes the virtual environment, once.
fn environment(folder: &Path) -> anyhow::Result<PathBuf> {
    let home = folder.join("python");
    let python = home.join("bin/python");
    let has_all = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", "import aio_pika, aiohttp, celery"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if has_all(&python) {
        return Ok(python);
    }
    println!("making a Python environment in {}", home.display());
    let made = Command::new("python3").args(["-m", "venv"]).arg(&home).status();
    ensure!(made.context("python3")?.success(), "python3 -m venv failed");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install
        .args(["--requirement", concat!(env!("CARGO_MANIFEST_DIR"), "/python/requirements.txt")]);
    ensure!(install.status()?.success() && has_all(&python), "pip could not install them");
    Ok(python)
}
