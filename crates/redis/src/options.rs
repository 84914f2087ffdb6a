//! What an operator sets.

use std::{fmt, path::PathBuf, time::Duration};

/// How this node speaks to Redis. Ranges are those of the settings; what is beyond is cut.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where Redis is.
    pub url: RedisUrl,
    /// A PEM file with the authorities that may vouch for Redis, in place of the machine's; for TLS alone.
    pub ca_file: Option<PathBuf>,
    /// Whether servers beyond loopback that a sentinel or a member of a Cluster names may be spoken to without TLS.
    pub allow_plaintext: bool,
    /// What the name of every key begins with.
    pub prefix: String,
    /// How many hash tags the keys are spread over, 1 to 100, the same for all nodes.
    pub tags: u8,
    /// Connections to each server.
    pub pool_size: usize,
    /// Calls on the way to one server (to one tag of a Cluster) at one time.
    pub calls_in_flight: usize,
    /// Decisions in one call at most, 1 to 128.
    pub batch_max: usize,
    /// Decisions that may wait for a call.
    pub queue_max: usize,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// Events from other nodes that may wait to be heard.
    pub events_max: usize,
    /// How long a fence is kept: longer than any node may use what it has read of a key.
    pub fence_ttl: Duration,
}

impl Options {
    /// The defaults, for a Redis at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: RedisUrl::new(url),
            ca_file: None,
            allow_plaintext: false,
            prefix: "tg:".into(),
            tags: 16,
            pool_size: 2,
            calls_in_flight: 2,
            batch_max: 64,
            queue_max: 8192,
            connect_timeout: Duration::from_secs(2),
            events_max: 1024,
            fence_ttl: Duration::from_mins(70),
        }
    }
}

/// A URL that may hold a password: it is shown nowhere.
///
/// `redis://`, `rediss://` (TLS), `redis-cluster://`, `rediss-cluster://`, `redis-sentinel://` and
/// `rediss-sentinel://`; user, password and number of the database in their usual places.
#[derive(Clone)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Takes any text; it is read when the connection is set up.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
