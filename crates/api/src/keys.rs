//! The control plane's keys.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{Patch, RateLimitSpec};

/// Body of `POST /v1/keys`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateKeyBody {
    /// What people call it: 1 to 128 printable characters.
    pub name: String,
    /// The tenant that holds it; fixed for the key's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Absent: the default of the settings. `null`: unlimited, an operator's privilege.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub rate_limit: Patch<RateLimitSpec>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Anything that fits 4 KiB of JSON.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What decides on it while Redis cannot, an operator's privilege; the deployment's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_mode: Option<OutageModeName>,
    /// `signed` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KeyKindName>,
}

/// Body of `PATCH /v1/keys/{key_id}`: what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchKeyBody {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new scopes, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// A new limit, or `null` for none.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub rate_limit: Patch<RateLimitSpec>,
    /// A new end (RFC 3339), or `null` for none.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub expires_at: Patch<Rfc3339>,
    /// New metadata, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// What decides on it while Redis cannot, or `null` for the deployment's: an operator's privilege.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub outage_mode: Patch<OutageModeName>,
}

/// An instant, written as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rfc3339(#[serde(with = "time::serde::rfc3339")] pub OffsetDateTime);

/// Body of `POST /v1/keys/{key_id}/revoke`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeKeyBody {
    /// Why, for the audit log: at most 256 printable characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `POST /v1/keys/{key_id}/rotate`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKeyBody {
    /// How long the secret before stays good, in whole seconds: 0 for not at all, at most
    /// `keys.rotation_grace_max`. Absent: `keys.rotation_grace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
    /// How the new secret is made: `signed` or `unsigned`. Absent: as the one before; `signed` after
    /// an imported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KeyKindName>,
}

/// Answer of `POST /v1/owners/{owner}/revoke-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedKeys {
    /// The owner.
    pub owner: String,
    /// Keys that this call revoked; those that were revoked before are not counted.
    pub revoked: u64,
    /// Whether every fence was raised at once. False means that nodes learn of the rest from the
    /// change log, within seconds.
    pub propagated: bool,
}

/// What decides while Redis cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageModeName {
    /// Each node, over its share of the limit.
    Local,
    /// Nobody: it passes.
    Open,
    /// Nobody: 503.
    Closed,
}

/// How a key's secret is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKindName {
    /// Carries a tag that tells a forgery without any look-up.
    Signed,
    /// Random characters and a checksum.
    Unsigned,
    /// Made elsewhere; only its hash is known here.
    Imported,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// May be used.
    Active,
    /// Out of use until it is resumed.
    Suspended,
    /// Out of use for ever.
    Revoked,
    /// Past its end.
    Expired,
}

/// A key as anyone with `keys:read` sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Public id.
    pub key_id: String,
    /// Name.
    pub name: String,
    /// The tenant that holds it.
    pub owner: Option<String>,
    /// How its secret is made.
    pub kind: KeyKindName,
    /// Where it is in its life.
    pub status: KeyStatus,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Its limit; null for none.
    pub rate_limit: Option<RateLimitSpec>,
    /// Position in the change log of its last change.
    pub generation: u64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Until when the secret before the last rotation is good; absent where none is.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub previous_secret_until: Option<OffsetDateTime>,
    /// When it was last used, give or take a minute; null for never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<OffsetDateTime>,
    /// Why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_reason: Option<String>,
    /// Its metadata.
    pub metadata: Map<String, Value>,
    /// What decides on it while Redis cannot, where that is not the deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_mode: Option<OutageModeName>,
    /// After a change: whether the fence was raised at once; of a new key, which needs none, whether the
    /// nodes were told. False means that nodes learn of it from the log, within seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagated: Option<bool>,
}

/// Answer of `POST /v1/keys`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedKey {
    /// The api key, `key_id:secret`, shown this once.
    pub api_key: Option<String>,
    /// Whether an earlier call under the same `Idempotency-Key` did this, and told the api key then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// The key.
    #[serde(flatten)]
    pub key: Key,
}

impl std::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey").field("api_key", &"[redacted]").field("replayed", &self.replayed).field("key", &self.key).finish()
    }
}

/// Answer of `GET /v1/keys`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPage {
    /// Keys in order of their ids.
    pub keys: Vec<Key>,
    /// Where to go on; null at the end.
    pub next_cursor: Option<String>,
}
