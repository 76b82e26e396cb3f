//! The examples as processes, and what they said.

use crate::process::{Process, append_to};
use crate::world::World;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Clone, Copy, Debug)]
pub enum Language {
    Rust,
    Python,
}

/// A running example. Its output goes to files, so that nobody has to read along.
pub struct Example {
    process: std::sync::Mutex<Process>,
    said: PathBuf,
    complained: PathBuf,
}

impl Example {
    pub fn start(world: &World, language: Language, name: &str, url: &str, args: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let [said, complained] =
            ["out", "err"].map(|end| world.file(&format!("{number}-{name}.{end}")));
        let mut command = match language {
            Language::Rust => Command::new(built().join(name)),
            Language::Python => {
                // Debian's own, for which the packages are.
                let mut python = Command::new("/usr/bin/python3");
                let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python");
                python.arg(scripts.join(name).with_extension("py"));
                python.env("PYTHONDONTWRITEBYTECODE", "1");
                python
            }
        };
        command.args(args).env("AMQP_URL", url).stdin(Stdio::null());
        command.stdout(append_to(&said)).stderr(append_to(&complained));
        Self { process: Process::start(&mut command).into(), said, complained }
    }

    /// Waits for its end: the exit code, and its lines on stdout.
    pub async fn ends(&self, world: &World) -> (i32, Vec<String>) {
        let ended = async || self.process.lock().expect("nobody panics with it").ended();
        let status =
            world.until(&format!("{} ends: {}", self.said.display(), self.errors()), ended).await;
        let said = std::fs::read_to_string(&self.said).expect("it was written");
        eprintln!("--- {}: {status}\n{said}{}", self.said.display(), self.errors());
        (status.code().unwrap_or(-1), said.lines().map(str::to_owned).collect())
    }

    /// Waits for a line on stderr.
    pub async fn complains(&self, world: &World, with: &str) -> String {
        let find =
            async || self.errors().lines().find(|line| line.contains(with)).map(str::to_owned);
        world.until(&format!("{} says {with}", self.complained.display()), find).await
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(&self.complained).unwrap_or_default()
    }
}

/// The folder of the compiled examples. Cargo compiles them for a whole test run, but not for one
/// test binary alone.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let binary = Path::new(env!("CARGO_BIN_EXE_ticketgate"));
        let folder = binary.parent().expect("it is in a folder");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--examples"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().is_ok_and(|status| status.success()), "the examples do not compile");
        folder.join("examples")
    })
}
