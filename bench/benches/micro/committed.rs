//! The counts in `bench/micro.toml`, as limits of the runner.

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Committed {
    /// Checked by `make micro`, which tells that another compiler counts otherwise.
    #[serde(rename = "rustc")]
    _rustc: String,
    tolerance_percent: u64,
    instructions: BTreeMap<String, u64>,
}

/// Counts instructions and nothing else; more of them than was committed and tolerated is a failure.
///
/// # Panics
/// Where no count was committed under that name.
pub fn at_most(name: &str) -> LibraryBenchmarkConfig {
    // Read and not built in, so that a count can be changed without linking all anew.
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/micro.toml"));
    let text = text.unwrap_or_else(|error| panic!("bench/micro.toml: {error}"));
    let committed: Committed =
        toml::from_str(&text).unwrap_or_else(|error| panic!("bench/micro.toml: {error}"));
    let Some(count) = committed.instructions.get(name) else {
        panic!("bench/micro.toml has no count of {name}: write 0 there, and run `make micro`");
    };
    let limit = count + count * committed.tolerance_percent / 100;
    let mut counted = Callgrind::with_args(["--cache-sim=no"]);
    counted.format([EventKind::Ir]).hard_limits([(EventKind::Ir, limit)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(counted);
    config
}
