//! Every metric there is.

use crate::labels::{
    AuthOutcome, CertificateFate, Component, KindLabel, Label, LabelSet, LookupOutcome, PoolState, RedisErrorKind, Source, SpanFate,
    Verdict,
};
use metrics::Unit;

/// One metric: the only place where its name, help and labels stand.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name on the metrics page.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What is counted or measured.
    pub unit: Unit,
    /// What it tells, one line.
    pub help: &'static str,
    /// Its labels; a series exists for every combination, from the start.
    pub labels: &'static [LabelSet],
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution over buckets with these upper ends.
    Histogram(&'static [f64]),
}

/// Seconds, for what should take less than a millisecond and must not take more than a few tens.
const FAST_SECONDS: Kind =
    Kind::Histogram(&[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0]);
/// Seconds, for hashing and waiting for it.
const SLOW_SECONDS: Kind = Kind::Histogram(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]);
/// Decisions in one call.
const BATCH: Kind = Kind::Histogram(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]);

pub(crate) const THROTTLED: Metric = counter("api_rate_limit_throttled_total", "Requests that a rate limit refused.", &[]);
pub(crate) const DECISIONS: Metric =
    counter("tollgate_decisions_total", "Decisions by verdict and by what decided.", &[Verdict::SET, Source::SET]);
pub(crate) const AUTH: Metric = counter("api_auth_total", "Credentials presented, by how they fared.", &[AuthOutcome::SET]);
pub(crate) const KEY_USES: Metric = counter("tollgate_key_uses_total", "Good secrets presented, by how they are made.", &[KindLabel::SET]);
pub(crate) const DECISION_DURATION: Metric =
    seconds("tollgate_decision_duration_seconds", FAST_SECONDS, "Time from a verified caller to his verdict.");
pub(crate) const REDIS_BATCH_SIZE: Metric =
    Metric { name: "tollgate_redis_batch_size", kind: BATCH, unit: Unit::Count, help: "Decisions in one call to Redis.", labels: &[] };
pub(crate) const REDIS_CALL_DURATION: Metric =
    seconds("tollgate_redis_call_duration_seconds", FAST_SECONDS, "Time that one call to Redis took.");
pub(crate) const REDIS_ERRORS: Metric =
    counter("tollgate_redis_errors_total", "Calls to Redis and decisions that failed, by kind.", &[RedisErrorKind::SET]);
pub(crate) const REDIS_STATE_LOST: Metric =
    counter("tollgate_redis_state_lost_total", "Times that Redis was found to have lost its state.", &[]);
pub(crate) const LEASE_TAKEN: Metric = counter("tollgate_lease_tokens_taken_total", "Tokens taken ahead of requests.", &[]);
pub(crate) const LEASE_RETURNED: Metric =
    counter("tollgate_lease_tokens_returned_total", "Tokens taken ahead that were handed back unspent.", &[]);
pub(crate) const LEASE_EXPIRED: Metric =
    counter("tollgate_lease_tokens_expired_total", "Tokens taken ahead that were neither spent nor handed back.", &[]);
pub(crate) const POSTGRES_LOOKUPS: Metric =
    counter("tollgate_postgres_lookups_total", "Look-ups of keys in the store, by outcome.", &[LookupOutcome::SET]);
pub(crate) const POSTGRES_POOL: Metric =
    gauge("tollgate_postgres_pool_connections", "Connections to Postgres, by what they do.", &[PoolState::SET]);
pub(crate) const ARGON2_QUEUE: Metric = gauge("tollgate_argon2_queue_depth", "Secrets that wait to be hashed.", &[]);
pub(crate) const ARGON2_DURATION: Metric =
    seconds("tollgate_argon2_duration_seconds", SLOW_SECONDS, "Time that hashing one secret took, without the wait.");
pub(crate) const REVOCATION_PROPAGATION: Metric = seconds(
    "tollgate_revocation_propagation_seconds",
    SLOW_SECONDS,
    "Time from the instant of a revocation to this node's reading it in the change log, by their clocks.",
);
pub(crate) const BLOOM_KEYS: Metric = gauge("tollgate_bloom_keys", "Key ids in the filter; 0 where there is none.", &[]);
pub(crate) const BLOOM_BYTES: Metric = bytes("tollgate_bloom_bytes", "Memory of the filter; while it is made anew there are two.");
pub(crate) const BLOOM_REBUILD_DURATION: Metric =
    seconds("tollgate_bloom_rebuild_duration_seconds", SLOW_SECONDS, "Time that making a filter took, from the first read to its use.");
pub(crate) const BLOOM_FALSE_POSITIVES: Metric =
    counter("tollgate_bloom_false_positives_total", "Ids that the filter took for those of keys and the store did not have.", &[]);
pub(crate) const CHANGE_LOG_LAG: Metric = Metric {
    name: "tollgate_change_log_lag_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    help: "Time since the start of the last good read of the change log.",
    labels: &[],
};
pub(crate) const HEALTH_STATE: Metric =
    gauge("tollgate_health_state", "How a component is: 0 ok or not in use, 1 degraded, 2 down.", &[Component::SET]);
pub(crate) const OUTAGE_MODE: Metric = gauge("tollgate_outage_mode", "What decides now: 0 no outage, 1 local, 2 open, 3 closed.", &[]);
pub(crate) const NODES: Metric =
    gauge("tollgate_nodes", "Nodes that were seen alive when the registry last answered, this one included.", &[]);
pub(crate) const USAGE_WAITING: Metric =
    gauge("tollgate_usage_waiting", "Counts of usage, one for each key and minute, that wait to be told to the store.", &[]);
pub(crate) const USAGE_DROPPED: Metric =
    counter("tollgate_usage_dropped_total", "Decisions that were not counted for their keys, for want of room.", &[]);
pub(crate) const USAGE_FLUSH_FAILURES: Metric =
    counter("tollgate_usage_flush_failures_total", "Calls with counts of usage that failed; they are made again.", &[]);
pub(crate) const REQUEST_LINES_DROPPED: Metric =
    counter("tollgate_request_lines_dropped_total", "Lines about requests that were left out, beyond what a second may cost.", &[]);
pub(crate) const SPANS: Metric = counter("tollgate_spans_total", "Spans of requests, by what became of them.", &[SpanFate::SET]);
pub(crate) const CERTIFICATE_RELOADS: Metric = counter(
    "tollgate_certificate_reloads_total",
    "New certificates of the listeners that were found, by what became of them.",
    &[CertificateFate::SET],
);
pub(crate) const CERTIFICATE_NOT_AFTER: Metric = Metric {
    name: "tollgate_certificate_not_after_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    help: "Until when the listeners' certificate is good, in seconds since 1970; 0 where there is none.",
    labels: &[],
};
pub(crate) const BUILD_INFO: Metric = gauge(
    "tollgate_build_info",
    "Always 1; the label says which build this is.",
    &[LabelSet { name: "version", values: &[crate::VERSION] }],
);

pub(crate) const PROCESS_CPU_SECONDS: Metric = Metric {
    name: "process_cpu_seconds_total",
    kind: Kind::Counter,
    unit: Unit::Seconds,
    help: "Processor time of this process, its own and the system's for it.",
    labels: &[],
};
pub(crate) const PROCESS_START_SECONDS: Metric = Metric {
    name: "process_start_time_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    help: "When this process began, in seconds since 1970.",
    labels: &[],
};
pub(crate) const PROCESS_RESIDENT_BYTES: Metric = bytes("process_resident_memory_bytes", "Memory of this process that is in use.");
pub(crate) const PROCESS_VIRTUAL_BYTES: Metric = bytes("process_virtual_memory_bytes", "Addresses of this process that are in use.");
pub(crate) const PROCESS_OPEN_FDS: Metric = gauge("process_open_fds", "Files and sockets that this process has open.", &[]);
pub(crate) const PROCESS_MAX_FDS: Metric = gauge("process_max_fds", "Files and sockets that this process may have open.", &[]);
pub(crate) const PROCESS_THREADS: Metric = gauge("process_threads", "Threads of this process.", &[]);

/// Every metric, in the order of the metrics page of the book.
pub const CATALOGUE: &[Metric] = &[
    THROTTLED,
    DECISIONS,
    AUTH,
    KEY_USES,
    DECISION_DURATION,
    REDIS_BATCH_SIZE,
    REDIS_CALL_DURATION,
    REDIS_ERRORS,
    REDIS_STATE_LOST,
    LEASE_TAKEN,
    LEASE_RETURNED,
    LEASE_EXPIRED,
    POSTGRES_LOOKUPS,
    POSTGRES_POOL,
    ARGON2_QUEUE,
    ARGON2_DURATION,
    REVOCATION_PROPAGATION,
    BLOOM_KEYS,
    BLOOM_BYTES,
    BLOOM_REBUILD_DURATION,
    BLOOM_FALSE_POSITIVES,
    CHANGE_LOG_LAG,
    HEALTH_STATE,
    OUTAGE_MODE,
    NODES,
    USAGE_WAITING,
    USAGE_DROPPED,
    USAGE_FLUSH_FAILURES,
    REQUEST_LINES_DROPPED,
    SPANS,
    CERTIFICATE_RELOADS,
    CERTIFICATE_NOT_AFTER,
    BUILD_INFO,
    PROCESS_CPU_SECONDS,
    PROCESS_START_SECONDS,
    PROCESS_RESIDENT_BYTES,
    PROCESS_VIRTUAL_BYTES,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_THREADS,
];

const fn counter(name: &'static str, help: &'static str, labels: &'static [LabelSet]) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, help, labels }
}

const fn gauge(name: &'static str, help: &'static str, labels: &'static [LabelSet]) -> Metric {
    Metric { name, kind: Kind::Gauge, unit: Unit::Count, help, labels }
}

const fn bytes(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit: Unit::Bytes, help, labels: &[] }
}

const fn seconds(name: &'static str, buckets: Kind, help: &'static str) -> Metric {
    Metric { name, kind: buckets, unit: Unit::Seconds, help, labels: &[] }
}
