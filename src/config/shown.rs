//! The config for people: as it is in force, and what another one would change. Secrets are told apart and
//! never shown.

use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// What stands where a secret is.
const HIDDEN: &str = "(secret)";
/// Last parts of keys that hold secrets; files of secrets are names, and are shown.
const SECRETS: [&str; 5] = ["password", "token", "client_secret", "secret", "value"];
/// Keys by which the tables of a list are told apart.
const NAMES: [&str; 4] = ["id", "name", "backend", "queue"];

/// One key that another config says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Such as `policy.close_delay` or `backend[crm].retries`.
    pub key: String,
    /// As it is; none: it is not set.
    pub from: Option<String>,
    /// As it would be; none: it would not be set.
    pub to: Option<String>,
}

/// The keys that differ, in order.
pub fn difference(from: &Table, to: &Table) -> Vec<Changed> {
    let (from, to) = (flat(from), flat(to));
    let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let changed = keys.into_iter().filter(|key| from.get(*key) != to.get(*key));
    changed
        .map(|key| {
            let shown = |value: Option<&String>| {
                value.map(|value| if is_secret(key) { HIDDEN.to_owned() } else { value.clone() })
            };
            Changed { key: key.clone(), from: shown(from.get(key)), to: shown(to.get(key)) }
        })
        .collect()
}

/// A config as JSON, without its secrets.
pub fn shown(table: &Table) -> Json {
    json("", &Value::Table(table.clone()))
}

fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    // `value` is a secret in a header token's [auth], and a word anywhere else.
    SECRETS.contains(&last) && (last != "value" || key.contains("auth."))
        || last == "url" && key.starts_with("amqp")
}

fn json(key: &str, value: &Value) -> Json {
    match value {
        _ if is_secret(key) => HIDDEN.into(),
        Value::Table(table) => {
            let fields = table.iter().map(|(name, value)| {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                (name.clone(), json(&key, value))
            });
            Json::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(|value| json(key, value)).collect(),
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(yes) => (*yes).into(),
        Value::Datetime(time) => time.to_string().into(),
    }
}

/// Every value by its whole key; the tables of a list by their names, so that one that is put in between
/// changes nothing of the others.
fn flat(table: &Table) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, value) in table {
        flatten(name.clone(), value, &mut all);
    }
    all
}

fn flatten(key: String, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, all);
            }
        }
        Value::Array(tables) if tables.iter().any(Value::is_table) => {
            for (n, table) in tables.iter().enumerate() {
                let name = NAMES.iter().find_map(|name| table.get(name)?.as_str());
                let name = name.map_or_else(|| n.to_string(), str::to_owned);
                flatten(format!("{key}[{name}]"), table, all);
            }
            // The order of rules decides.
            let order: Vec<_> = tables.iter().filter_map(|it| it.get("name")?.as_str()).collect();
            all.insert(format!("{key}[]"), order.join(", "));
        }
        other => {
            all.insert(key, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn what_differs_is_told_by_its_key_and_no_secret_is() {
        let old = table(
            "[policy]\nclose_delay = '1m'\n[[backend]]\nid = 'a'\nretries = 3\n\
             auth = { type = 'basic', password = 'old' }\n[[backend]]\nid = 'b'\n",
        );
        let new = table(
            "[policy]\nclose_delay = '5m'\n[[backend]]\nid = 'b'\n[[backend]]\nid = 'a'\n\
             retries = 3\ntimeout = '5s'\nauth = { type = 'basic', password = 'new' }\n",
        );
        let told: Vec<_> = difference(&old, &new)
            .into_iter()
            .map(|it| (it.key, it.from.unwrap_or_default(), it.to.unwrap_or_default()))
            .collect();
        let row =
            |key: &str, from: &str, to: &str| (key.to_owned(), from.to_owned(), to.to_owned());
        assert_eq!(
            told,
            [
                row("backend[a].auth.password", HIDDEN, HIDDEN),
                row("backend[a].timeout", "", "\"5s\""),
                row("policy.close_delay", "\"1m\"", "\"5m\""),
            ]
        );
        assert!(!shown(&new).to_string().contains("new"), "{}", shown(&new));
    }

    #[test]
    fn another_order_of_rules_is_a_difference() {
        let rules = |one: &str, two: &str| {
            table(&format!("[[policy.rule]]\nname = '{one}'\n[[policy.rule]]\nname = '{two}'\n"))
        };
        let told = difference(&rules("a", "b"), &rules("b", "a"));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].to.as_deref(), Some("b, a"));
    }
}
