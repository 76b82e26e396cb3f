//! `/openapi.json` held against the running service by others' eyes: schemathesis asks every endpoint what its
//! description allows, and what it does not, and looks whether the answers are as described.

use crate::world::World;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Schemathesis stops asking after so many seconds.
const ASKS_FOR_S: &str = "25";
/// More than its start and its last answers should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[actix::test]
async fn the_service_answers_as_it_describes_itself() {
    let world = World::with("").await;
    let home = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("TICKETGATE_TEST_PYTHON");
    let python = python.map_or_else(|| home.join("target/test-needs/bin/python"), PathBuf::from);
    let folder = tempfile::TempDir::with_prefix("ticketgate-schema").unwrap();
    let run = Command::new(&python)
        .args(["-m", "schemathesis.cli", "run"])
        .args([world.url("/openapi.json").as_str(), "--no-color"])
        // Each value at its edges, and then at random, the same ones each time.
        .args(["--phases", "coverage,fuzzing", "--max-examples", "3", "--generation-deterministic"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        // One worker: the parser of Python 3.11 counts its depth for all threads together, and fails then.
        .args(["--workers", "1", "--request-timeout", "10", "--max-time", ASKS_FOR_S])
        // A stream of events has no end; to be busy, and to stop, is no fault.
        .args(["--exclude-path", "/api/v1/events"])
        .current_dir(folder.path())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("schemathesis ends");
    let output = output.unwrap_or_else(|error| {
        panic!("{}: {error}; run scripts/install-test-needs", python.display())
    });
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{}", said.concat());
    assert!(said[0].contains("Test cases:"), "{}", said.concat());
    world.service.stop().await;
}
