//! Where the keys of a cluster are, and how a node speaks to them.

use crate::{
    SecretUrl, TimeSpan,
    load::Check,
    values::{Bound, path, postgres_endpoint, time, whole},
};
use std::path::PathBuf;

/// Settings `postgres.*`, of mode `cluster` only.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// Where Postgres is; set in mode `cluster`.
    pub url: SecretUrl,
    /// The file that `url` was read from, where it was.
    #[serde(deserialize_with = "path")]
    pub url_file: Option<PathBuf>,
    /// Connections of one node.
    pub pool_size: u32,
    /// Connections of these that looking up keys may take; less than `pool_size`.
    pub lookups_in_flight: u32,
    /// How long a look-up of a key may take in all.
    pub lookup_timeout: TimeSpan,
    /// How long to wait for a connection.
    pub acquire_timeout: TimeSpan,
    /// How long one statement may run.
    pub statement_timeout: TimeSpan,
    /// How long a statement may wait for a lock.
    pub lock_timeout: TimeSpan,
    /// How long a transaction may stand idle before Postgres ends it.
    pub idle_in_transaction_timeout: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("postgres.pool_size", 2, 1000),
    whole("postgres.lookups_in_flight", 1, 999),
    time("postgres.lookup_timeout", TimeSpan::millis(10), TimeSpan::secs(60)),
    time("postgres.acquire_timeout", TimeSpan::millis(10), TimeSpan::secs(60)),
    time("postgres.statement_timeout", TimeSpan::millis(10), TimeSpan::secs(600)),
    time("postgres.lock_timeout", TimeSpan::millis(10), TimeSpan::secs(60)),
    time("postgres.idle_in_transaction_timeout", TimeSpan::millis(100), TimeSpan::secs(600)),
];

impl PostgresSettings {
    /// What must hold in mode `cluster`.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        if self.lookups_in_flight >= self.pool_size {
            check.refuse("postgres.lookups_in_flight", "must be less than postgres.pool_size, or look-ups shut out changes");
        }
        if self.url.is_unset() {
            // A file without a URL was reported when it was read.
            if self.url_file.is_none() {
                check.refuse("postgres.url", "must be set in mode \"cluster\"");
            }
        } else {
            check.endpoint("postgres.url", postgres_endpoint(&self.url), "add ?sslmode=verify-full");
        }
    }
}
