//! The binary as a process: started, asked to end, killed; always by its own number.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// The binary under test.
pub fn ticketgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticketgate"));
    command.stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn run(args: &[&str]) -> Output {
    ticketgate().args(args).output().expect("the binary starts")
}

/// Appends what a program says to a file.
pub fn append_to(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("the file can be written")
}

/// A process that is killed when it is dropped.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// The process's pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Its memory that is in use, in bytes, as the kernel counts it.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.0.id());
        let status = std::fs::read_to_string(path).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("the kernel counts it") * 1024
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// It stands still until [`Self::thaw`].
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on, and does not know how long it stood still.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal} {}", self.0.id());
    }

    /// As if its machine had lost its power, but for the disk's cache.
    pub fn kill9(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().expect("the process was ours to wait for");
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("the process was ours to wait for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}
