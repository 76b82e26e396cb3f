//! `make micro`: how many instructions the hottest pure parts take, counted by valgrind.
//!
//! What always holds: only public entries of the two crates are called; what is prepared, and what is
//! dropped afterwards, is not counted; there are no network and no threads. So two runs of one build
//! differ by less than 0.3 % (seeds of hash tables), whatever else the machine does.
//!
//! `bench/micro.toml` has the counts that were committed; one that is well above its own fails the run.
//! What it leaves to others: how long anything takes (`make bench`).

mod codec;
mod committed;
mod heap;
mod lane;
mod locks;
mod policy;
mod template;

use codec::wire;
use gungraun::main;
use lane::one_lane;
use locks::lock_table;
use policy::rules;
use template::described;

main!(library_benchmark_groups = wire, one_lane, lock_table, rules, described);
