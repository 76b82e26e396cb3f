//! What the sections demand of each other, and of themselves: every fault by its key.

use super::sections::{Config, backend_ids};
use crate::amqp::AmqpSettings;
use crate::backends::Description;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::logic::pulse::ORIGINS_MAX;
use ticketgate_actors::model::BackendId;

/// Origins that can be expected: half of those that are kept, so that others find room.
const EXPECT_MAX: usize = ORIGINS_MAX / 2;

impl Config {
    /// What is wrong with the sections as a whole: key, and what is allowed.
    pub(super) fn faults(&self, backends: &[Description]) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut wrong = |key: String, what: String| faults.push((key, what));
        // Also those whose description is wrong: that was told already.
        let mut ids = backend_ids(backends);
        for id in self.backend.iter().filter_map(|table| table.get("id")?.as_str()) {
            let id = BackendId::new(id);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let names = || ids.iter().map(BackendId::as_str).collect::<Vec<_>>().join(", ");
        let unknown = |name: &str| format!("unknown backend {name:?}; known: {}", names());
        for (n, id) in ids.iter().enumerate() {
            if ids[..n].contains(id) {
                wrong(format!("backend[{n}].id"), format!("{id} is there twice"));
            }
        }
        if self.instance.is_empty() || self.instance.len() > 64 {
            wrong("instance".into(), "must have 1 to 64 characters".into());
        }
        if self.node.is_empty() || self.node.len() > 64 {
            wrong("node".into(), "must have 1 to 64 characters".into());
        }
        if !(1..=1_000).contains(&self.clients.number) {
            wrong("clients.number".into(), "must be 1 to 1000".into());
        }
        if self.clients.flow_timeout < Duration::from_secs(1) {
            wrong("clients.flow_timeout".into(), "must be at least 1s".into());
        }
        let interval = self.heartbeats.interval;
        if !(Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&interval) {
            wrong("heartbeats.interval".into(), "must be 100ms to 1h".into());
        }
        if self.heartbeats.timeout.is_some_and(|timeout| timeout < Duration::from_secs(1)) {
            wrong("heartbeats.timeout".into(), "must be at least 1s".into());
        }
        for (n, origin) in self.heartbeats.expect.iter().enumerate() {
            if origin.trim().is_empty() || origin.chars().count() > 128 {
                let key = format!("heartbeats.expect[{n}]");
                wrong(key, "must be the name of an origin, 1 to 128 characters".into());
            }
        }
        if self.heartbeats.expect.len() > EXPECT_MAX {
            wrong("heartbeats.expect".into(), format!("may name {EXPECT_MAX} origins"));
        }
        for (key, what) in self.canary.faults() {
            wrong(format!("canary.{key}"), what);
        }
        if !(1..=16).contains(&self.store.readers) {
            wrong("store.readers".into(), "must be 1 to 16".into());
        }
        if self.store.keep < super::past::DAY {
            wrong("store.keep".into(), "must be at least 1d".into());
        }
        for (key, what) in self.history.faults() {
            wrong(format!("history.{key}"), what);
        }
        for (key, what) in self.offload.settings().err().into_iter().flatten() {
            wrong(format!("offload.{key}"), what);
        }
        let mut known_callers = true;
        let open = match self.http.required_tokens() {
            Ok(tokens) => tokens.is_empty() && !self.http.allow_remote_without_auth,
            Err((key, what)) => {
                known_callers = false;
                wrong(key, what);
                false
            }
        };
        let plain = match self.http.tls() {
            // Whoever lets everybody in has nothing to keep from those who listen.
            Ok(tls) => {
                let explicit = self.http.allow_remote_without_tls;
                tls.is_none() && !explicit && !self.http.allow_remote_without_auth
            }
            Err((key, what)) => {
                wrong(key.into(), what);
                false
            }
        };
        for (n, token) in self.http.tokens.iter().enumerate() {
            for id in token.backends.iter().flatten().filter(|id| !ids.contains(id)) {
                wrong(format!("http.tokens[{n}].backends"), unknown(id.as_str()));
            }
        }
        if !self.http.listen.ip().is_loopback() && open {
            wrong(
                "http.listen".into(),
                "is reachable from other machines, and there is no sign-in: use 127.0.0.1, give \
                 http.token_file, or set http.allow_remote_without_auth = true behind a proxy that \
                 has one"
                    .into(),
            );
        }
        if !self.http.listen.ip().is_loopback() && plain && !open && known_callers {
            wrong(
                "http.listen".into(),
                "is reachable from other machines, and what is said there, tokens too, is not \
                 encrypted: use 127.0.0.1, give http.tls_cert and http.tls_key, or set \
                 http.allow_remote_without_tls = true behind a proxy that speaks TLS"
                    .into(),
            );
        }
        if self.amqp.is_none() && !self.subscriptions.is_empty() {
            wrong("subscriptions".into(), "are queues at a broker: there is no [amqp]".into());
        }
        for (key, what) in self.amqp.iter().flat_map(AmqpSettings::faults) {
            wrong(key, what);
        }
        let known = |name: &str| ids.iter().any(|id| id.as_str() == name);
        let default = &self.policy.default_backend;
        if !default.is_empty() && !known(default) {
            wrong("policy.default_backend".into(), unknown(default));
        }
        for (n, backend) in self.canary.backends.iter().enumerate() {
            if !known(backend.as_str()) {
                wrong(format!("canary.backends[{n}]"), unknown(backend.as_str()));
            }
        }
        for (n, route) in self.routes.iter().enumerate() {
            if !known(route.backend.as_str()) {
                wrong(format!("routes[{n}].backend"), unknown(route.backend.as_str()));
            }
            if self.routes[..n].iter().any(|other| other.backend == route.backend) {
                wrong(format!("routes[{n}].backend"), "this backend has a route already".into());
            }
            if route.key.is_empty() || route.key.len() > 255 || route.exchange.len() > 255 {
                wrong(
                    format!("routes[{n}].key"),
                    "key has 1 to 255 bytes, exchange 0 to 255".into(),
                );
            }
        }
        for (n, callback) in self.callbacks.iter().enumerate() {
            if !known(callback.backend.as_str()) {
                wrong(format!("callbacks[{n}].backend"), unknown(callback.backend.as_str()));
            }
            if self.callbacks[..n].iter().any(|other| other.backend == callback.backend) {
                let what = "this backend has callbacks already".to_owned();
                wrong(format!("callbacks[{n}].backend"), what);
            }
            if let Err((key, what)) = callback.build() {
                wrong(format!("callbacks[{n}].{key}"), what);
            }
        }
        for (n, notices) in self.notices.iter().enumerate() {
            let name = notices.backend.as_str();
            let sources = self.source.iter().filter_map(|source| source.get("name")?.as_str());
            if !known(name) {
                wrong(format!("notices[{n}].backend"), unknown(name));
            } else if !self.sync.iter().any(|sync| sync.reads(name, backends)) {
                let what = format!("no [[sync]] reads {name}: a notice would change nothing");
                wrong(format!("notices[{n}].backend"), what);
            } else if sources.into_iter().any(|source| source == name) {
                let what = format!("/webhooks/{name} is the [[source]]'s of that name: rename one");
                wrong(format!("notices[{n}].backend"), what);
            }
            if self.notices[..n].iter().any(|other| other.backend == notices.backend) {
                let what = "this backend has notices already".to_owned();
                wrong(format!("notices[{n}].backend"), what);
            }
            if let Err((key, what)) = notices.trust() {
                wrong(format!("notices[{n}].{key}"), what);
            }
        }
        for (key, what) in self.policy.policy(Arc::default()).err().into_iter().flatten() {
            wrong(format!("policy.{key}"), what);
        }
        for (key, what) in self.topology.faults() {
            wrong(key.to_owned(), what);
        }
        for (n, rule) in self.policy.rule.iter().enumerate() {
            if let Some(name) = rule.backend.as_ref().filter(|name| !known(name.as_str())) {
                wrong(format!("policy.rule[{n}].backend"), unknown(name.as_str()));
            }
        }
        for (key, what) in self.sync_faults(backends) {
            wrong(key, what);
        }
        if tracing_subscriber::EnvFilter::try_new(&self.log.level).is_err() {
            wrong(
                "log.level".into(),
                "is not a level: write error, warn, info, debug or trace, or \
                 info,ticketgate=debug"
                    .into(),
            );
        }
        faults
    }
}
