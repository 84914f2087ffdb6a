//! Keys and owners as the gate knows them: what the key store holds, read and checked.

mod limits_json;
mod line;

pub use limits_json::{limits_from_spec, limits_to_spec};
pub use line::{HashText, KEY_LIMIT_NAME, KeyLine, OWNER_LIMIT_NAME, OwnerLine, PreviousLine, RecordLine, RevocationLine, StatusName};

use serde_json::{Map, Value};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, Scopes, SecretHashes, SecretKind};
use tollgate_limits::RateLimits;

use crate::OutageMode;

/// A key. No secret is in it, only hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRecord {
    /// Public id.
    pub key_id: KeyId,
    /// The tenant that holds it; set at creation, never changed.
    pub owner: Option<OwnerName>,
    /// What people call it.
    pub name: String,
    /// How its secret is made.
    pub kind: SecretKind,
    /// The hash of the secret in use, and of the one before while that is still good.
    pub secrets: SecretHashes,
    /// What it may do.
    pub scopes: Scopes,
    /// Its limits; empty means unlimited.
    pub limits: RateLimits,
    /// Active, suspended or revoked; and when it ends.
    pub lifecycle: Lifecycle,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// When and why it was revoked.
    pub revoked: Option<Revocation>,
    /// Anything that its owner wants to keep with it.
    pub metadata: Map<String, Value>,
    /// What decides on it in an outage, where that is not the deployment's.
    pub outage_mode: Option<OutageMode>,
    /// Position in the change log of its last change.
    pub generation: u64,
    /// When it was last used, within a minute or so, in milliseconds since 1970. Written beside the
    /// log: no change, and no generation of its own.
    pub last_used_at_ms: Option<u64>,
}

/// When and why a key was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Free text of the operator.
    pub reason: Option<String>,
}

/// What a decision needs to know of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRules {
    /// Limits over all keys of the owner; empty means none.
    pub limits: RateLimits,
    /// Position in the change log of the last change of its rules; 0 where there was none.
    pub generation: u64,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRecord {
    /// Its name.
    pub owner: OwnerName,
    /// Its rules.
    pub rules: OwnerRules,
}
