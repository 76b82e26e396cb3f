//! What somebody types who has just come: the README's quick start as it stands there, and the demo.

use crate::process::{self, Process, append_to, ticketgate};
use crate::rabbit::free_port;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const README: &str = include_str!("../../README.md");
/// The blocks of these sections are run; what comes after them needs a broker.
const SECTIONS: [&str; 2] = ["## Run it", "## Deploy it"];
const PATIENCE: Duration = Duration::from_secs(60);

/// The README's blocks for a shell, from `Run it` on; the one that installs is not run.
fn blocks() -> Vec<&'static str> {
    let from = README.find(SECTIONS[0]).expect("the section is there");
    let to = README.find(SECTIONS[1]).expect("the section is there");
    let mut blocks = Vec::new();
    let mut rest = &README[from..to];
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").expect("the block ends");
        blocks.push(block);
        rest = after;
    }
    blocks
}

/// A terminal in a folder of its own, with the binary on its path, and ports that nobody else has.
struct Terminal {
    folder: TempDir,
    service: u16,
    system: u16,
}

impl Terminal {
    fn run(&self, block: &str) -> Command {
        let block = block
            .replace("127.0.0.1:8640", &format!("127.0.0.1:{}", self.service))
            .replace("127.0.0.1:8700", &format!("127.0.0.1:{}", self.system));
        let lines = block.lines().filter(|line| !line.starts_with("cargo install"));
        let script: String = lines.map(|line| format!("{line}\n")).collect();
        let binary = Path::new(env!("CARGO_BIN_EXE_ticketgate"));
        let folder = binary.parent().expect("it is in a folder").to_str().expect("a plain name");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.args(["-e", "-c", &script]).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("PATH", format!("{folder}:{path}"));
        command.env("TICKETGATE_URL", format!("http://127.0.0.1:{}", self.service));
        command.env("TICKETGATE__HTTP__LISTEN", format!("127.0.0.1:{}", self.service));
        command
    }

    /// Runs a block to its end: what it said.
    fn says(&self, block: &str) -> String {
        let output = self.run(block).output().expect("bash starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complaint) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{block}\n--- said\n{said}\n--- complained\n{complaint}");
        said
    }

    async fn settled(&self) {
        let since = Instant::now();
        let url = format!("http://127.0.0.1:{}/metrics", self.service);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        loop {
            let answer = client.get(&url).send().await;
            let text = match answer {
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if text.lines().any(|line| line == "ticketgate_alarms_unsettled 0") {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "the service does not get on: {text}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_can_be_pasted_block_by_block() {
    ticketgate::backends::install_tls();
    let folder = TempDir::with_prefix("ticketgate-readme").expect("a folder");
    let terminal = Terminal { folder, service: free_port(), system: free_port() };
    let blocks = blocks();
    let place = |of: &str| {
        let place = blocks.iter().position(|block| block.contains(of));
        place.unwrap_or_else(|| panic!("no block has {of:?}"))
    };
    terminal.says(blocks[place("cat > ticketgate.toml")]);

    // The first terminal: what stays in it is ended by its own numbers.
    let service = blocks[place("ticketgate serve")];
    let (simulate, rest) = service.split_once(" &\n").expect("the system runs beside");
    let (check, serve) = rest.split_at(rest.find("ticketgate serve").expect("it is there"));
    let log = terminal.folder.path().join("log");
    let exec = |line: &str| {
        let mut command = terminal.run(&format!("exec {line}"));
        Process::start(command.stdout(append_to(&log)).stderr(append_to(&log)))
    };
    let system = exec(simulate);
    let since = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", terminal.system)).is_err() {
        assert!(since.elapsed() < PATIENCE, "the system does not start");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(terminal.says(check).contains("the file is right"));
    let running = exec(serve);
    terminal.settled().await;

    let mut said = String::new();
    for block in &blocks[place("curl -d")..] {
        // It would stay, and needs a port of its own.
        let block: String = block
            .lines()
            .filter(|line| !line.starts_with("ticketgate simulate"))
            .map(|line| format!("{line}\n"))
            .collect();
        said += &terminal.says(&block);
        terminal.settled().await;
    }
    for expected in [
        "probe/1: ",
        "backend id: CRM-3",
        "ticketgate.toml, where the service runs, says what is in force: nothing changes",
        "planned work",
        "1 tickets: would be: 1 registered",
        "request-tracker",
    ] {
        assert!(said.contains(expected), "{expected:?} was not said:\n{said}");
    }
    let linked = terminal.says("ticketgate explain probe 2");
    assert!(linked.contains("it has ticket CRM-1 at crm"), "{linked}");
    drop((running, system));
}

#[test]
fn the_demo_says_what_its_figures_mean_and_tells_one_story() {
    let demo = ["demo", "--alarms", "40", "--rate", "200", "--listen", "127.0.0.1:0"];
    let output = process::run(&demo);
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    for expected in [
        "tickets expected     ",
        "one an occurrence: some alarms were raised again",
        "writes that overtook one another",
        "Every alarm has exactly one ticket an occurrence.",
        "One of them, by `ticketgate explain ",
        ": it has ticket ",
    ] {
        assert!(said.contains(expected), "{expected:?} was not said:\n{said}");
    }
}

#[test]
fn a_demo_that_nobody_reads_ends() {
    let (reader, out) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut demo = ticketgate();
    demo.args(["demo", "--listen", "127.0.0.1:0"]).stdout(out);
    let output = demo.output().expect("the binary starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*complaint), (Some(0), ""));
}
