//! One file per concern: its settings, their ranges, and what must hold between them.

mod argon2;
mod bloom_filter;
mod cache;
mod change_log;
mod deny_memory;
mod events;
mod forward_auth;
mod http;
mod keys;
mod leases;
mod log;
mod lookup;
mod outage;
mod postgres;
mod preauth;
mod redis;
mod shutdown;
mod telemetry;
mod tls;
mod usage;

pub use argon2::Argon2Settings;
pub use bloom_filter::BloomFilterSettings;
pub use cache::CacheSettings;
pub use change_log::ChangeLogSettings;
pub use deny_memory::DenyMemorySettings;
pub use events::EventsSettings;
pub use forward_auth::ForwardAuthSettings;
pub use http::HttpSettings;
pub use keys::{DefaultRateLimit, DeprecatedKinds, KeysSettings};
pub use leases::LeasesSettings;
pub use log::{LogFormat, LogSettings};
pub use lookup::{LookupBudget, LookupSettings};
pub use outage::{OutageMode, OutageSettings};
pub use postgres::PostgresSettings;
pub use preauth::{FailureBudget, PreauthSettings};
pub use redis::RedisSettings;
pub use shutdown::ShutdownSettings;
pub use telemetry::TelemetrySettings;
pub use tls::TlsSettings;
pub use usage::UsageSettings;

use crate::values::Bound;

/// The range of every setting that is a number, a time or a size.
pub(crate) fn bounds() -> impl Iterator<Item = &'static Bound> {
    let sections: [&[Bound]; 20] = [
        crate::settings::BOUNDS,
        redis::BOUNDS,
        postgres::BOUNDS,
        outage::BOUNDS,
        leases::BOUNDS,
        deny_memory::BOUNDS,
        cache::BOUNDS,
        lookup::BOUNDS,
        bloom_filter::BOUNDS,
        keys::BOUNDS,
        argon2::BOUNDS,
        preauth::BOUNDS,
        change_log::BOUNDS,
        events::BOUNDS,
        http::BOUNDS,
        shutdown::BOUNDS,
        usage::BOUNDS,
        log::BOUNDS,
        telemetry::BOUNDS,
        tls::BOUNDS,
    ];
    sections.into_iter().flatten()
}
