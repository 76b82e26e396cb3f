//! Descriptions: what is read, what is refused and how that is told.

use super::connection::{CONNECTION_KEYS, ConnectionDescription};
use super::described::wire::{WIRE_KEYS, WireDescription};
use super::description::{LANE_KEYS, LaneDescription};
use super::*;
use serde::de::DeserializeOwned;
use std::time::Duration;
use ticketgate_actors::changes::Admission;
use ticketgate_actors::logic::lane::{Capability, LaneSettings, Rate, ReadsFrom};

const GOOD: &str = r#"
    id = "crm"
    type = "rest"
    base_url = "https://crm.example/api"
    [create]
    method = "POST"
    path = "/t"
    json = { k = "{{ correlation_key }}" }
    read = { id = "$.id" }
"#;

fn load_with(more: &str) -> Result<Description, Vec<DescriptionError>> {
    load(presets::overlay(GOOD.parse().unwrap(), more.parse().unwrap()))
}

fn keys_of<T: DeserializeOwned>() -> Vec<String> {
    let unknown = "no_such_key = 1".parse::<toml::Table>().unwrap();
    let error = unknown.try_into::<T>().err().unwrap();
    let (_, names) = error.message().split_once("expected").unwrap();
    let mut names: Vec<_> = names.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn every_key_of_a_part_is_dealt_out_to_it() {
    for (keys, known) in [
        (LANE_KEYS, keys_of::<LaneDescription>()),
        (CONNECTION_KEYS, keys_of::<ConnectionDescription>()),
        (WIRE_KEYS, keys_of::<WireDescription>()),
    ] {
        let mut keys = keys.to_vec();
        keys.sort();
        assert_eq!(keys, known);
    }
}

#[test]
fn what_is_not_said_is_as_the_lane_has_it() {
    let plain = load_with("").unwrap();
    assert_eq!(plain.lane_settings(), LaneSettings::default());
    let said = load_with(
        "timeout = '10s'\nindex_lag = '2s'\nsettle = '1s'\nretries = 0\nbackoff = '100ms'\n\
         backoff_max = '2m'\nmax_in_doubt = 3\nkey_ttl = '1d'\nreads = 'client'\n\
         retry_may_duplicate = true\nsend_within = '1s'\ncapability = 'idempotency_key'\n\
         rate = '10/s'\nburst = 3\nbreaker_after = 4\nretry_burst = 2\ncreates_only_at = 7\n\
         max_open = 9\nconfirm_within = '1m'\nsweep_every = '30s'\nmax_answer = '64KiB'\nget = { method = 'GET', path = '/t/{{ backend_id }}' }",
    )
    .unwrap();
    assert_eq!(said.connection.max_answer, ByteSize(65_536));
    let seconds = Duration::from_secs;
    assert_eq!(
        said.lane_settings(),
        LaneSettings {
            capability: Capability::IdempotencyKey,
            readable: true,
            reads: ReadsFrom::Client,
            timeout: seconds(10),
            send_within: seconds(1),
            index_lag: seconds(2),
            settle_at_least: seconds(1),
            key_ttl: seconds(86_400),
            retries: 0,
            backoff: Duration::from_millis(100),
            backoff_max: seconds(120),
            rate: Some(Rate { calls: 10, per: seconds(1), burst: 3 }),
            breaker_after: 4,
            retry_burst: 2,
            admission: Admission { creates_only_at: 7, max_open: 9 },
            answers_later: false,
            confirm_within: seconds(60),
            sweep_every: seconds(30),
            max_in_doubt: 3,
            retry_may_duplicate: true,
        }
    );
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let search =
        "search = { method = 'GET', path = '/t', query = [['q', '{{ correlation_key }}']], ";
    for (more, key, says) in [
        ("id = 'CRM'", "backend.id", "a-z"),
        ("type = 'corba'", "backend.crm.type", "rest"),
        ("type = 'partner'", "backend.crm.base_url", "not called"),
        ("type = 'partner'", "backend.crm.create", "not called"),
        ("capability = 'partner'", "backend.crm.capability", "alone"),
        ("preset = 'jira'", "backend.crm.preset", "simulated-rest"),
        ("bogus = 1", "backend.crm.bogus", "base_url"),
        ("create = { bogus = 1 }", "backend.crm.create", "unknown field"),
        ("timeout = '10'", "backend.crm.timeout", "30s"),
        ("timeout = '0s'", "backend.crm.timeout", "more than"),
        ("connect_timeout = '0s'", "backend.crm.connect_timeout", "more than"),
        ("max_answer = '1GB'", "backend.crm.max_answer", "64KiB"),
        ("max_in_doubt = 0", "backend.crm.max_in_doubt", "at least 1"),
        ("backoff = '2m'", "backend.crm.backoff_max", "less"),
        ("base_url = 'crm.example'", "backend.crm.base_url", "address"),
        ("base_url = 'ftp://crm'", "backend.crm.base_url", "http"),
        ("base_url = 'http://u:p@crm'", "backend.crm.base_url", "auth"),
        ("base_url = 'http://crm?a=b'", "backend.crm.base_url", "query"),
        ("create = { method = 'FETCH' }", "backend.crm.create.method", "POST"),
        ("create = { path = 't' }", "backend.crm.create.path", "/"),
        ("create = { path = '/{{ kind' }", "backend.crm.create.path", "syntax"),
        ("create = { path = '/{{ kid }}' }", "backend.crm.create", "kid"),
        ("create = { json = { a = { b = ['{{'] } } }", "backend.crm.create.json.a.b[0]", "syntax"),
        ("create = { body = '{\"a\": \"{{ fields.a }}\"}' }", "backend.crm.create.body", "quotes"),
        (
            "create = { query = [['a', '{{ x|no }}']] }",
            "backend.crm.create.query[0].value",
            "filter",
        ),
        // Also where no run with stand-ins comes by.
        (
            "create = { query = [['a', \"{{ fields.a or fields.b | upper | linez }}\"]] }",
            "backend.crm.create.query[0].value",
            "no filter is called linez",
        ),
        (
            "create = { query = [['a', '{{ kept.nwo.id }}']], \
             before = [{ name = 'now', method = 'GET', path = '/t', keep = { id = '$.id' } }] }",
            "backend.crm.create",
            "kept.nwo: no step is called so; there are: [\"now\"]",
        ),
        (
            "create = { query = [['a', '{{ kept.now.idd }}']], \
             before = [{ name = 'now', method = 'GET', path = '/t', keep = { id = '$.id' } }] }",
            "backend.crm.create",
            "kept.now.idd: that step keeps [\"id\"]",
        ),
        ("create = { query = [['a']] }", "backend.crm.create.query", "length"),
        ("headers = { 'a b' = 'c' }", "backend.crm.headers.a b", "header"),
        ("create = { read = { id = 'id' } }", "backend.crm.create.read.id", "JSONPath"),
        ("read = { fields = { a = '$[' } }", "backend.crm.read.fields.a", "JSONPath"),
        ("error = { code = '$[' }", "backend.crm.error.code", "JSONPath"),
        (
            "create = { success = { required = ['$['] } }",
            "backend.crm.create.success.required[0]",
            "JSONPath",
        ),
        ("create = { success = { any_body = true } }", "backend.crm.create.success.any_body", "id"),
        ("create = { failure = [{ means = 'busy' }] }", "backend.crm.create.failure[0]", "status"),
        ("failure = [{ status = [1], means = 'odd' }]", "backend.crm.failure", "busy"),
        ("statuses = { open = 'opened' }", "backend.crm.statuses.open", "acknowledged"),
        (
            "create = { method = 'POST', path = '/t', action = 'x' }",
            "backend.crm.create.action",
            "SOAP",
        ),
        ("create = { name = 'x' }", "backend.crm.create.name", "step"),
        ("create = { paging = { by = 'page', size = 1 } }", "backend.crm.create.paging", "search"),
        ("create = { finds_by = ['x'] }", "backend.crm.create.finds_by", "search"),
        (
            "create = { before = [{ method = 'GET', path = '/x' }] }",
            "backend.crm.create.before[0].name",
            "name",
        ),
        (
            "create = { before = [{ name = 'a', method = 'GET', path = '/x' }, { name = 'a', path = '/x' }] }",
            "backend.crm.create.before[1].name",
            "taken",
        ),
        (
            "create = { after = [{ name = 'a', method = 'GET', path = '/x', when = 'fields.' }] }",
            "backend.crm.create.after[0].when",
            "syntax",
        ),
        (
            "create = { after = [{ name = 'a', method = 'GET', path = '/x', keep = { v = '$[' } }] }",
            "backend.crm.create.after[0].keep.v",
            "JSONPath",
        ),
        (
            "create = { failure = [{ status = [1], means = 'refused', after = '5m' }] }",
            "backend.crm.create.failure[0].after",
            "come back",
        ),
        (
            "create = { failure = [{ status = [1], is = ['x'], means = 'refused' }] }",
            "backend.crm.create.failure[0]",
            "select",
        ),
        ("maps = { a = { to = { x = '1', y = '1' } } }", "backend.crm.maps.a", "from"),
        ("create = { path = '/{{ kind | map(\"none\") }}' }", "backend.crm.create.path", "none"),
        (
            "read = { fields = { a = { select = '$.a', map = 'none' } } }",
            "backend.crm.read.fields.a.map",
            "none",
        ),
        (
            "read = { fields = { a = { select = '$.a', header = 'B' } } }",
            "backend.crm.read.fields.a",
            "either",
        ),
        (
            "read = { fields = { a = { selects = '$.a' } } }",
            "backend.crm.read.fields.a",
            "unknown field",
        ),
        ("times = { zone = 'Mars' }", "backend.crm.times.zone", "zone"),
        ("times = { format = '%H' }", "backend.crm.times.format", "time"),
        (
            "append = ['note']\nupdate = { method = 'PUT', path = '/t', json = { n = '{{ fields.note }}' } }",
            "backend.crm.update",
            "request_id",
        ),
        (
            "append = ['note']\nread = { fields = { note = '$.n' } }",
            "backend.crm.read.fields.note",
            "list",
        ),
        ("soap = { version = '1.1' }", "backend.crm.soap", "soap"),
        ("type = 'soap'", "backend.crm.soap", "soap"),
        ("type = 'soap'\nsoap = { version = '1.3' }", "backend.crm.soap", "1.1"),
        (
            "type = 'soap'\nsoap = { version = '1.1', namespaces = { soap = 'x' } }",
            "backend.crm.soap.namespaces.soap",
            "prefix",
        ),
        ("type = 'soap'\nsoap = { version = '1.1' }", "backend.crm.create.json", "XML"),
        ("client_cert_file = '/x'", "backend.crm.client_cert_file", "together"),
        ("auth = { type = 'wsse', user = 'u' }", "backend.crm.auth.type", "envelopes"),
        (
            "auth = { type = 'oauth2', token_url = 'x', client_id = 'c', client_secret = 's' }",
            "backend.crm.auth.token_url",
            "address",
        ),
        (
            "auth = { type = 'oauth2', token_url = 'http://x', client_id = 'c' }",
            "backend.crm.auth.client_secret",
            "either",
        ),
        ("auth = { type = 'bearer' }", "backend.crm.auth.token", "token_file"),
        ("auth = { type = 'bearer', token = 12345 }", "backend.crm.auth", "text"),
        (
            "auth = { type = 'header', name = 'a b', value = 'c' }",
            "backend.crm.auth.name",
            "header",
        ),
        ("capability = 'searchable'", "backend.crm.capability", "backend.search"),
        ("create = { by = 'time' }", "backend.crm.create.by", "backend.changes"),
        ("create = { size = 1 }", "backend.crm.create.size", "backend.changes"),
        ("create = { read = { cursor = '$.c' } }", "backend.crm.create.read.cursor", "changes"),
        ("create = { json = { s = '{{ since }}' } }", "backend.crm.create", "since"),
        ("read = { cursor = '$.c' }", "backend.crm.read.cursor", "backend.changes.read"),
        ("read = { deleted = { select = '$.d', is = [] } }", "backend.crm.read.deleted.is", "word"),
        ("read = { deleted = { select = '$.d' } }", "backend.crm.read.deleted", "is"),
        (
            "changes = { method = 'GET', path = '/t', size = 5 }",
            "backend.crm.changes.by",
            "cursor, time or scan",
        ),
        ("changes = { by = 'luck' }", "backend.crm.changes.by", "scan"),
        (
            "changes = { by = 'scan', method = 'GET', path = '/t' }",
            "backend.crm.changes.size",
            "10000",
        ),
        ("changes = { by = 'scan', size = 20000 }", "backend.crm.changes.size", "10000"),
        (
            "changes = { by = 'time', size = 5, method = 'GET', path = '/t' }",
            "backend.crm.changes",
            "ask by since",
        ),
        (
            "changes = { by = 'time', size = 5, method = 'GET', path = '/t' }",
            "backend.crm.changes.read.changed_at",
            "time of a change",
        ),
        (
            "changes = { by = 'cursor', size = 5, method = 'GET', path = '/t' }",
            "backend.crm.changes",
            "ask by cursor",
        ),
        (
            "changes = { by = 'cursor', size = 5, method = 'GET', path = '/t/{{ cursor }}' }",
            "backend.crm.changes.read.cursor",
            "next cursor",
        ),
        (
            "changes = { by = 'cursor', size = 5, path = '/t/{{ cursor }}/{{ offset }}' }",
            "backend.crm.changes",
            "uses offset",
        ),
        (
            "changes = { by = 'scan', size = 5, path = '/t/{{ cursor }}' }",
            "backend.crm.changes",
            "uses cursor",
        ),
        (
            "changes = { by = 'scan', size = 5, path = '/t/{{ page }}/{{ offset }}' }",
            "backend.crm.changes",
            "both offset and page",
        ),
        (
            "changes = { by = 'scan', size = 5, path = '/t', read = { cursor = '$.c' } }",
            "backend.crm.changes.read.cursor",
            "only by",
        ),
        (
            "changes = { by = 'scan', size = 5, path = '/t/{{ kind }}' }",
            "backend.crm.changes",
            "there are: cursor, since",
        ),
        (
            "changes = { by = 'time', size = 5, path = '/t/{{ since | tiem }}' }",
            "backend.crm.changes.path",
            "tiem",
        ),
        (
            "changes = { by = 'scan', size = 5, path = '/t', read = { id = '$.id' } }",
            "backend.crm.changes.read.items",
            "where the tickets are",
        ),
        ("changes = { by = 'scan', size = 5, path = '/t' }", "backend.crm.changes.read.id", "id"),
        (
            "changes = { by = 'scan', size = 5, path = '/t', after = [{ name = 'a', method = 'GET', path = '/x' }] }",
            "backend.crm.changes.after",
            "nothing comes after",
        ),
        ("capability = 'client_id'", "backend.crm.capability", "backend.get"),
        (&format!("{search} }}"), "backend.crm.search.read.id", "id"),
        (
            &format!("{search} read = {{ id = '$.id' }} }}"),
            "backend.crm.search.read.items",
            "tickets",
        ),
        (
            &format!("{search} read = {{ id = '$.id', items = '$..x' }} }}"),
            "backend.crm.search.read.items",
            "[*]",
        ),
        (
            &format!(
                "capability = 'searchable'\ncreate = {{ json = {{ k = 'x' }} }}\n{search} \
                 read = {{ id = '$.id', items = '$[*]' }} }}"
            ),
            "backend.crm.create",
            "correlation_key",
        ),
    ] {
        let errors = load_with(more).err().unwrap_or_else(|| panic!("{more} is no mistake"));
        let told =
            errors.iter().any(|error| error.key.starts_with(key) && error.problem.contains(says));
        assert!(told, "{more}: {errors:#?}");
        assert!(!errors.iter().any(|error| error.to_string().contains("12345")), "{errors:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let more = "timeout = '1'\nbase_url = 3\nread = { url = 4 }";
    assert_eq!(load_with(more).unwrap_err().len(), 3);
    let more =
        "timeout = '0s'\nheaders = { a = '{{' }\ncreate = { path = 'x', read = { id = '[' } }";
    assert_eq!(load_with(more).unwrap_err().len(), 4);
}

#[test]
fn what_only_shows_when_the_adapter_is_made_is_told_then() {
    let clock = || std::sync::Arc::new(ticketgate_actors::testing::ManualClock::default());
    for (more, key) in [
        ("auth = { type = 'bearer', token_file = '/no/such/file' }", "backend.crm.auth"),
        ("ca_file = '/no/such/file'", "backend.crm.ca_file"),
        ("ca_file = '/dev/null'", "backend.crm.ca_file"),
        ("proxy = '::'", "backend.crm.proxy"),
    ] {
        let errors = load_with(more).unwrap().connect(clock()).err().unwrap();
        assert_eq!(errors[0].key, key, "{errors:?}");
    }
    assert!(load_with("proxy = 'http://u:p@127.0.0.1:1'").unwrap().connect(clock()).is_ok());
    assert!(load_with("").unwrap().connect(clock()).is_ok(), "https by the system's certificates");
}

#[test]
fn no_secret_is_in_what_a_description_shows_of_itself() {
    for auth in [
        "type = 'basic', user = 'u', password = 'SECRET'",
        "type = 'bearer', token = 'SECRET'",
        "type = 'header', name = 'X-Key', value = 'SECRET'",
        "type = 'oauth2', token_url = 'http://x', client_id = 'c', client_secret = 'SECRET'",
    ] {
        let more = format!("proxy = 'http://u:SECRET@proxy:1'\nauth = {{ {auth} }}");
        let told = format!("{:#?}", load_with(&more).unwrap());
        assert!(told.contains("REDACTED") && !told.contains("SECRET"), "{told}");
    }
}

#[test]
fn every_preset_needs_an_id_and_an_address_and_nothing_else() {
    for name in preset_names() {
        // A partner is not called.
        let address = if name == "dataminer" { "" } else { "base_url = 'http://127.0.0.1:1/x'" };
        let table = format!("id = 'x'\npreset = '{name}'\n{address}");
        load(table.parse().unwrap()).unwrap_or_else(|e| panic!("{name}: {e:#?}"));
    }
    assert_eq!(preset("no such"), None);
}

#[test]
fn what_the_page_about_new_backends_shows_is_right() {
    let page = include_str!("../../docs/new-backend.md");
    let blocks: Vec<_> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let whole: toml::Table = blocks[0].parse().unwrap();
    let backend = whole["backend"].as_array().unwrap()[0].as_table().unwrap().clone();
    let told = |errors: Vec<DescriptionError>| format!("{errors:#?}");
    load(backend.clone()).map_err(told).unwrap();
    for key in super::description::LANE_KEYS {
        assert!(page.contains(&format!("`{key}`")), "{key} is not told of");
    }
    // The parts that are laid over it, one after another.
    for block in &blocks[1..blocks.len() - 1] {
        let part: toml::Table = block.parse().unwrap_or_else(|error| panic!("{block}: {error}"));
        let part = part["backend"].as_table().unwrap().clone();
        load(presets::overlay(backend.clone(), part)).map_err(told).unwrap();
    }
    // The last is of SOAP, and stands for itself.
    let soap = format!(
        "id = 'x'\nbase_url = 'http://127.0.0.1:1'\n{}",
        blocks[blocks.len() - 1].replace("[backend.", "[")
    );
    load(soap.parse().unwrap()).map_err(told).unwrap();
}

#[test]
fn every_preset_has_its_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/presets");
    let list = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    for name in preset_names() {
        assert!(list.contains(name), "{name}");
        if name != "simulated-rest" {
            let page = std::fs::read_to_string(format!("{folder}/{name}.md")).unwrap();
            assert!(page.contains("**Documented**") && page.contains("**Assumed**"), "{name}");
        }
    }
}
