//! A private RabbitMQ node for tests: own ports, own data, loopback only, gone with its value.
//!
//! Needs `rabbitmq-server` (Debian's package of that name). Every port is below 32768: a client
//! that keeps trying a dead port above it can end up connected to itself and keep the server from
//! coming back. Processes are ended by their process group, never by name: other nodes may be at
//! work on the same machine.
#![allow(dead_code, reason = "each test binary uses its own part")]

use lapin::{Connection, ConnectionProperties};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

/// From start to the first answered handshake; 5 s on an idle machine.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);
/// How old the numbers of [`Rabbit::queues`] are at most.
pub const TICK: Duration = Duration::from_millis(200);
/// Ports that are tried: below the kernel's own, above what is commonly taken.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A node. Made stopped; killed when dropped.
pub struct Rabbit {
    home: TempDir,
    name: String,
    port: u16,
    dist_port: u16,
    epmd_port: u16,
    epmd: Child,
    server: Option<Child>,
}

impl Rabbit {
    /// One node for all tests of a binary, each with a prefix of its own. Started by the first of
    /// them; it ends with the process, however that ends, since nobody drops a static.
    pub async fn shared() -> &'static Self {
        static NODE: OnceCell<Rabbit> = OnceCell::const_new();
        let start = || async {
            let node = Self::started().await;
            node.end_with_this_process();
            node
        };
        NODE.get_or_init(start).await
    }

    /// Everything but the node itself.
    pub fn prepared() -> Self {
        Self::prepared_with("", &[])
    }

    /// Like [`Self::prepared`], with more lines in its config, and plug-ins.
    pub fn prepared_with(more: &str, plugins: &[&str]) -> Self {
        let home = TempDir::with_prefix("ticketgate-rabbit").expect("a folder for the node");
        let [port, dist_port, epmd_port] = [(); 3].map(|()| free_port());
        let plugins = format!("[{}].", plugins.join(","));
        std::fs::write(home.path().join("plugins"), plugins).expect("the list of plug-ins");
        let conf =
            format!("listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 50MB\n{more}");
        std::fs::write(home.path().join("rabbitmq.conf"), conf).expect("the node's config");
        // Quorum queues count their messages at every tick; by default that is every 5 s.
        let tick = format!("[{{rabbit, [{{quorum_tick_interval, {}}}]}}].", TICK.as_millis());
        std::fs::write(home.path().join("advanced.config"), tick).expect("the node's ticks");
        // Our own, or the node would start one that outlives it.
        let epmd = Command::new("epmd")
            .args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd must be installed: apt-get install rabbitmq-server");
        let name = format!("tg{port}@localhost");
        Self { home, name, port, dist_port, epmd_port, epmd, server: None }
    }

    /// A node that answers.
    pub async fn started() -> Self {
        let mut node = Self::prepared();
        node.start().await;
        node
    }

    /// Starts the node, with the data that it had before, and waits until it answers.
    pub async fn start(&mut self) {
        assert!(self.server.is_none(), "the node runs already");
        let log = File::create(self.home.path().join("console.log")).expect("the node's console");
        let mut server = self.tool("rabbitmq-server");
        server.stdin(Stdio::null()).stdout(log.try_clone().expect("one more handle")).stderr(log);
        // A group of its own, so that the virtual machine behind the script is killed with it.
        self.server = Some(server.process_group(0).spawn().expect("rabbitmq-server starts"));
        let deadline = Instant::now() + BOOT_TIMEOUT;
        while !self.answers().await {
            assert!(Instant::now() < deadline, "the node does not come up:\n{}", self.console());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// As if the machine had lost its power.
    pub fn kill9(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        signal("-KILL", server.id());
        server.wait().expect("the node was ours to wait for");
    }

    /// Kills the node and starts it again.
    pub async fn restart(&mut self) {
        self.kill9();
        self.start().await;
    }

    /// The node stands still, with its sockets open, until [`Self::thaw`].
    pub fn freeze(&self) {
        signal("-STOP", self.server.as_ref().expect("the node runs").id());
    }

    /// The node goes on.
    pub fn thaw(&self) {
        signal("-CONT", self.server.as_ref().expect("the node runs").id());
    }

    /// Where the node is.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Runs `rabbitmqctl` for this node; its output.
    pub async fn ctl(&self, args: &[&str]) -> String {
        let mut command = self.tool("rabbitmqctl");
        command.arg("--quiet").args(args).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("the thread does not panic")
            .expect("rabbitmqctl starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {args:?}: {text}{error}");
        text
    }

    /// Each queue with its ready and its unacknowledged messages, as of the last [`TICK`].
    pub async fn queues(&self) -> Vec<(String, u64, u64)> {
        let columns = ["name", "messages_ready", "messages_unacknowledged"];
        let args = [&["list_queues", "--no-table-headers"][..], &columns].concat();
        let listed = self.ctl(&args).await;
        let row = |line: &str| {
            let mut columns = line.split('\t');
            let name = columns.next()?.to_owned();
            Some((name, columns.next()?.parse().ok()?, columns.next()?.parse().ok()?))
        };
        listed.lines().filter_map(row).collect()
    }

    /// The broker ends every connection, as an operator would.
    pub async fn close_all_connections(&self) {
        self.ctl(&["close_all_connections", "a test"]).await;
    }

    /// A shell that waits for the end of its input, which comes when this process is gone.
    fn end_with_this_process(&self) {
        let group = self.server.as_ref().expect("the node runs").id();
        let script = "cat; kill -s KILL -- -$0 $1; rm -rf -- \"$2\"";
        let mut guard = Command::new("sh");
        guard.args(["-c", script, &group.to_string(), &self.epmd.id().to_string()]);
        guard.arg(self.home.path()).stdin(Stdio::piped());
        guard.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        // Never dropped: its end of the pipe is closed by the kernel.
        std::mem::forget(guard.spawn().expect("sh starts").stdin);
    }

    async fn answers(&self) -> bool {
        let url = self.url();
        let connecting = Connection::connect(&url, ConnectionProperties::default());
        match tokio::time::timeout(Duration::from_secs(5), connecting).await {
            Ok(Ok(connection)) => connection.close(200, "here".into()).await.is_ok(),
            _ => false,
        }
    }

    fn tool(&self, tool: &str) -> Command {
        let home = self.home.path();
        let mut command = Command::new(installed(tool));
        command
            .current_dir(home)
            .env("HOME", home)
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", home.join("none"))
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", home.join("advanced.config"))
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            );
        command
    }

    fn console(&self) -> String {
        std::fs::read_to_string(self.home.path().join("console.log")).unwrap_or_default()
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.kill9();
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

/// The tool itself: Debian's wrapper in `/usr/sbin` changes user and folder.
fn installed(tool: &str) -> PathBuf {
    let itself = Path::new("/usr/lib/rabbitmq/bin").join(tool);
    if itself.exists() {
        return itself;
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&paths).map(|path| path.join(tool)).find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!("{tool} is not installed; these tests need it: apt-get install rabbitmq-server")
    })
}

/// Sends a signal to a whole process group, by its number.
fn signal(signal: &str, group: u32) {
    let sent = Command::new("kill").args([signal, "--", &format!("-{group}")]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill {signal} -{group}");
}

/// Begins at a place of its own for every process, so that tests beside each other do not meet.
pub fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start))
        .expect("it is less than the number of ports");
    for _ in PORTS {
        let step = TRIED.fetch_add(1, Ordering::Relaxed).wrapping_add(first.wrapping_mul(7));
        let port = PORTS.start + step % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {PORTS:?} is free");
}
