//! Every knob of Tollgate: its name, unit, default, range and meaning.
//!
//! The defaults are `deploy/tollgate.default.toml`, which is compiled in and is the reference
//! page too. A file, the environment and the command line lay values over it; a name that the
//! defaults do not have is refused wherever it stands. [`Settings::load`] reports all that is
//! wrong at once, each with the setting's name, where the value came from and what is allowed.
//!
//! Nothing here reads the process environment by itself except [`LoadFrom::with_environment`],
//! and no error, `Debug` or [`Settings::show`] contains the password of a URL.

mod error;
mod load;
mod sections;
mod settings;
mod show;
mod values;

pub use error::{Problem, SettingsError};
pub use load::LoadFrom;
pub use sections::{
    Argon2Settings, BloomFilterSettings, CacheSettings, ChangeLogSettings, DefaultRateLimit, DenyMemorySettings, DeprecatedKinds,
    EventsSettings, FailureBudget, ForwardAuthSettings, HttpSettings, KeysSettings, LeasesSettings, LogFormat, LogSettings, LookupBudget,
    LookupSettings, OutageMode, OutageSettings, PostgresSettings, PreauthSettings, RedisSettings, ShutdownSettings, TelemetrySettings,
    TlsSettings, UsageSettings,
};
pub use settings::{Mode, RateLimitHeaders, Settings};
pub use show::Shown;
pub use values::{ByteSize, ByteSizeError, KindEnd, KindEndError, Network, NetworkError, SecretUrl, TimeSpan, TimeSpanError};

/// The commented default file: the reference page, for printing.
pub const DEFAULT_FILE: &str = include_str!("../../../deploy/tollgate.default.toml");
