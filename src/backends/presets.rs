//! Descriptions that come with the program, and how an operator's keys are laid over one.
//!
//! What always holds: what the operator gives wins, key by key; a list, or a table of another
//! `type`, replaces the preset's as a whole.
//!
//! What it leaves to others: whether the result makes sense (`load`).

use toml::{Table, Value};

/// By name, the text as it is in the folder `presets`.
const PRESETS: &[(&str, &str)] = &[
    ("simulated-rest", include_str!("../../presets/simulated-rest.toml")),
    ("usms", include_str!("../../presets/usms.toml")),
    ("telenet-osb", include_str!("../../presets/telenet-osb.toml")),
    ("oceane", include_str!("../../presets/oceane.toml")),
    ("request-tracker", include_str!("../../presets/request-tracker.toml")),
    ("redmine", include_str!("../../presets/redmine.toml")),
    ("tixngo", include_str!("../../presets/tixngo.toml")),
    ("s360", include_str!("../../presets/s360.toml")),
    ("dataminer", include_str!("../../presets/dataminer.toml")),
];

/// Keys of which one shuts out the others: giving one takes away the preset's other.
const ONE_OF: &[&[&str]] = &[
    &["body", "json"],
    &["password", "password_file"],
    &["token", "token_file"],
    &["value", "value_file"],
    &["client_secret", "client_secret_file"],
];

/// A preset's text (TOML), to be read and copied from.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The presets that there are.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// Lays `over` over `under`.
pub(super) fn overlay(mut under: Table, over: Table) -> Table {
    for group in ONE_OF {
        if group.iter().any(|key| over.contains_key(*key)) {
            under.retain(|key, _| !group.contains(&key) || over.contains_key(key));
        }
    }
    for (key, value) in over {
        let value = match (under.remove(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if same_type(&below, &above) => {
                Value::Table(overlay(below, above))
            }
            (_, value) => value,
        };
        under.insert(key, value);
    }
    under
}

fn same_type(below: &Table, above: &Table) -> bool {
    above.get("type").is_none_or(|kind| below.get("type") == Some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_keys_win_one_by_one() {
        let under = "a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = { z = 1 }\nbody = 'b'\n\
                     [auth]\ntype = 'bearer'\ntoken = 't'";
        for (over, result) in [
            (
                "a = 2",
                "a = 2\nlist = [1, 2]\n[t]\nx = 1\ny = { z = 1 }\nbody = 'b'\n[auth]\ntype = 'bearer'\ntoken = 't'",
            ),
            (
                "list = [3]\n[t]\ny = { w = 2 }\njson = { s = 1 }\n[auth]\ntoken_file = 'f'",
                "a = 1\nlist = [3]\n[t]\nx = 1\ny = { z = 1, w = 2 }\njson = { s = 1 }\n[auth]\ntype = 'bearer'\ntoken_file = 'f'",
            ),
            (
                "[auth]\ntype = 'basic'\nuser = 'u'",
                "a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = { z = 1 }\nbody = 'b'\n[auth]\ntype = 'basic'\nuser = 'u'",
            ),
        ] {
            let laid = overlay(under.parse().unwrap(), over.parse().unwrap());
            assert_eq!(laid, result.parse::<Table>().unwrap(), "{over}");
        }
    }
}
