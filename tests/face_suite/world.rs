//! A service with a simulated ticketing system, and what its users do.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::ops::Deref;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::app::{self, Service};
use ticketgate::simulate::rest::{self, Running};
use ticketgate::simulate::settings::RestSettings;
use ticketgate::{backends, config, telemetry::LogLevel};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// More than anything here should take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Who uses a service that listens there.
pub struct User {
    address: SocketAddr,
    client: reqwest::Client,
}

/// A service inside this process.
pub struct World {
    pub service: Service,
    user: User,
    /// The simulated ticketing system.
    pub systems: Running,
    /// What must outlive the service.
    _folder: TempDir,
}

impl Deref for World {
    type Target = User;
    fn deref(&self) -> &User {
        &self.user
    }
}

impl World {
    /// With more lines of config, which may begin sections.
    pub async fn with(more: &str) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), more).await
    }

    /// The same at an address that others know beforehand.
    pub async fn at(address: SocketAddr, more: &str) -> Self {
        backends::install_tls();
        let systems = rest::start(RestSettings::default()).unwrap();
        let folder = TempDir::with_prefix("ticketgate-face").unwrap();
        let text = config_text(&folder, &systems, address, more);
        let loaded = config::parse("test", &text, std::iter::empty()).unwrap();
        let service = app::start(&loaded, LogLevel::fixed()).await.unwrap();
        let user = User::of(service.address);
        Self { service, user, systems, _folder: folder }
    }
}

/// A service that is a process of its own, and can be killed.
pub struct Process {
    user: User,
    child: Child,
    systems: Running,
    folder: TempDir,
}

impl Deref for Process {
    type Target = User;
    fn deref(&self) -> &User {
        &self.user
    }
}

impl Process {
    pub async fn start() -> Self {
        backends::install_tls();
        let systems = rest::start(RestSettings::default()).unwrap();
        let folder = TempDir::with_prefix("ticketgate-face").unwrap();
        let address = free_address();
        let config = folder.path().join("ticketgate.toml");
        std::fs::write(config, config_text(&folder, &systems, address, "")).unwrap();
        let child = serve(&folder);
        let process = Self { user: User::of(address), child, systems, folder };
        process.ready().await;
        process
    }

    /// Kills it, and starts it again on the same store and port.
    pub async fn restart(mut self) -> Self {
        self.child.kill().await.unwrap();
        let child = serve(&self.folder);
        let Self { user, systems, folder, .. } = self;
        let process = Self { user, child, systems, folder };
        process.ready().await;
        process
    }

    async fn ready(&self) {
        let asked = async {
            while self.client.get(self.url("/readyz")).send().await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        soon("the service is ready", asked).await;
    }
}

fn serve(folder: &TempDir) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ticketgate"))
        .arg("serve")
        .arg("--config")
        .arg(folder.path().join("ticketgate.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

impl User {
    fn of(address: SocketAddr) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, client }
    }

    /// Asks, and gives the whole answer.
    pub async fn ask(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// A request that the caller completes.
    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(path))
    }

    /// The same with any method.
    pub fn send(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, self.url(path))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask(path).await.json().await.unwrap()
    }

    /// Raises an alarm of that source.
    pub async fn raise(&self, source: &str, id: &str) {
        let event = json!({
            "id": id, "source": source, "state": "raised", "severity": "major",
            "raised_at": "2026-11-21T10:00:00Z", "object": "tx/1",
        });
        let sent = self.client.post(self.url("/api/v1/alarms")).json(&event).send().await.unwrap();
        assert_eq!(sent.status(), 202);
    }

    /// Waits until an answer of the face is as it should be.
    pub async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if holds(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} did not become right: {answer}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Below the ports from which connections go out: a client that tries a dead one again and again
/// could end up connected to itself.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 6_000).unwrap();
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::SeqCst)) % 12_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn config_text(folder: &TempDir, systems: &Running, listen: SocketAddr, more: &str) -> String {
    format!(
        "node = \"n.1\"\n[store]\ndir = {:?}\n[http]\nlisten = \"{listen}\"\n\
         [policy]\ndefault_backend = \"crm\"\n{more}\n\
         [[backend]]\nid = \"crm\"\npreset = \"simulated-rest\"\nbase_url = \"{}\"\n",
        folder.path().join("data").display().to_string(),
        systems.url("crm"),
    )
}

/// Within the patience of the suite.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("this did not happen in time: {what}"),
    }
}
