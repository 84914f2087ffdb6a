//! The data plane: checking a key, limiting a named thing.

use serde::{Deserialize, Serialize};

use crate::{RateLimitSpec, SecretText};

/// Body of `POST /v1/check`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// The api key to check, `key_id:secret`; the caller's own credential where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretText>,
    /// Tokens to spend; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// A scope that the key must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Answer as if asked, and charge nothing.
    #[serde(default)]
    pub peek: bool,
}

/// Body of `POST /v1/limit`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitBody {
    /// The kind of thing that is limited, such as `login`.
    pub namespace: String,
    /// The thing itself, such as a user or an address.
    pub id: String,
    /// The limit to hold it to.
    pub rate_limit: RateLimitSpec,
    /// Tokens to spend; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Answer as if asked, and charge nothing.
    #[serde(default)]
    pub peek: bool,
}

/// The answer to "may it?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictName {
    /// It may, and was charged.
    Allowed,
    /// Not now: a limit refused, nothing was charged.
    Limited,
    /// Not with this key.
    Denied,
}

/// Answer of `POST /v1/check` and `POST /v1/limit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswer {
    /// Allowed, limited or denied.
    pub verdict: VerdictName,
    /// Why, in one stable word: `allowed`, `limited`, `unauthenticated`, `scope_missing`.
    pub code: String,
    /// The limit that refused, `key`, `owner` or the name it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The key that was checked; absent where it could not be verified.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The tenant that holds it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whole tokens left in the tightest bucket; null where nothing is limited.
    #[serde(default)]
    pub remaining: Option<u64>,
    /// Milliseconds after which the same request passes, rounded up; 0 where it passed.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// Milliseconds until every bucket is full, rounded up.
    #[serde(default)]
    pub reset_after_ms: Option<u64>,
    /// Each limit by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitStanding>,
}

/// One limit after a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStanding {
    /// The limit's name.
    pub name: String,
    /// Its capacity in tokens.
    pub burst: u64,
    /// The time in which it fills, in seconds.
    pub per_seconds: u64,
    /// Whole tokens left.
    pub remaining: u64,
    /// Milliseconds after which the same request fits, rounded up.
    pub retry_after_ms: u64,
    /// Milliseconds until it is full, rounded up.
    pub reset_after_ms: u64,
}
