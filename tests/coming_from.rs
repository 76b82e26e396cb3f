//! What `docs/coming-from.md` promises to those who come from another system is there: every code span
//! that names a config key, a path, a command, a preset, a document or a metric is looked up.
//!
//! What always holds: a span in the column `here` has one of these forms, so that none is looked up by
//! nobody. Whether the thing does what the remark says is for other tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCUMENT: &str = include_str!("../docs/coming-from.md");
const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];
/// Backends that a key is tried with: SOAP with a name, REST with client credentials, pages and a token.
/// Their `[auth]` has a type each, without which it would take any key.
const BACKENDS: [&str; 3] = ["usms", "oceane", "tixngo"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn spans(text: &str) -> Vec<&str> {
    text.lines()
        .flat_map(|line| {
            let parts: Vec<_> = line.split('`').collect();
            assert!(parts.len() % 2 == 1, "a code span is not closed in its line: {line}");
            parts.into_iter().skip(1).step_by(2)
        })
        .collect()
}

/// Whether it exists; none: the span is of no form that can be looked up.
fn exists(span: &str) -> Option<bool> {
    let (first, rest) = span.split_once(' ').unwrap_or((span, ""));
    Some(match first {
        "config:" => key_exists(rest),
        "page:" => pages().contains(&format!("path: \"{rest}\"")),
        "preset:" => runs(&["presets", rest]).is_some(),
        "ticketgate" => command_exists(rest),
        _ if METHODS.contains(&first.to_lowercase().as_str()) && rest.starts_with('/') => {
            routes().contains(&(first.to_owned(), without_names(rest)))
        }
        _ if ["docs/", "examples/"].iter().any(|folder| first.starts_with(folder)) => {
            root().join(first).is_file()
        }
        _ if first.ends_with(".toml") => root().join(first).is_file(),
        _ if first.starts_with("ticketgate_") => {
            read(&root().join("src/metrics.rs")).contains(&format!("\"{first}\""))
        }
        _ => return None,
    })
}

/// The dashboard's pages, as they are written: each says its path.
fn pages() -> String {
    let entries = fs::read_dir(root().join("src/dashboard/pages")).unwrap();
    entries.map(|entry| read(&entry.unwrap().path())).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What the binary says, if it ends well.
fn runs(args: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_ticketgate")).args(args).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Its words up to the first argument, and each of its flags, are in the help.
fn command_exists(line: &str) -> bool {
    let is_word = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    let mut args: Vec<_> = line.split(' ').take_while(is_word).collect();
    args.push("--help");
    let Some(help) = runs(&args) else { return false };
    let told: BTreeSet<_> =
        help.split(|it: char| !it.is_ascii_alphanumeric() && it != '-').collect();
    line.split(' ').filter(|word| word.starts_with('-')).all(|flag| told.contains(flag))
}

/// `/clients/{n}` as `/clients/{}`.
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Method and path of every handler that is registered.
fn routes() -> BTreeSet<(String, String)> {
    let folder = root().join("src/http");
    let mut handlers = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|it| it == "rs") {
            let module = file.file_stem().unwrap().to_str().unwrap().to_owned();
            handlers.extend(handlers_of(&module, &read(&file)));
        }
    }
    let mut scope = String::new();
    let mut routes = BTreeSet::new();
    for part in read(&folder.join("mod.rs")).split(".service(").skip(1) {
        let part = part.trim_start();
        if let Some(rest) = part.strip_prefix("web::scope(\"") {
            scope = rest.split('"').next().unwrap().to_owned();
            continue;
        }
        let name = part.split(')').next().unwrap();
        let (_, method, path) = handlers
            .iter()
            .find(|(known, ..)| known == name)
            .unwrap_or_else(|| panic!("no handler is read for {name}"));
        routes.insert((method.to_uppercase(), without_names(&format!("{scope}{path}"))));
    }
    assert!(routes.len() > 30, "the routes are not read: {routes:?}");
    routes
}

/// `#[get("/path")]` and the function after it, as `module::function`.
fn handlers_of(module: &str, text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for method in METHODS {
        for part in text.split(&format!("#[{method}(\"")).skip(1) {
            let (path, rest) = part.split_once('"').unwrap();
            let function = rest.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            found.push((format!("{module}::{function}"), method.to_owned(), path.to_owned()));
        }
    }
    found
}

/// The config takes it. Where it takes any key, as among `headers`, a preset must have it.
fn key_exists(path: &str) -> bool {
    let path: Vec<_> = path.split('.').collect();
    let (_, section) = path.split_last().unwrap();
    let odd: Vec<_> = section.iter().copied().chain(["no_such_key"]).collect();
    is_taken(&path) && (!is_taken(&odd) || is_in_a_preset(&path))
}

/// No error says that the key is unknown; what it is set to may be wrong.
fn is_taken(path: &[&str]) -> bool {
    let is_unknown = |what: &str| {
        ["unknown key", "unknown field", "there is no such key"].iter().any(|it| what.contains(it))
    };
    let taken = |table: toml::Table| {
        let parsed = ticketgate::config::parse("t.toml", &table.to_string(), std::iter::empty());
        parsed.err().is_none_or(|errors| !errors.0.iter().any(|error| is_unknown(&error.what)))
    };
    let table = written(path);
    if path[0] != "backend[]" {
        return taken(table);
    }
    BACKENDS.iter().any(|&preset| {
        let mut table = table.clone();
        let backends = table.get_mut("backend").and_then(toml::Value::as_array_mut);
        let backend = backends.unwrap()[0].as_table_mut().unwrap();
        for (key, value) in [("id", "it"), ("preset", preset), ("base_url", "http://127.0.0.1:1")] {
            backend.entry(key).or_insert(value.into());
        }
        taken(table)
    })
}

/// A file with this key alone.
fn written(path: &[&str]) -> toml::Table {
    let (first, rest) = path.split_first().unwrap();
    let value = match rest {
        [] => toml::Value::from("x"),
        rest => written(rest).into(),
    };
    match first.strip_suffix("[]") {
        Some(name) => toml::Table::from_iter([(name.to_owned(), toml::Value::Array(vec![value]))]),
        None => toml::Table::from_iter([((*first).to_owned(), value)]),
    }
}

fn is_in_a_preset(path: &[&str]) -> bool {
    BACKENDS.iter().any(|name| {
        let preset: toml::Table = ticketgate::backends::preset(name).unwrap().parse().unwrap();
        let preset = toml::Value::from(preset);
        path[1..].iter().try_fold(&preset, |value, key| value.get(key)).is_some()
    })
}

#[test]
fn everything_that_the_document_names_is_there() {
    let named: BTreeSet<_> = spans(DOCUMENT).into_iter().collect();
    let (mut looked_up, mut missing) = (0, Vec::new());
    for span in named {
        match exists(span) {
            Some(true) => looked_up += 1,
            Some(false) => missing.push(span),
            None => {}
        }
    }
    assert!(missing.is_empty(), "named, and not there: {missing:#?}");
    assert!(looked_up >= 150, "only {looked_up} different names were looked up");
}

#[test]
fn every_line_says_where_a_thing_is_or_that_it_is_not_yet_there() {
    let mut lines = Vec::new();
    for section in DOCUMENT.split("\n## ").skip(2) {
        let (name, text) = section.split_once('\n').unwrap();
        let rows: Vec<Vec<_>> = text
            .lines()
            .filter(|line| line.starts_with("| "))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows[0], ["there", "here", "remark"], "{name}");
        for row in &rows[1..] {
            let [there, here, remark] = row[..] else { panic!("{name}: no three cells: {row:?}") };
            let names = spans(here);
            assert!(
                !names.is_empty() || ["not yet", "not needed"].contains(&here),
                "{name}, {there}: {here}"
            );
            let odd: Vec<_> = names.iter().filter(|span| exists(span).is_none()).collect();
            assert!(odd.is_empty(), "{name}, {there}: {odd:?} cannot be looked up");
            assert!(here != "not yet" || !remark.is_empty(), "{name}, {there}: and meanwhile?");
        }
        lines.push(rows.len() - 1);
    }
    let least = [40, 35, 55, 18, 25];
    assert_eq!(lines.len(), least.len(), "one section for each system");
    assert!(lines.iter().zip(least).all(|(lines, least)| *lines >= least), "{lines:?}");
}

#[test]
fn a_name_that_is_not_there_is_found_out() {
    for span in [
        "config: policy.close_dely",
        "config: polity.close_delay",
        "config: policy.rule[].close_dely",
        "config: backend[].retrys",
        "config: backend[].auth.client_name",
        "config: backend[].search.paging.sizes",
        "config: backend[].failure[].afterwards",
        "config: backend[].headers.X-Nobody",
        "config: routes[].quay",
        "GET /api/v1/clients/{n}/paths",
        "DELETE /api/v1/clients/{n}/path",
        "GET /clients",
        "ticketgate client unlok",
        "ticketgate client unlock --raisin",
        "ticketgate simulate nothing",
        "preset: oceania",
        "page: lames",
        "docs/politics.md",
        "ticketgate_history_rose",
    ] {
        assert_eq!(exists(span), Some(false), "{span}");
    }
}
