//! Where the buckets of a cluster are, and how a node speaks to them.

use crate::{
    SecretUrl, TimeSpan,
    load::Check,
    values::{Bound, is_redis_over_tls, path, redis_endpoint, time, whole},
};
use std::path::PathBuf;

/// Settings `redis.*`, of mode `cluster` only.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// Where Redis is; set in mode `cluster`.
    pub url: SecretUrl,
    /// The file that `url` was read from, where it was.
    #[serde(deserialize_with = "path")]
    pub url_file: Option<PathBuf>,
    /// The authorities that may vouch for Redis' certificate, PEM; the machine's where it is not set.
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    /// What the name of every Redis key begins with.
    pub prefix: String,
    /// How many hash tags the keys are spread over, the same for all nodes.
    pub tags: u8,
    /// How long a decision waits before the outage mode decides.
    pub decision_timeout: TimeSpan,
    /// Connections to each server.
    pub pool_size: usize,
    /// Calls on the way to each server at one time.
    pub calls_in_flight: usize,
    /// Decisions in one call at most.
    pub batch_max: usize,
    /// Decisions that may wait for a call.
    pub queue_max: usize,
    /// Events from other nodes that may wait to be heard.
    pub events_max: usize,
    /// How long one attempt to connect may take.
    pub connect_timeout: TimeSpan,
    /// From one look at the servers to the next.
    pub look_interval: TimeSpan,
    /// How long a receipt is good for after it was last used.
    pub receipt_ttl: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] = &[
    whole("redis.tags", 1, 100), // a tag is two decimal digits
    time("redis.decision_timeout", TimeSpan::millis(1), TimeSpan::secs(60)),
    whole("redis.pool_size", 1, 64),
    whole("redis.calls_in_flight", 1, 64),
    whole("redis.batch_max", 1, 128),
    whole("redis.queue_max", 1, 1_000_000),
    whole("redis.events_max", 1, 100_000),
    time("redis.connect_timeout", TimeSpan::millis(10), TimeSpan::secs(60)),
    time("redis.look_interval", TimeSpan::millis(100), TimeSpan::secs(600)),
    time("redis.receipt_ttl", TimeSpan::secs(1), TimeSpan::secs(31_536_000)),
];

const PREFIX_BYTES_MAX: usize = 32;

impl RedisSettings {
    /// What must hold in mode `cluster`.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        // Braces would move the hash tag, and with it the shard.
        let plain = self.prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
        if !plain || self.prefix.len() > PREFIX_BYTES_MAX {
            check.refuse("redis.prefix", "must be 0 to 32 of a-z A-Z 0-9 . _ : -");
        }
        if self.url.is_unset() {
            // A file without a URL was reported when it was read.
            if self.url_file.is_none() {
                check.refuse("redis.url", "must be set in mode \"cluster\"");
            }
        } else {
            check.endpoint("redis.url", redis_endpoint(&self.url), "use rediss://");
            // Somebody believes that the way is encrypted.
            if self.ca_file.is_some() && !is_redis_over_tls(&self.url) {
                check.refuse("redis.ca_file", "is for a redis.url that begins with rediss");
            }
        }
    }
}
