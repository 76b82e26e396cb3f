//! The service and everything around it: its config and data folder, simulated ticketing systems,
//! and where its broker is.
//!
//! What goes wrong is told with the service's log, the ledger, and why the first alarm without its
//! ticket has none; then the folder with the logs and the store stays.

use crate::process::{Process, append_to, ticketgate};
use crate::rabbit::free_port;
use reqwest::{Client, Method};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::simulate::faults::Faults;
use ticketgate::simulate::ledger::Ledger;
use ticketgate::simulate::rest::{self, Running};
use ticketgate::simulate::settings::RestSettings;
use tokio::time::{Instant, sleep};

/// Whatever is waited for has come by then, on a machine that is busy with other tests too.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Lines of a log that are shown when something went wrong.
const TAIL: usize = 60;

/// What a world is made of.
#[derive(Default)]
pub struct Setting {
    /// The broker's URL, and the prefix of this world's queues there.
    pub broker: Option<(String, String)>,
    /// More lines of its `[amqp]`.
    pub amqp: &'static str,
    /// The ticketing systems: id, what goes wrong with it, more lines of its `[[backend]]`.
    pub backends: Vec<(&'static str, Faults, &'static str)>,
    /// The rest of the config.
    pub config: String,
    /// Do not start the ticketing systems yet.
    pub systems_are_away: bool,
}

/// A service, from outside.
pub struct World {
    home: TempDir,
    port: u16,
    broker: Option<(String, String)>,
    systems_at: SocketAddr,
    systems: Mutex<Option<Running>>,
    faults: Vec<(&'static str, Faults)>,
    service: Option<Process>,
    http: Client,
}

impl World {
    /// A world whose service answers.
    pub async fn started(setting: Setting) -> Self {
        let mut world = Self::prepared(setting).await;
        world.start().await;
        world
    }

    /// Everything but the service itself.
    pub async fn prepared(setting: Setting) -> Self {
        ticketgate::backends::install_tls();
        let home = TempDir::with_prefix("ticketgate-world").expect("a folder for the world");
        let systems_at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let world = Self {
            port: free_port(),
            broker: setting.broker.clone(),
            systems_at,
            systems: Mutex::default(),
            faults: setting.backends.iter().map(|(id, faults, _)| (*id, faults.clone())).collect(),
            service: None,
            http: Client::builder().no_proxy().build().expect("a client"),
            home,
        };
        std::fs::write(world.config_file(), world.config(&setting)).expect("the config");
        if !setting.systems_are_away {
            world.start_systems();
        }
        world
    }

    fn config(&self, setting: &Setting) -> String {
        let data = self.home.path().join("data");
        let mut text = format!("[store]\ndir = {data:?}\n[http]\nlisten = \"{}\"\n", self.at());
        if let Some((url, prefix)) = &self.broker {
            let more = setting.amqp;
            let amqp = format!("[amqp]\nurl = {url:?}\nprefix = {prefix:?}\n{more}\n");
            text.push_str(&amqp);
        }
        text.push_str(&setting.config);
        for (id, _, more) in &setting.backends {
            let url = self.system(id);
            let head = format!("id = {id:?}\npreset = \"simulated-rest\"\nbase_url = {url:?}");
            write!(text, "\n[[backend]]\n{head}\n{more}\n").expect("text grows");
        }
        text
    }

    /// Where the service listens.
    pub fn at(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// For `--url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.at())
    }

    /// The config file.
    pub fn config_file(&self) -> PathBuf {
        self.home.path().join("ticketgate.toml")
    }

    /// Changes the config file for the next start.
    pub fn change_config(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config_file()).expect("the config");
        assert!(text.contains(from), "{from:?} is not in the config:\n{text}");
        std::fs::write(self.config_file(), text.replace(from, to)).expect("the config");
    }

    /// A place for files of this world's programs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The broker's URL and this world's prefix there.
    pub fn broker(&self) -> (&str, &str) {
        let (url, prefix) = self.broker.as_ref().expect("this world has a broker");
        (url, prefix)
    }

    /// Starts the ticketing systems.
    pub fn start_systems(&self) {
        let settings = RestSettings { listen: self.systems_at, ..RestSettings::default() };
        let systems = rest::start(settings).expect("the simulated systems start");
        for (id, faults) in &self.faults {
            systems.ledger.set_faults(id, faults.clone()).expect("the faults make sense");
        }
        *self.systems.lock().expect("nobody panics with it") = Some(systems);
    }

    /// The ticketing systems' own ledger.
    pub fn ledger(&self) -> Ledger {
        let systems = self.systems.lock().expect("nobody panics with it");
        systems.as_ref().expect("the systems were started").ledger.clone()
    }

    /// Where a ticketing system is, for its own users.
    pub fn system(&self, id: &str) -> String {
        format!("http://{}/{id}", self.systems_at)
    }

    /// Starts the service on the data that there are, and waits until it answers.
    pub async fn start(&mut self) {
        assert!(self.service.is_none(), "the service runs already");
        let log = append_to(&self.file("service.log"));
        let mut command = ticketgate();
        command.arg("serve").arg("--config").arg(self.config_file());
        command.stdout(log.try_clone().expect("one more handle")).stderr(log);
        self.service = Some(Process::start(&mut command));
        let deadline = Instant::now() + PATIENCE;
        while self.try_get("/healthz").await.is_none() {
            let ended = self.service.as_mut().and_then(Process::ended);
            assert!(ended.is_none(), "the service ended at its start: {ended:?}");
            assert!(Instant::now() < deadline, "the service does not answer");
            sleep(LOOK_EVERY).await;
        }
    }

    /// `kill -9` of the service.
    pub fn kill9(&mut self) {
        self.service.take().expect("the service runs").kill9();
    }

    /// The service's memory that is in use, in bytes.
    pub fn memory(&self) -> u64 {
        self.service.as_ref().expect("the service runs").memory()
    }

    /// The service stands still, as if its machine did.
    pub fn freeze(&self) {
        self.service.as_ref().expect("the service runs").freeze();
    }

    /// The service goes on.
    pub fn thaw(&self) {
        self.service.as_ref().expect("the service runs").thaw();
    }

    /// The service has ended by itself; it can be started again then.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.service.as_mut().is_some_and(|service| service.ended().is_some());
        if ended {
            self.service = None;
        }
        ended
    }

    /// SIGTERM, and how the service ended.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut service = self.service.take().expect("the service runs");
        service.terminate();
        self.until("the service has ended", async || service.ended()).await
    }

    /// Looks until there is something to see.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(Instant::now() < deadline, "it did not come to be that {what}");
            sleep(LOOK_EVERY).await;
        }
    }

    async fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.http.get(self.url() + path).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// GET: the status and the text.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.try_get(path).await;
        answer.unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    /// GET of something that is there.
    pub async fn look(&self, path: &str) -> Value {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "GET {path}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("GET {path}: {error}: {text}"))
    }

    /// All items of a list, over its pages.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut before = String::new();
        loop {
            let page = self.look(&format!("{path}?limit=500{before}")).await;
            items.extend(page["items"].as_array().expect("a list").iter().cloned());
            match page["next"].as_u64() {
                Some(next) => before = format!("&before={next}"),
                None => return items,
            }
        }
    }

    /// POST of a body as it is: the status and the answer.
    pub async fn post(&self, path: &str, body: impl Into<String>) -> (u16, Value) {
        self.send(Method::POST, path, body).await
    }

    /// PUT of a body as it is: the status and the answer.
    pub async fn put(&self, path: &str, body: impl Into<String>) -> (u16, Value) {
        self.send(Method::PUT, path, body).await
    }

    /// DELETE: the status and the answer, which is null where there is none.
    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, "").await
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<String>) -> (u16, Value) {
        let request = self.http.request(method.clone(), self.url() + path);
        let request = request.header("content-type", "application/json").body(body.into());
        let answer = request.send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a whole answer");
        if text.is_empty() {
            return (status, Value::Null);
        }
        let value = serde_json::from_str(&text);
        (status, value.unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}")))
    }

    /// Why an alarm has a ticket, or none.
    pub async fn explain(&self, source: &str, id: &str) -> Value {
        self.look(&format!("/api/v1/alarms/{source}/{id}/explain")).await
    }

    /// One figure of `/metrics`, summed over its labels.
    pub async fn figure(&self, name: &str) -> Option<f64> {
        let (_, text) = self.try_get("/metrics").await?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest =
                rest.strip_prefix('{').and_then(|it| it.split_once('}')).map_or(rest, |it| it.1);
            rest.strip_prefix(' ')?.parse::<f64>().ok()
        });
        values.reduce(|one, other| one + other)
    }

    /// Nobody waits for anything: that many alarms are here, each has what it wanted, and every
    /// event is out.
    pub async fn settled(&self, alarms: usize) {
        let what = format!("{alarms} alarms are here, settled, with every event out");
        self.until(&what, async || {
            let here = self.figure("ticketgate_alarms").await? >= alarms as f64;
            let settled = self.figure("ticketgate_alarms_unsettled").await? == 0.0;
            let sent = self.figure("ticketgate_events_unsent").await? == 0.0;
            (here && settled && sent).then_some(())
        })
        .await;
    }

    /// Both links to the broker stand.
    pub async fn on_the_broker(&self) {
        let connected = async || {
            let ready = self.look("/readyz").await;
            (ready["bus_connected"] == true).then_some(())
        };
        self.until("the service is connected to the broker", connected).await;
    }

    /// What the service has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("service.log")).unwrap_or_default()
    }

    /// How long its log is.
    pub fn log_size(&self) -> u64 {
        std::fs::metadata(self.file("service.log")).map_or(0, |file| file.len())
    }

    /// What it has logged since its log was so long.
    pub fn log_after(&self, size: u64) -> String {
        let mut text = Vec::new();
        let mut log = File::open(self.file("service.log")).expect("the service has a log");
        log.seek(SeekFrom::Start(size)).expect("a place in the log");
        log.read_to_end(&mut text).expect("the log can be read");
        String::from_utf8_lossy(&text).into_owned()
    }

    fn print(&self) {
        for name in ["service.log", "programs.log"] {
            let text = std::fs::read_to_string(self.file(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL)..];
            eprintln!("--- {name}, the last of {} lines\n{}", lines.len(), tail.join("\n"));
        }
        if let Ok(Some(systems)) = self.systems.lock().as_deref() {
            eprintln!("--- ledger\n{:#?}", systems.ledger.report());
        }
        for path in ["/readyz", "/api/v1/lanes", "/api/v1/clients", "/metrics"] {
            eprintln!("--- {path}\n{}", self.glance(path));
        }
        // The first alarm that still wants something says best what is wrong.
        let alarms = self.glance("/api/v1/alarms?limit=500");
        let alarms: Value = serde_json::from_str(&alarms).unwrap_or_default();
        let waits = |alarm: &&Value| alarm["wanted_version"] != alarm["settled_version"];
        if let Some(alarm) = alarms["items"].as_array().into_iter().flatten().find(waits) {
            let name = |name: &str| alarm[name].as_str().unwrap_or_default().to_owned();
            let path = format!("/api/v1/alarms/{}/{}/explain", name("source"), name("id"));
            eprintln!("--- {path}\n{}", self.glance(&path));
        }
    }

    /// A GET without a runtime: this is called while a test is falling.
    fn glance(&self, path: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect(self.at())?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
        };
        ask().unwrap_or_else(|error: std::io::Error| format!("(no answer: {error})"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print();
            self.home.disable_cleanup(true);
            eprintln!("--- the world's files stay in {}", self.home.path().display());
        }
    }
}
