//! A real Chromium, driven over WebDriver (Debian's packages chromium and chromium-driver), as far as
//! these tests need it.
//!
//! What always holds: nothing waits for a time, only for a state; an element is found as a person finds
//! it, by the words on it; every page that was opened is looked at for errors and for addresses of others
//! when the browser is closed.

use crate::world::{PATIENCE, free_port};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// From look to look at a state that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// The key of an element in WebDriver's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Finds the nearest thing with these words: in the open dialog, else on the page.
const FINDER: &str = r#"
const scope = () => document.querySelector("dialog[open]") || document.body;
const seen = (it) => it.checkVisibility();
const words = (it) => (it.getAttribute("aria-label") || it.textContent).trim();
const press = (text, where) => [...(where || scope()).querySelectorAll("button, a, summary")]
  .find((it) => seen(it) && !it.disabled && words(it) === text);
const labelled = (text) => {
  const label = [...scope().querySelectorAll("label")].find((it) => seen(it) && it.textContent.trim() === text);
  return label && (label.control || document.getElementById(label.htmlFor));
};
const text = () => document.querySelector("main").innerText;
"#;

pub struct Browser {
    base: String,
    driver: String,
    client: reqwest::Client,
    shots: PathBuf,
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    /// A fresh one that looks at that service.
    pub async fn open(base: &str) -> Self {
        let profile = TempDir::with_prefix("ticketgate-browser").unwrap();
        let port = free_port();
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is there: scripts/install-test-needs");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let driver = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        while client.get(format!("{driver}/status")).send().await.is_err() {
            assert!(Instant::now() < deadline, "chromedriver does not answer");
            sleep(LOOK_EVERY).await;
        }
        let folder = format!("--user-data-dir={}", profile.path().display());
        let options = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--disable-dev-shm-usage", "--window-size=1440,900", folder,
            ] },
        } } });
        let session = client.post(format!("{driver}/session")).json(&options).send().await.unwrap();
        let session: Value = session.json().await.unwrap();
        let id = session["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{session}"));
        let shots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        std::fs::create_dir_all(&shots).unwrap();
        Self {
            base: base.to_owned(),
            driver: format!("{driver}/session/{id}"),
            client,
            shots,
            _child: child,
            _profile: profile,
        }
    }

    async fn tell(&self, path: &str, body: Value) -> Value {
        let sent = self.client.post(format!("{}{path}", self.driver)).json(&body).send().await;
        let mut answer: Value = sent.unwrap().json().await.unwrap();
        answer["value"].take()
    }

    /// Opens a page of the service, anew.
    pub async fn go(&self, path: &str) {
        // A change of the fragment alone would not load anything.
        self.tell("/url", json!({ "url": "about:blank" })).await;
        self.tell("/url", json!({ "url": format!("{}{path}", self.base) })).await;
    }

    /// Goes on in another tab; those that were there stay open.
    pub async fn tab(&self) {
        let opened = self.tell("/window/new", json!({ "type": "tab" })).await;
        self.tell("/window", json!({ "handle": opened["handle"] })).await;
    }

    /// What a script gives.
    pub async fn run(&self, script: &str) -> Value {
        let script = format!("{FINDER}\n{script}");
        self.tell("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Waits until a script gives something that is true, and gives that.
    pub async fn until(&self, what: &str, script: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.run(&format!("return {script};")).await;
            let is_so = match &value {
                Value::Null | Value::Bool(false) => false,
                // A script that fails, as when the page is just being changed, is asked again.
                Value::Object(error) => !error.contains_key("error"),
                _ => true,
            };
            if is_so {
                return value;
            }
            if Instant::now() > deadline {
                let shot = self.shot("failed").await;
                let text = self.run("return text();").await;
                panic!("{what} did not come ({script}): {value}\n{}\n{}", shot.display(), text);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The number that a script gives as soon as it gives one, looked at within the page: nothing lies between
    /// that moment and the look.
    pub async fn soonest(&self, script: &str) -> f64 {
        let script = format!(
            "{FINDER}\nconst done = arguments[arguments.length - 1];\n\
             const look = () => {{ let is = false; try {{ is = {script}; }} catch {{}}\n\
             is === false ? setTimeout(look, 1) : done(is); }};\nlook();"
        );
        let told = self.tell("/execute/async", json!({ "script": script, "args": [] })).await;
        told.as_f64().unwrap_or_else(|| panic!("it did not come: {told}"))
    }

    /// Waits until the page says so.
    pub async fn says(&self, words: &str) {
        self.until(words, &format!("text().includes({})", json!(words))).await;
    }

    /// Waits until the page says so no more.
    pub async fn says_no_more(&self, words: &str) {
        self.until(words, &format!("!text().includes({})", json!(words))).await;
    }

    /// Presses what has these words on it, once it can be pressed.
    pub async fn press(&self, words: &str) {
        let found = format!("press({})", json!(words));
        self.click(words, &found).await;
    }

    /// The same within the first element that a selector finds.
    pub async fn press_in(&self, selector: &str, words: &str) {
        let found = format!("press({}, document.querySelector({}))", json!(words), json!(selector));
        self.click(words, &found).await;
    }

    async fn click(&self, what: &str, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let element = self.until(what, script).await;
            let id = element[ELEMENT].as_str().unwrap_or_else(|| panic!("{what}: {element}"));
            let answer = self.tell(&format!("/element/{id}/click"), json!({})).await;
            // It was drawn anew in between, or something moved over it: found again.
            if answer.get("error").is_none() {
                return;
            }
            assert!(Instant::now() < deadline, "{what} cannot be pressed: {answer}");
        }
    }

    /// Writes into the field with that label; a choice of a list is written as its words.
    pub async fn write(&self, label: &str, words: &str) {
        let element = self.until(label, &format!("labelled({})", json!(label))).await;
        let id = element[ELEMENT].as_str().unwrap();
        // A file's field cannot be cleared, and neither can a list.
        let is_text = format!(
            "return !['SELECT', 'file'].includes(labelled({0}).tagName === 'SELECT' ? 'SELECT' : labelled({0}).type);",
            json!(label)
        );
        if self.run(&is_text).await == true {
            self.tell(&format!("/element/{id}/clear"), json!({})).await;
        }
        let answer = self.tell(&format!("/element/{id}/value"), json!({ "text": words })).await;
        assert!(answer.get("error").is_none(), "{label}: {answer}");
    }

    /// Gives the reason that a dialog asks for, and says yes.
    pub async fn confirm(&self, reason: &str, verb: &str) {
        self.write("Reason", reason).await;
        self.press(verb).await;
        self.until("the dialog closes", "!document.querySelector('dialog[open]')").await;
    }

    /// Strikes keys, one after the other.
    pub async fn strike(&self, keys: &[&str]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|it| json!({ "type": it, "value": key })))
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.tell("/actions", body).await;
    }

    /// How wide the window is.
    pub async fn wide(&self, width: u32) {
        self.tell("/window/rect", json!({ "width": width, "height": 900 })).await;
    }

    /// A picture, kept for people.
    pub async fn shot(&self, name: &str) -> PathBuf {
        let got = self.client.get(format!("{}/screenshot", self.driver)).send().await.unwrap();
        let answer: Value = got.json().await.unwrap();
        let text = answer["value"].as_str().unwrap_or_default();
        let bytes = data_encoding::BASE64.decode(text.as_bytes()).unwrap();
        let file = self.shots.join(format!("{name}.png"));
        std::fs::write(&file, bytes).unwrap();
        file
    }

    /// No serious finding of axe-core on what is shown.
    pub async fn is_accessible(&self, what: &str) {
        let file = std::env::var("AXE").map_or_else(|_| axe(), PathBuf::from);
        let axe = std::fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{}: {error}: scripts/install-test-needs fetches it", file.display())
        });
        // As a script of the test, it stands outside the page's own policy.
        let script = format!(
            "{axe}\nconst done = arguments[arguments.length - 1];\n\
             window.axe.run(document, {{ resultTypes: ['violations'] }})\n\
             .then((it) => done(it.violations.filter((v) => ['serious', 'critical'].includes(v.impact))\n\
             .map((v) => `${{v.id}}: ${{v.nodes.map((n) => n.html).slice(0, 3).join(' | ')}}`)), \n\
             (error) => done([String(error)]));"
        );
        let found = self.tell("/execute/async", json!({ "script": script, "args": [] })).await;
        assert_eq!(found, json!([]), "axe-core about {what}");
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let rows = self.tell("/se/log", json!({ "type": kind })).await;
        rows.as_array().cloned().unwrap_or_else(|| panic!("no log of {kind}: {rows}"))
    }

    /// Ends it; what it asked for and what it complained of is looked at. `refused`: parts of addresses
    /// that a test had refused on purpose, which a browser writes down as an error.
    pub async fn close(self, refused: &[&str]) {
        for row in self.log("browser").await {
            let text = row["message"].as_str().unwrap_or_default();
            let expected = refused.iter().any(|part| text.contains(part));
            let grave = ["SEVERE", "WARNING"].contains(&row["level"].as_str().unwrap_or_default());
            assert!(!grave || expected, "the console says: {text}");
        }
        for row in self.log("performance").await {
            let message: Value = serde_json::from_str(row["message"].as_str().unwrap()).unwrap();
            let message = &message["message"];
            if message["method"] == "Network.requestWillBeSent" {
                let url = message["params"]["request"]["url"].as_str().unwrap();
                // The browser's own pages are not on the network.
                let is_sent = ["http", "ws", "ftp"].iter().any(|it| url.starts_with(it));
                assert!(!is_sent || url.starts_with(&self.base), "somebody else was asked: {url}");
            }
        }
        let ended = self.client.delete(&self.driver).send().await;
        assert!(ended.is_ok());
    }
}

fn axe() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("target/test-tools/node_modules/axe-core/axe.min.js")
}
