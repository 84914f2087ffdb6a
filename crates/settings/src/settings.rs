//! All settings of a node, and what must hold between the sections.

use crate::{
    Argon2Settings, BloomFilterSettings, CacheSettings, ChangeLogSettings, DenyMemorySettings, EventsSettings, ForwardAuthSettings,
    HttpSettings, KeysSettings, LeasesSettings, LogSettings, LookupSettings, Network, OutageSettings, PostgresSettings, PreauthSettings,
    RedisSettings, Shown, ShutdownSettings, TelemetrySettings, TlsSettings, UsageSettings,
    load::Check,
    values::{Bound, whole},
};
use std::{net::SocketAddr, path::PathBuf};

pub(crate) const BOUNDS: &[Bound] = &[whole("worker_threads", 0, 1024)];

/// The settings of one node, each checked. [`Settings::load`] makes them.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Alone, or one node of many.
    pub mode: Mode,
    /// Where requests are taken.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Where `/metrics` is served.
    #[serde(deserialize_with = "address")]
    pub metrics_listen: SocketAddr,
    /// Where a node of mode `embedded` keeps its file.
    pub data_dir: PathBuf,
    /// Whether listeners and stores beyond this machine may go without TLS.
    pub allow_plaintext: bool,
    /// Peers whose word about the client's address is believed.
    pub trusted_proxies: Vec<Network>,
    /// Which rate-limit headers decisions carry.
    pub ratelimit_headers: RateLimitHeaders,
    /// Threads that serve requests; 0 for one on each core that this process may use.
    pub worker_threads: usize,
    /// Buckets of a cluster.
    pub redis: RedisSettings,
    /// Keys of a cluster.
    pub postgres: PostgresSettings,
    /// What happens while a store is gone.
    pub outage: OutageSettings,
    /// Keys that a node remembers.
    pub cache: CacheSettings,
    /// Look-ups of keys.
    pub lookup: LookupSettings,
    /// The filter of key ids.
    pub bloom_filter: BloomFilterSettings,
    /// How keys are made.
    pub keys: KeysSettings,
    /// How secrets are hashed.
    pub argon2: Argon2Settings,
    /// Failed attempts.
    pub preauth: PreauthSettings,
    /// How changes of keys are followed.
    pub change_log: ChangeLogSettings,
    /// Streams of events.
    pub events: EventsSettings,
    /// What one client may take.
    pub http: HttpSettings,
    /// Tokens that a node takes ahead.
    pub leases: LeasesSettings,
    /// Denials that a node remembers.
    pub deny_memory: DenyMemorySettings,
    /// What keys are used for.
    pub usage: UsageSettings,
    /// How a node leaves.
    pub shutdown: ShutdownSettings,
    /// What a gateway may say.
    pub forward_auth: ForwardAuthSettings,
    /// The listeners' certificate.
    pub tls: TlsSettings,
    /// What is logged.
    pub log: LogSettings,
    /// Where traces are sent.
    pub telemetry: TelemetrySettings,
    #[serde(skip)]
    pub(crate) shown: Vec<Shown>,
}

/// Whether a node is alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One node, buckets in memory, keys in one file.
    Embedded,
    /// Buckets in Redis, keys in Postgres, any number of nodes.
    Cluster,
}

/// Which rate-limit headers decisions carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitHeaders {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11.
    Draft11,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    Legacy,
    /// All of them.
    Both,
    /// None.
    Off,
}

/// An address as the standard library reads it; names would have to be looked up.
fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("must be an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\""))
}

impl Mode {
    /// The word of the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Cluster => "cluster",
        }
    }

    /// The one mode that has the setting `name`, or `None` where both have it.
    pub(crate) fn only_one_with(name: &str) -> Option<Self> {
        match name.split_once('.').map_or(name, |(section, _)| section) {
            "redis" | "postgres" => Some(Self::Cluster),
            "data_dir" => Some(Self::Embedded),
            _ => None,
        }
    }
}

impl Settings {
    /// What must hold between settings, section by section.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        check.settings_of_other_mode(self.mode);
        self.validate_listeners(check);
        match self.mode {
            Mode::Embedded if self.data_dir.as_os_str().is_empty() => check.refuse("data_dir", "must be set in mode \"embedded\""),
            Mode::Embedded => {}
            Mode::Cluster => {
                self.redis.validate(check);
                self.postgres.validate(check);
            }
        }
        self.keys.validate(check);
        self.argon2.validate(check);
        self.forward_auth.validate(check);
        self.tls.validate(check);
        self.telemetry.validate(check);
    }

    fn validate_listeners(&self, check: &mut Check<'_>) {
        if self.listen == self.metrics_listen && self.listen.port() != 0 {
            check.refuse("metrics_listen", "must not be the same as listen");
        }
        let both = [("listen", self.listen, self.tls.is_on()), ("metrics_listen", self.metrics_listen, self.tls.is_on_for_metrics())];
        for (setting, address, tls) in both {
            if !tls && !self.allow_plaintext && !address.ip().to_canonical().is_loopback() {
                check.refuse(setting, "is plain text beyond loopback: set allow_plaintext = true where the network is trusted");
            }
        }
    }
}
