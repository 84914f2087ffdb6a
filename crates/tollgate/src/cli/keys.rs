//! The command line of keys and owners.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use tollgate_api::{KeyStatus, OutageModeName, Patch, RateLimitFields, RateLimitSpec};

use super::{
    KeyUsageArgs, SettingsArgs,
    values::{key_id, life, owner, whole_seconds},
};

/// `tollgate keys …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key; its api key is shown this once
    Create(CreateKey),
    /// List keys
    List(ListKeys),
    /// Show a key
    Show {
        /// Its id
        #[arg(value_parser = key_id)]
        key_id: String,
    },
    /// Show what a key was used for lately
    Usage(KeyUsageArgs),
    /// Change a key; what is not named stays
    Update(UpdateKey),
    /// Make another secret for a key, shown this once; the one before stays good for a while
    Rotate(RotateKey),
    /// Take a key out of use until it is resumed
    Suspend(KeyIdArg),
    /// Take a suspended key into use again
    Resume(KeyIdArg),
    /// Make a key's buckets full
    Reset(KeyIdArg),
    /// Revoke a key, for ever
    Revoke(RevokeKey),
    /// Bring keys into the store, straight, from lines of JSON; what is there stays as it is
    Import(ImportKeys),
    /// Write all keys of the store, straight, as lines of JSON: hashes of secrets, and signing keys (guard them)
    Export(ExportKeys),
}

/// `tollgate keys import`.
#[derive(Debug, Args)]
pub(crate) struct ImportKeys {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// The file to read; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) file: PathBuf,
}

/// `tollgate keys export`.
#[derive(Debug, Args)]
pub(crate) struct ExportKeys {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Write to this new file (mode 0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

/// `tollgate owners …`.
#[derive(Debug, Subcommand)]
pub(crate) enum OwnersCommand {
    /// Show an owner
    Show {
        /// Its name
        #[arg(value_parser = owner)]
        owner: String,
    },
    /// Set the limit over all keys of an owner
    Set {
        /// Its name
        #[arg(value_parser = owner)]
        owner: String,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Revoke every key of an owner, for ever
    RevokeKeys {
        /// Its name
        #[arg(value_parser = owner)]
        owner: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: Option<String>,
    },
}

/// A key.
#[derive(Debug, Args)]
pub(crate) struct KeyIdArg {
    /// Its id
    #[arg(value_parser = key_id)]
    pub(crate) key_id: String,
}

/// `tollgate keys rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateKey {
    /// Its id
    #[arg(value_parser = key_id)]
    pub(crate) key_id: String,
    /// How long the secret before stays good, such as 30m or 7d; 0s for not at all. Else the node's
    /// keys.rotation_grace
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    pub(crate) grace: Option<Duration>,
    /// How the new secret is made; else as the one before, and signed after an imported one
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindArg>,
}

/// How a secret is made here.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum KindArg {
    /// With the signature by which a node refuses a forgery without any look-up.
    Signed,
    /// Without it.
    Unsigned,
}

/// A rate limit, or none.
#[derive(Debug, Default, Args)]
pub(crate) struct LimitArgs {
    /// Tokens that can be spent at once
    #[arg(long, value_name = "TOKENS", requires = "per_seconds", conflicts_with = "unlimited")]
    burst: Option<u64>,
    /// Seconds in which so many tokens are refilled, evenly
    #[arg(long, value_name = "SECONDS", requires = "burst", conflicts_with = "unlimited")]
    per_seconds: Option<u64>,
    /// No limit (needs owners:write)
    #[arg(long)]
    unlimited: bool,
}

/// `tollgate keys create`.
#[derive(Debug, Args)]
pub(crate) struct CreateKey {
    /// What people call it
    #[arg(long)]
    pub(crate) name: String,
    /// The tenant that holds it, for ever
    #[arg(long, value_parser = owner)]
    pub(crate) owner: Option<String>,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
    /// What it may do; once for each scope
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// How long it lives, such as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = life)]
    pub(crate) expires_in: Option<Duration>,
    /// Without the signature by which a node refuses a forgery without any look-up
    #[arg(long)]
    pub(crate) unsigned: bool,
    /// What decides on it while Redis cannot; that of the deployment unless said here
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) outage_mode: Option<OutageModeArg>,
}

/// `tollgate keys list`.
#[derive(Debug, Args)]
pub(crate) struct ListKeys {
    /// Only this owner's
    #[arg(long, value_parser = owner)]
    pub(crate) owner: Option<String>,
    /// Only those of this status
    #[arg(long, value_enum)]
    pub(crate) status: Option<StatusArg>,
    /// Where the page before ended
    #[arg(long, conflicts_with = "all")]
    pub(crate) cursor: Option<String>,
    /// Keys of a page, 1 to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) page_size: Option<u32>,
    /// All pages
    #[arg(long)]
    pub(crate) all: bool,
}

/// `tollgate keys update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateKey {
    /// Its id
    #[arg(value_parser = key_id)]
    pub(crate) key_id: String,
    /// A new name
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
    /// The new scopes, all of them; once for each
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with = "no_scopes")]
    pub(crate) scopes: Vec<String>,
    /// Take all scopes away
    #[arg(long)]
    pub(crate) no_scopes: bool,
    /// How long it lives from now on, such as 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = life, conflicts_with = "no_expiry")]
    pub(crate) expires_in: Option<Duration>,
    /// Let it live for ever
    #[arg(long)]
    pub(crate) no_expiry: bool,
    /// What decides on it while Redis cannot
    #[arg(long, value_enum, value_name = "MODE", conflicts_with = "no_outage_mode")]
    pub(crate) outage_mode: Option<OutageModeArg>,
    /// Let the outage mode of the deployment hold
    #[arg(long)]
    pub(crate) no_outage_mode: bool,
    /// Only if it still has this generation, as `show` tells it
    #[arg(long, value_name = "N")]
    pub(crate) if_generation: Option<u64>,
}

/// `tollgate keys revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeKey {
    /// Its id
    #[arg(value_parser = key_id)]
    pub(crate) key_id: String,
    /// Why, for the audit log
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// What decides on a key while Redis cannot.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OutageModeArg {
    /// Each node, over its share of the limit.
    Local,
    /// Nobody: it passes.
    Open,
    /// Nobody: 503.
    Closed,
}

impl From<OutageModeArg> for OutageModeName {
    fn from(mode: OutageModeArg) -> Self {
        match mode {
            OutageModeArg::Local => Self::Local,
            OutageModeArg::Open => Self::Open,
            OutageModeArg::Closed => Self::Closed,
        }
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StatusArg {
    /// May be used.
    Active,
    /// Out of use until it is resumed.
    Suspended,
    /// Out of use for ever.
    Revoked,
    /// Past its end.
    Expired,
}

impl From<StatusArg> for KeyStatus {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Active => Self::Active,
            StatusArg::Suspended => Self::Suspended,
            StatusArg::Revoked => Self::Revoked,
            StatusArg::Expired => Self::Expired,
        }
    }
}

impl LimitArgs {
    /// What becomes of a key's limit.
    pub(crate) fn patch(&self) -> Patch<RateLimitSpec> {
        match (self.burst, self.per_seconds) {
            (Some(burst), Some(per_seconds)) => Patch::Set(RateLimitSpec::One(RateLimitFields { burst, per_seconds })),
            _ if self.unlimited => Patch::Clear,
            _ => Patch::Keep,
        }
    }
}
