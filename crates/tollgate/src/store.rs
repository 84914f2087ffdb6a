//! The stores under a node, as the settings name them; and the rules that go with them.

use std::{num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use tollgate_api::{RateLimitFields, RateLimitSpec};
use tollgate_embedded::{KeyFile, KeyFileError, KeyFileRetention, MemoryBuckets, MemoryBucketsBounds, anchored_clock};
use tollgate_gate::{
    MasterKey, OutageMode, OutageOptions, SigningError,
    config::{ConfigService, RotationGrace},
    ports::KeyStore,
};
use tollgate_keys::HashParams;
use tollgate_postgres::{Options, PostgresError, PostgresKeys};
use tollgate_redis::{OptionsError, RedisBuckets, RedisBus, RedisUrl};
use tollgate_settings::{Mode, Settings};
use tollgate_telemetry::{Metrics, check_filter};

use crate::{
    collector,
    exit::{Exit, Failure},
};

/// Subjects whose buckets one process holds in memory; a few hundred bytes each.
const SUBJECTS_MAX: usize = 1_000_000;
/// How much longer a fence lives than any cached record of what it fences.
const FENCE_MARGIN: Duration = Duration::from_mins(10);
/// No master key is longer; what is longer is another file.
const MASTER_KEY_BYTES_MAX: usize = 4096;

/// What the settings say of keys, checked.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) config: ConfigService,
    pub(crate) params: HashParams,
    pub(crate) master_key: Option<MasterKey>,
}

/// The key store, and what is its own.
#[derive(Debug)]
pub(crate) enum Keys {
    File(Arc<KeyFile>),
    Postgres(Arc<PostgresKeys>),
}

impl Keys {
    /// Opens the key file, or prepares to reach Postgres: that is done when it is first used.
    pub(crate) fn open(settings: &Settings) -> Result<Self, Failure> {
        match settings.mode {
            Mode::Embedded => {
                let kept = &settings.change_log;
                let retention = KeyFileRetention { change_log: kept.retention.get(), audit: kept.audit_retention.get() };
                let file = KeyFile::open(&settings.data_dir, retention);
                file.map(|file| Self::File(Arc::new(file))).map_err(|error| unopened(&error))
            }
            Mode::Cluster => {
                let keys = PostgresKeys::connect(&postgres_options(settings));
                keys.map(|keys| Self::Postgres(Arc::new(keys))).map_err(Failure::from)
            }
        }
    }

    pub(crate) fn port(&self) -> Arc<dyn KeyStore> {
        match self {
            Self::File(file) => Arc::clone(file) as Arc<dyn KeyStore>,
            Self::Postgres(keys) => Arc::clone(keys) as Arc<dyn KeyStore>,
        }
    }
}

/// Says whether the settings hold what only the gate, the log and the stores' clients can judge.
/// Nothing is reached and no file is made. To be called within a runtime: clients have tasks.
pub(crate) fn check(settings: &Settings) -> Result<(), Failure> {
    rules(settings)?;
    let invalid = |what: String| Failure::new(Exit::Settings, format!("invalid settings: {what}"), "mend the setting and try again");
    check_filter(&settings.log.filter).map_err(|error| invalid(format!("log.filter: {error}")))?;
    collector::of_settings(settings)?;
    if settings.mode == Mode::Cluster {
        redis_buckets(settings, Metrics::noop())?;
        PostgresKeys::connect(&postgres_options(settings)).map_err(|error| invalid(format!("postgres.url: {error}")))?;
    }
    Ok(())
}

/// The rules that the settings give.
pub(crate) fn rules(settings: &Settings) -> Result<Rules, Failure> {
    let invalid = |what: String| Failure::new(Exit::Settings, format!("invalid settings: {what}"), "mend the setting and try again");
    let default = settings.keys.default_rate_limit;
    let spec = RateLimitSpec::One(RateLimitFields { burst: default.burst, per_seconds: default.per_seconds });
    let grace = RotationGrace { default: settings.keys.rotation_grace.get(), max: settings.keys.rotation_grace_max.get() };
    let config = ConfigService::new(&spec)
        .map_err(|error| invalid(format!("keys.default_rate_limit{}: {}", error.pointer.replace('/', "."), error.detail)))?
        .with_rotation_grace(grace);
    let cost = &settings.argon2;
    let params =
        HashParams::new(cost.memory_kib, cost.iterations, cost.parallelism).map_err(|error| invalid(format!("argon2: {error}")))?;
    let master_key = settings.keys.master_key_file.as_deref().map(master_key).transpose();
    Ok(Rules { config, params, master_key: master_key.map_err(|what| invalid(format!("keys.master_key_file: {what}")))? })
}

fn master_key(path: &Path) -> Result<MasterKey, String> {
    use std::io::Read as _;
    // One that grew would leave what it held behind.
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(MASTER_KEY_BYTES_MAX + 1));
    let read = std::fs::File::open(path).and_then(|file| file.take(MASTER_KEY_BYTES_MAX as u64).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    MasterKey::parse(&bytes).map_err(|error: SigningError| format!("{}: {error}", path.display()))
}

/// Buckets of this process alone.
pub(crate) fn memory_buckets(settings: &Settings) -> MemoryBuckets {
    MemoryBuckets::new(MemoryBucketsBounds { subjects_max: SUBJECTS_MAX, fence_ttl: fence_ttl(settings) }, anchored_clock())
}

/// Buckets in Redis, which need not be there yet.
pub(crate) fn redis_buckets(settings: &Settings, metrics: Metrics) -> Result<RedisBuckets, Failure> {
    RedisBuckets::connect(&redis_options(settings), metrics).map_err(|error| unusable(&error))
}

/// What nodes tell each other by, in the same Redis.
pub(crate) fn redis_bus(settings: &Settings) -> Result<RedisBus, Failure> {
    RedisBus::connect(&redis_options(settings)).map_err(|error| unusable(&error))
}

fn unusable(error: &OptionsError) -> Failure {
    Failure::new(Exit::Settings, format!("invalid settings: {error}"), "mend the setting and try again")
}

fn redis_options(settings: &Settings) -> tollgate_redis::Options {
    let redis = &settings.redis;
    tollgate_redis::Options {
        url: RedisUrl::new(redis.url.expose()),
        ca_file: redis.ca_file.clone(),
        allow_plaintext: settings.allow_plaintext,
        prefix: redis.prefix.clone(),
        tags: redis.tags,
        pool_size: redis.pool_size,
        calls_in_flight: redis.calls_in_flight,
        batch_max: redis.batch_max,
        queue_max: redis.queue_max,
        connect_timeout: redis.connect_timeout.get(),
        events_max: redis.events_max,
        fence_ttl: fence_ttl(settings),
    }
}

fn fence_ttl(settings: &Settings) -> Duration {
    settings.cache.age_max.get() + FENCE_MARGIN
}

/// How outages are met.
pub(crate) fn outage(settings: &Settings) -> OutageOptions {
    let mode = match settings.outage.mode {
        tollgate_settings::OutageMode::Local => OutageMode::Local,
        tollgate_settings::OutageMode::Open => OutageMode::Open,
        tollgate_settings::OutageMode::Closed => OutageMode::Closed,
    };
    let outage = &settings.outage;
    OutageOptions {
        mode,
        nodes_min: NonZeroU32::new(outage.nodes_min).unwrap_or(NonZeroU32::MIN),
        nodes_ttl: outage.nodes_ttl.get(),
        stale_grace: outage.stale_grace.get(),
        failures_max: NonZeroU32::new(outage.failures_max).unwrap_or(NonZeroU32::MIN),
        probe_interval: outage.probe_interval.get(),
        subjects_max: outage.subjects_max,
    }
}

fn postgres_options(settings: &Settings) -> Options {
    let postgres = &settings.postgres;
    Options {
        url: postgres.url.expose().to_owned(),
        pool_size: postgres.pool_size,
        lookups_in_flight: postgres.lookups_in_flight,
        acquire_timeout: postgres.acquire_timeout.get(),
        statement_timeout: postgres.statement_timeout.get(),
        lock_timeout: postgres.lock_timeout.get(),
        idle_in_transaction_timeout: postgres.idle_in_transaction_timeout.get(),
        log_retention: settings.change_log.retention.get(),
        audit_retention: settings.change_log.audit_retention.get(),
    }
}

fn unopened(error: &KeyFileError) -> Failure {
    let remedy = match error {
        KeyFileError::InUse { .. } => "stop the node that uses it, speak to that node by --url, or set another data_dir",
        KeyFileError::Open { .. } => "make the directory writable for this user, or set another data_dir (--data-dir)",
        KeyFileError::Format { .. } | KeyFileError::Database(_) | KeyFileError::Row { .. } => "restore the file, or set another data_dir",
        KeyFileError::Randomness(_) | KeyFileError::Refused(_) => "try again",
    };
    Failure::new(Exit::Unreachable, error.to_string(), remedy)
}

impl From<PostgresError> for Failure {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Url | PostgresError::File(_) => {
                Self::new(Exit::Settings, format!("invalid settings: {error}"), "mend postgres.url, or the file that it names")
            }
            PostgresError::Schema(state) => Self::new(Exit::Unreachable, state.to_string(), "bring the database and this version together"),
            PostgresError::Unreachable(_)
            | PostgresError::RolledBack(_)
            | PostgresError::Unusable(_)
            | PostgresError::NotFound
            | PostgresError::Refused(_)
            | PostgresError::Exists(_)
            | PostgresError::Repeated => tollgate_gate::ports::KeyStoreError::from(error).into(),
        }
    }
}
