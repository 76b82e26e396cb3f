//! Alarm systems that nobody here controls: `[[source]]` maps what they say to alarm events
//! (CONTRACT 1.3), per webhook and per queue.
//!
//! What always holds: a message is looked at only after its sender was believed; of what it holds,
//! every alarm that can be read is taken, and every other is parked with its reason.

mod decode;
mod mapping;

use crate::trust::Trust;
use crate::wire;
pub use decode::ByQueue;
use mapping::Mapping;
pub use mapping::MappingSection;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use ticketgate_actors::logic::correlation::{identity_by_body, identity_by_id};
use ticketgate_actors::model::{BackendId, Identity, Said};
use ticketgate_actors::ports::{Delivery, Malformed};
use toml::Table;
use uuid::Uuid;

/// Bytes of a name: it stands in a path, in a routing key and in a queue's name.
const NAME_MAX: usize = 64;
/// Sources in one config.
pub const SOURCES_MAX: usize = 64;

/// Ready descriptions: by name, the text as it is in the folder `presets/sources`.
const PRESETS: &[(&str, &str)] = &[
    ("alertmanager", include_str!("../../presets/sources/alertmanager.toml")),
    ("syslog-ng", include_str!("../../presets/sources/syslog-ng.toml")),
    ("alerta", include_str!("../../presets/sources/alerta.toml")),
];

/// A ready description's text, to be read and copied from.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The ready descriptions that there are.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// `[[source]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceSection {
    /// Its name: of its webhook, of its queue, and the `source` of its alarms unless `event.source`
    /// says otherwise.
    name: String,
    /// The ready description that these keys are laid over.
    #[serde(default)]
    preset: Option<String>,
    /// The file of a token that the webhook's sender brings as `Authorization: Bearer`.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// Or the file of a key with which it signs each body: HMAC-SHA256, in hexadecimal.
    #[serde(default)]
    hmac_file: Option<PathBuf>,
    /// The header of that signature. Default `x-signature-256`.
    #[serde(default)]
    signature_header: Option<String>,
    /// A queue of somebody else's that is consumed besides our own; it is not declared here.
    #[serde(default)]
    queue: Option<String>,
    #[serde(default)]
    each: Option<String>,
    #[serde(default)]
    skip: Option<String>,
    #[serde(default)]
    event_id: Option<String>,
    #[serde(default)]
    event: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    severity: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    severity_default: Option<String>,
}

/// A foreign alarm system.
#[derive(Debug)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// A queue of somebody else's that is consumed too.
    pub queue: Option<String>,
    trust: Trust,
    mapping: Mapping,
}

/// All of them.
pub type Sources = Arc<Vec<Arc<Source>>>;

/// Reads a `[[source]]`, its preset laid under it.
///
/// # Errors
/// The keys at fault below it, and what is wrong.
pub fn load(table: &Table) -> Result<Source, (String, String)> {
    let merged = match table.get("preset").and_then(toml::Value::as_str) {
        None => table.clone(),
        Some(name) => {
            let known = || preset_names().collect::<Vec<_>>().join(", ");
            let unknown = || ("preset".to_owned(), format!("{name:?} is not one of: {}", known()));
            let under: Table = preset(name)
                .ok_or_else(unknown)?
                .parse()
                .map_err(|error| ("preset".to_owned(), format!("{name}: {error}")))?;
            laid_over(under, table)
        }
    };
    let section: SourceSection = serde_path_to_error::deserialize(merged)
        .map_err(|error| (error.path().to_string(), error.inner().message().to_owned()))?;
    section.build()
}

/// Key by key; an expression or a word that the operator gives wins over the preset's.
fn laid_over(mut under: Table, over: &Table) -> Table {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => {
                below.extend(above.clone());
            }
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
    under
}

impl SourceSection {
    fn build(self) -> Result<Source, (String, String)> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if !(1..=NAME_MAX).contains(&self.name.len()) || !self.name.chars().all(plain) {
            let what = format!("has 1 to {NAME_MAX} of a to z, 0 to 9, - and _");
            return Err(("name".to_owned(), what));
        }
        if self.queue.as_ref().is_some_and(|queue| !(1..=255).contains(&queue.len())) {
            return Err(("queue".to_owned(), "has 1 to 255 bytes".to_owned()));
        }
        let (token, hmac) = (self.token_file.as_deref(), self.hmac_file.as_deref());
        let trust = Trust::of(token, hmac, self.signature_header.as_deref())
            .map_err(|(key, what)| (key.to_owned(), what))?;
        let section = MappingSection {
            each: self.each,
            skip: self.skip,
            event_id: self.event_id,
            event: self.event,
            severity: self.severity,
            severity_default: self.severity_default,
        };
        let mapping = Mapping::new(&self.name, section)?;
        Ok(Source { name: self.name, queue: self.queue, trust, mapping })
    }
}

/// An alarm that was read, or why one could not be.
pub type Read = Result<(Identity, Said), Malformed>;

impl Source {
    /// How the sender of its webhook is believed.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The alarms in a message. An event is named by what the description says, else by its place in
    /// a message that has a name; one without any name is new with `fresh`, or, on a queue, where
    /// it may come again, named by what it says.
    ///
    /// # Errors
    /// The message as a whole cannot be read.
    pub fn read(
        &self,
        delivery: &Delivery,
        known: &[BackendId],
        mut fresh: Option<impl FnMut() -> Uuid>,
    ) -> Result<Vec<Read>, Malformed> {
        let given = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let message = given(&delivery.cloudevents_id).or_else(|| given(&delivery.message_id));
        let alarms = self.mapping.alarms(&delivery.body)?;
        let read = alarms.into_iter().enumerate().map(|(place, mapped)| {
            let mapped = mapped?;
            let said = serde_json::to_vec(&mapped.fields).unwrap_or_default();
            let event = wire::alarm_from_fields(mapped.fields, &said, known)?;
            let identity = match (mapped.event_id, &message, &mut fresh) {
                (Some(id), ..) => identity_by_id(&self.name, &id),
                (None, Some(id), _) => identity_by_id(&self.name, &format!("{id}.{place}")),
                (None, None, Some(fresh)) => identity_by_id(&self.name, &fresh().to_string()),
                (None, None, None) => identity_by_body(&said),
            };
            Ok((identity, event))
        });
        Ok(read.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use ticketgate_actors::model::{AlarmEvent, AlarmState, Severity};

    fn source(text: &str) -> Source {
        load(&text.parse().unwrap()).unwrap()
    }

    fn delivery(body: &Value, message_id: Option<&str>) -> Delivery {
        Delivery {
            inlet: "test".into(),
            body: body.to_string().into(),
            content_type: Some("text/plain".into()),
            message_id: message_id.map(str::to_owned),
            cloudevents_id: None,
            cloudevents_source: None,
            reply_to: None,
            correlation_id: None,
            dead_lettered: None,
        }
    }

    fn read(source: &Source, body: &Value, message_id: Option<&str>) -> Vec<Read> {
        let mut n = 0;
        let fresh = || {
            n += 1;
            Uuid::from_u128(n)
        };
        source.read(&delivery(body, message_id), &[], Some(fresh)).unwrap()
    }

    fn events(source: &Source, body: &Value) -> Vec<AlarmEvent> {
        let said = read(source, body, None).into_iter().map(|read| read.unwrap().1);
        said.map(|said| match said {
            Said::Alarm(event) => *event,
            other => panic!("{other:?}"),
        })
        .collect()
    }

    /// As Alertmanager 0.25 sends it.
    fn alertmanager_body() -> Value {
        json!({
            "receiver": "ticketgate", "status": "firing", "version": "4",
            "groupKey": "{}:{alertname=\"HighTemp\"}", "truncatedAlerts": 0,
            "externalURL": "http://am:9093",
            "groupLabels": {"alertname": "HighTemp"}, "commonLabels": {}, "commonAnnotations": {},
            "alerts": [
                {"status": "firing", "labels": {"alertname": "HighTemp", "instance": "rack:9100",
                 "severity": "critical"}, "annotations": {"summary": "Too hot", "value": "81"},
                 "startsAt": "2026-11-21T10:00:00.123Z", "endsAt": "0001-01-01T00:00:00Z",
                 "generatorURL": "http://prom/graph", "fingerprint": "c0ffee0000000001"},
                {"status": "resolved", "labels": {"alertname": "HighTemp"}, "annotations": {},
                 "startsAt": "2026-11-21T09:00:00Z", "endsAt": "2026-11-21T10:01:00Z",
                 "generatorURL": "", "fingerprint": "c0ffee0000000002"},
            ],
        })
    }

    #[test]
    fn a_webhook_of_alertmanager_is_read() {
        let source = source("name = 'prometheus'\npreset = 'alertmanager'");
        let events = events(&source, &alertmanager_body());
        let [hot, over] = &events[..] else { panic!("{events:?}") };
        assert_eq!(hot.alarm.to_string(), "prometheus/c0ffee0000000001");
        assert_eq!(
            (hot.state, hot.details.severity),
            (AlarmState::Updated, Some(Severity::Critical))
        );
        assert_eq!(hot.details.object, "rack:9100");
        assert_eq!(hot.details.specific_problem.as_deref(), Some("HighTemp"));
        assert_eq!(hot.details.text.as_deref(), Some("Too hot"));
        assert_eq!(hot.details.properties["labels"]["severity"], "critical");
        assert_eq!((over.state, over.changed_at), (AlarmState::Cleared, None));
        assert_eq!(over.details.object, "HighTemp", "without an instance its name");
    }

    #[test]
    fn alertas_webhook_is_read() {
        let source = source("name = 'alerta'\npreset = 'alerta'");
        let alert = |status: &str, severity: &str| {
            json!({"alert": {"id": "a1", "environment": "Production", "resource": "web01",
                   "event": "HttpError", "service": ["Web"], "group": "Web", "value": "503",
                   "text": "site is down", "severity": severity, "status": status,
                   "createTime": "2026-11-21T10:00:00.000Z", "attributes": {"region": "eu"}},
                   "action": null})
        };
        let down = &events(&source, &alert("open", "critical"))[0];
        assert_eq!(down.alarm.to_string(), "alerta/Production/web01/HttpError");
        assert_eq!(
            (down.state, down.details.severity),
            (AlarmState::Updated, Some(Severity::Critical))
        );
        let up = &events(&source, &alert("closed", "normal"))[0];
        assert_eq!((up.alarm.clone(), up.state), (down.alarm.clone(), AlarmState::Cleared));
    }

    #[test]
    fn an_event_is_named_by_its_message_or_is_new() {
        let source = source("name = 'prometheus'\npreset = 'alertmanager'");
        let body = alertmanager_body();
        let names = |message_id| -> Vec<Identity> {
            read(&source, &body, message_id).into_iter().map(|read| read.unwrap().0).collect()
        };
        assert_eq!(names(Some("m1")), names(Some("m1")));
        assert_ne!(names(Some("m1"))[0], names(Some("m1"))[1]);
        assert_ne!(names(Some("m1")), names(Some("m2")));
        let none: Option<fn() -> Uuid> = None;
        let queued = source.read(&delivery(&body, None), &[], none).unwrap();
        let none: Option<fn() -> Uuid> = None;
        let again = source.read(&delivery(&body, None), &[], none).unwrap();
        assert_eq!(queued, again, "on a queue it may be the same that comes again");
    }

    #[test]
    fn what_the_operator_gives_wins_over_the_preset() {
        let text = "name = 'prometheus'\npreset = 'alertmanager'\n[event]\n\
                    object = 'item.labels.site'\n[severity]\ncritical = 'minor'";
        let mut body = alertmanager_body();
        body["alerts"][0]["labels"]["site"] = "north".into();
        let hot = &events(&source(text), &json!({"alerts": [body["alerts"][0]]}))[0];
        assert_eq!(hot.details.object, "north");
        assert_eq!(hot.details.severity, Some(Severity::Minor));
    }

    #[test]
    fn what_is_wrong_names_its_key() {
        for (text, key) in [
            ("name = 'A'\npreset = 'alerta'", "name"),
            ("name = 'a'\npreset = 'nagios'", "preset"),
            ("name = 'a'", "event.id"),
            ("name = 'a'\npreset = 'alerta'\nqueue = ''", "queue"),
            ("name = 'a'\npreset = 'alerta'\nsignature_header = 'x'", "signature_header"),
            ("name = 'a'\npreset = 'alerta'\ncolour = 'x'", "colour"),
        ] {
            let (at, what) = load(&text.parse().unwrap()).unwrap_err();
            assert_eq!(at, key, "{what}");
        }
    }
}
