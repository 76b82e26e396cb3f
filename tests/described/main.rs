//! What machines are told of us, read by others' validators: OpenAPI by `openapi-spec-validator`, AsyncAPI by
//! the JSON schema that its makers publish (`asyncapi-3.0.0.json`, Apache-2.0, from the npm package
//! `@asyncapi/specs` 6.11.1). `scripts/install-test-needs` makes the Python environment.

use std::path::{Path, PathBuf};
use std::process::Command;
use ticketgate::{amqp, http, wire};

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validated(arguments: &[&Path], kind: &str) {
    let python: PathBuf = match std::env::var_os("TICKETGATE_TEST_PYTHON") {
        Some(python) => python.into(),
        None => home().join("target/test-needs/bin/python"),
    };
    let output = Command::new(&python)
        .arg(home().join("tests/described/validate.py"))
        .arg(kind)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("{}: {error}; run scripts/install-test-needs", python.display())
        });
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

#[test]
fn the_description_of_the_face_is_openapi() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, http::openapi().to_string()).unwrap();
    validated(&[&file], "openapi");
}

#[test]
fn the_description_of_the_wire_is_asyncapi() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("asyncapi.yaml");
    let document = wire::asyncapi(&amqp::places(None));
    std::fs::write(&file, wire::yaml(&document)).unwrap();
    validated(&[&file, &home().join("tests/described/asyncapi-3.0.0.json")], "asyncapi");
    // What the validator does not know: that these are our exchanges.
    let exchange = |channel: &str| {
        document["channels"][channel]["bindings"]["amqp"]["exchange"]["name"].clone()
    };
    assert_eq!(exchange("alarm"), "ticketgate.alarms");
    assert_eq!(exchange("ticketEvent"), "ticketgate.tickets");
    let queue = &document["channels"]["alarm"]["bindings"]["amqp"]["x-queue"]["name"];
    assert_eq!(queue, "ticketgate.alarms.intake");
}
