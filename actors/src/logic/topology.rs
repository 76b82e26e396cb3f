//! The network's topology: which path a managed object lies on.
//!
//! A table that is loaded whole and replaced whole; it answers by object. An object that is not in it
//! is an answer, not an error.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Rows of one table; some hundred megabytes of memory at the most.
pub const ROWS_MAX: usize = 1_000_000;

/// One hop of the path of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hop {
    /// Which of the object's paths.
    pub path: String,
    /// Its place on the path, from the object outwards.
    pub hop: u32,
    /// The network node.
    pub node: String,
    /// Its port.
    pub port: String,
    /// Whose it is.
    pub owner: String,
    /// Whatever else the table says.
    #[serde(flatten)]
    pub attributes: BTreeMap<String, String>,
}

/// The paths of all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    paths: HashMap<String, Vec<Hop>>,
    rows: usize,
}

impl Topology {
    /// A table of rows in any order.
    pub fn new(rows: impl IntoIterator<Item = (String, Hop)>) -> Self {
        let mut topology = Self::default();
        for (object, hop) in rows {
            topology.rows += 1;
            topology.paths.entry(object).or_default().push(hop);
        }
        for hops in topology.paths.values_mut() {
            hops.sort_by(|a, b| (&a.path, a.hop).cmp(&(&b.path, b.hop)));
        }
        topology
    }

    /// The hops of an object, path by path; empty: it is not in the table.
    pub fn of(&self, object: &str) -> &[Hop] {
        self.paths.get(object).map_or(&[], Vec::as_slice)
    }

    /// Is there a table at all?
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Its objects.
    pub fn objects(&self) -> usize {
        self.paths.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_stand_in_the_order_of_their_path() {
        let hop = |path: &str, hop, node: &str| {
            let it = Hop { path: path.into(), hop, node: node.into(), ..Hop::default() };
            ("tx/1".to_owned(), it)
        };
        let rows = [hop("b", 1, "x"), hop("a", 2, "core"), hop("a", 1, "edge")];
        let topology = Topology::new(rows);
        let nodes: Vec<_> = topology.of("tx/1").iter().map(|it| it.node.as_str()).collect();
        assert_eq!(nodes, ["edge", "core", "x"]);
        assert!(topology.of("tx/2").is_empty());
        assert_eq!((topology.rows(), topology.objects()), (3, 1));
    }
}
