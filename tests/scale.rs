//! What is promised of large numbers, at those numbers: against nodes of the release build, which
//! `tests/run` makes first, and each with the whole machine to itself (`tests/nextest.toml`).

mod changes;
mod connections;
mod filter;
mod import;
mod keys;
mod restart;
mod volley;
mod wrong_keys;

use std::time::Duration;

use tollgate_testkit::{Fleet, FleetBuilder, Node};

/// A bound for what is expected to happen, whenever.
const SOON: Duration = Duration::from_mins(2);
const HASHES: &str = "tollgate_argon2_duration_seconds_count";
const LOOKUPS: &str = "tollgate_postgres_lookups_total";

/// Nodes of the release build, which do not log every single refusal.
fn fleet(nodes: usize) -> FleetBuilder {
    Fleet::builder(nodes).released().env("TOLLGATE_LOG__FILTER", "warn")
}

/// Resident memory in KiB.
fn resident_kib(node: &Node) -> u64 {
    memory_kib(node, "VmRSS:")
}

/// A figure of the process in KiB.
fn memory_kib(node: &Node, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process().id())).expect("the node runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
