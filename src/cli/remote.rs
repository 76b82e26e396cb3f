//! A running service over HTTP, for all commands that ask one: where it is, what it answers, and
//! how that is shown: tables for people, `--json` for scripts.

use super::sign_in::SignIn;
use crate::say;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use reqwest::{Certificate, Method};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the service may take to answer, beside what it was asked to wait.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the service is.
#[derive(Clone, Debug, Args)]
pub struct At {
    /// The service's address
    #[arg(long, env = "TICKETGATE_URL", default_value = "http://127.0.0.1:8640", global = true)]
    url: String,
    #[command(flatten)]
    sign_in: SignIn,
    /// Who vouches for the service's certificate, besides the system's authorities (PEM)
    #[arg(long, env = "TICKETGATE_CA_FILE", value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// The whole answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What a service answered.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; null where there is none.
    pub body: Value,
}

/// One call.
#[derive(Clone)]
pub struct Ask<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    file: Option<(&'static str, Vec<u8>)>,
    wait: Duration,
}

impl<'a> Ask<'a> {
    /// Reads.
    pub fn get(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            method: Method::GET,
            path: path.into_iter().collect(),
            query: Vec::new(),
            body: None,
            file: None,
            wait: Duration::ZERO,
        }
    }
    /// Sends.
    pub fn post(path: impl IntoIterator<Item = &'a str>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }
    /// Sends a file as it is.
    pub fn send_file(
        path: impl IntoIterator<Item = &'a str>,
        content_type: &'static str,
        bytes: Vec<u8>,
    ) -> Self {
        Self { method: Method::POST, file: Some((content_type, bytes)), ..Self::get(path) }
    }
    /// Replaces.
    pub fn put(path: impl IntoIterator<Item = &'a str>, body: Value) -> Self {
        Self { method: Method::PUT, body: Some(body), ..Self::get(path) }
    }
    /// Removes.
    pub fn delete(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }
    /// With a part of the query, where it is set.
    pub fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }
    /// The service will take so long.
    pub fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// A client that asks the service itself and no proxy.
pub fn client() -> reqwest::ClientBuilder {
    crate::backends::install_tls();
    reqwest::Client::builder().no_proxy()
}

fn authorities(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let name = file.display();
    let pem = std::fs::read(file).with_context(|| format!("--ca-file: {name} cannot be read"))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => bail!("--ca-file: {name} holds no certificate (PEM)"),
    }
}

impl At {
    /// A client that asks this service and no proxy, and trusts whom it was told to trust.
    ///
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn client(&self) -> anyhow::Result<reqwest::ClientBuilder> {
        let authorities = self.ca_file.as_deref().map(authorities).transpose()?;
        Ok(client().tls_certs_merge(authorities.unwrap_or_default()))
    }

    /// Why no answer came, in words that say what to look at.
    pub fn unreached(&self, error: reqwest::Error) -> anyhow::Error {
        let error = anyhow::Error::from(error);
        let certificate = error.chain().map(ToString::to_string).find_map(|said| {
            let what = said.split_once("invalid peer certificate: ")?.1;
            // Its name, without the numbers of algorithms behind it.
            what.split([' ', '(', '{']).next().map(str::to_owned)
        });
        match certificate {
            Some(what) => anyhow!(
                "the certificate of {} is not trusted ({what}): name who vouches for it with \
                 --ca-file FILE or TICKETGATE_CA_FILE, and the service by a name that is in it",
                self.url
            ),
            None => error.context(format!("no service answers at {} (--url)", self.url)),
        }
    }

    /// What a command says that was refused.
    pub fn complaint(&self, status: u16, body: &Value) -> String {
        let field = body["field"].as_str().or(body["error"]["field"].as_str());
        let field = field.map(|field| format!("{field}: ")).unwrap_or_default();
        let said = body["detail"].as_str().unwrap_or("refused");
        match status {
            401 if self.sign_in.has_token() => {
                format!("the service does not know the token that was brought ({})", SignIn::FROM)
            }
            401 => format!("the service asks for a token: {}", SignIn::FROM),
            _ => format!("{field}{said}"),
        }
    }

    fn tell_why(&self, answer: &Answer) {
        let complaint = self.complaint(answer.status, &answer.body);
        say::aside(format_args!("ticketgate: {complaint}"));
    }

    /// The URL of a path.
    pub fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> anyhow::Result<reqwest::Url> {
        let mut url = reqwest::Url::parse(&self.url).context("--url is not a URL")?;
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("--url cannot carry a path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// With what it takes to be let in.
    pub fn signed(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<reqwest::RequestBuilder> {
        self.sign_in.put_into(request)
    }

    /// Makes a call below `/api/v1`.
    pub async fn api(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let path = ["api", "v1"].into_iter().chain(ask.path.iter().copied()).collect();
        self.call(Ask { path, ..ask }).await
    }

    /// Gets a file below `/api/v1`, or why there is none.
    pub async fn api_file(&self, ask: Ask<'_>) -> anyhow::Result<Result<Vec<u8>, Answer>> {
        let path = ["api", "v1"].into_iter().chain(ask.path.iter().copied()).collect();
        let (status, bytes) = self.said(Ask { path, ..ask }).await?;
        match (200..300).contains(&status) {
            true => Ok(Ok(bytes)),
            false => answer_of(status, &bytes).map(Err),
        }
    }

    /// Makes a call.
    pub async fn call(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let (status, bytes) = self.said(ask).await?;
        answer_of(status, &bytes)
    }

    async fn said(&self, ask: Ask<'_>) -> anyhow::Result<(u16, Vec<u8>)> {
        let client = self.client()?.timeout(TIMEOUT + ask.wait).build()?;
        let mut url = self.url(ask.path)?;
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query);
        }
        let mut request = self.sign_in.put_into(client.request(ask.method, url))?;
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        if let Some((content_type, bytes)) = ask.file {
            request = request.header("content-type", content_type).body(bytes);
        }
        let answer = request.send().await.map_err(|error| self.unreached(error))?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.context("the answer broke off")?;
        Ok((status, bytes.to_vec()))
    }

    /// Shows an answer: as JSON, or as `people` do it. True: it was a success.
    pub fn show(
        &self,
        answer: &Answer,
        people: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<bool> {
        if self.json {
            say::line(serde_json::to_string_pretty(&answer.body)?)?;
        } else if answer.ok() {
            say::line(people(&answer.body))?;
        } else {
            self.tell_why(answer);
        }
        Ok(answer.ok())
    }

    /// Shows a refusal in the midst of something: on stderr alone. Always false.
    pub fn refused(&self, answer: &Answer) -> anyhow::Result<bool> {
        if self.json {
            say::aside(serde_json::to_string_pretty(&answer.body)?);
        } else {
            self.tell_why(answer);
        }
        Ok(false)
    }

    /// Gets a list and shows it.
    pub async fn list(&self, ask: Ask<'_>, columns: &[(&str, &str)]) -> anyhow::Result<bool> {
        let answer = self.api(ask).await?;
        self.show(&answer, |body| table(&body["items"], columns))
    }
}

fn answer_of(status: u16, bytes: &[u8]) -> anyhow::Result<Answer> {
    let body = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(bytes).context("that is not a Ticketgate")?,
    };
    Ok(Answer { status, body })
}

impl Answer {
    /// Was it a success?
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A table of an array: title and JSON pointer of each column.
pub fn table(items: &Value, columns: &[(&str, &str)]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns.iter().map(|(title, _)| *title));
    for item in items.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|(_, pointer)| cell(item.pointer(pointer))));
    }
    table.to_string()
}

/// A value for people.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A time span on the command line: `30s`.
pub fn span(text: &str) -> Result<Duration, String> {
    crate::words::parse_duration(text).map_err(|error| error.to_string())
}

/// `name=value` on the command line; the value is JSON if it reads as JSON, else text.
pub fn pair(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

/// Pairs as a map.
pub fn map(pairs: Vec<(String, Value)>) -> Value {
    Value::Object(pairs.into_iter().collect::<Map<_, _>>())
}
