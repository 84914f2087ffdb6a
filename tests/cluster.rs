//! Cluster accuracy: several nodes, one Redis, one Postgres, 64 connections. What a limit says is
//! what is admitted, and a change holds on every node as soon as it has answered.

mod changes;
mod charges;
mod exact;
mod expiry;
mod fresh;
mod hot;
mod intervals;
mod limit_changes;
mod obedient;
mod revocations;
mod rewound;
mod rotation;
mod usage;
mod wrong_keys;

use tollgate_limits::RateLimit;

/// The longest period there is: next to nothing refills within a test.
const MONTH: u64 = RateLimit::PER_SECONDS_MAX as u64;
