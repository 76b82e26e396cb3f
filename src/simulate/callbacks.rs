//! Later answers: a system that takes a write now does it after a while, and then calls back over HTTP.
//!
//! What always holds: a later answer that nobody takes is said again a few times, with a growing pause,
//! and then never more, as a service bus does. Taken and refused ones are counted.
//!
//! What it leaves to others: the words of the answer (`systems`), which of them go astray (`faults`).

use std::time::Duration;

use actix_web::web;
use anyhow::Context;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::sleep;

use super::faults::CallbackFate;
use super::handlers::Desk;

/// In a callback's address it stands for the simulated backend's name.
const NAME: &str = "{backend}";
/// A later answer is said so often before it is given up.
const TRIES: u32 = 6;
/// The first pause before it is said again; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Who is called back has so long to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where later answers go.
#[derive(Debug, Clone)]
pub struct CallbackSettings {
    /// The address; `{backend}` in it stands for the simulated backend's name.
    pub url: String,
    /// Brought as `Authorization: Bearer`.
    pub token: Option<SecretString>,
}

/// Calls back.
pub(super) struct CallBack {
    settings: CallbackSettings,
    client: Client,
}

impl CallBack {
    /// # Errors
    /// When the address is none.
    pub fn of(settings: CallbackSettings) -> anyhow::Result<Self> {
        crate::backends::install_tls();
        Url::parse(&settings.url.replace(NAME, "x")).context("the callback's URL is none")?;
        let client = Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            // Each of the server's threads has a runtime of its own, which no connection outlives.
            .pool_max_idle_per_host(0)
            .build()
            .context("no client for callbacks")?;
        Ok(Self { settings, client })
    }

    async fn is_taken(&self, backend: &str, content_type: &str, body: &str) -> bool {
        let url = self.settings.url.replace(NAME, backend);
        let mut request = self.client.post(url).header("content-type", content_type);
        if let Some(token) = &self.settings.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.body(body.to_owned()).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

/// After its delay, does what was taken and calls back as its fate says. `work` gives the body. To be
/// spawned: it goes on whether or not the client of the write is still there.
pub(super) async fn later(
    desk: web::Data<Desk>,
    backend: String,
    fate: CallbackFate,
    content_type: &'static str,
    work: impl FnOnce(&mut super::books::Books, u64) -> String,
) {
    sleep(fate.delay).await;
    let Ok(body) = desk.ledger.in_books(&backend, work) else { return };
    let Some(call_back) = &desk.call_back else { return };
    for _ in 0..fate.times {
        let mut taken = false;
        for attempt in 0..TRIES {
            taken = call_back.is_taken(&backend, content_type, &body).await;
            if taken {
                break;
            }
            sleep(PAUSE * 2_u32.pow(attempt)).await;
        }
        // A backend that is gone counts nothing.
        let _ = desk.ledger.in_books(&backend, |books, _| books.called_back(taken));
    }
}
