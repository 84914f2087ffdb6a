//! Keys and owners as lines of JSON: the export format, and how the one-file store keeps them.
//!
//! One object per line, told apart by `"type"`. Hashes are in it, secrets never are. Reading a
//! line checks every value, so a bad line is refused with the field that is wrong, and nothing
//! else of the gate ever sees an unchecked record.

mod read;
mod write;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollgate_api::{KeyKindName, OutageModeName, RateLimitSpec};

/// The name of a key's only limit.
pub const KEY_LIMIT_NAME: &str = "key";
/// The name of an owner's only limit.
pub const OWNER_LIMIT_NAME: &str = "owner";

/// One line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RecordLine {
    /// A key.
    Key(Box<KeyLine>),
    /// An owner with rules.
    Owner(OwnerLine),
}

/// A key, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLine {
    /// Public id.
    pub key_id: String,
    /// The tenant that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What people call it.
    pub name: String,
    /// How its secret is made.
    pub kind: KeyKindName,
    /// The hash of the secret in use, a PHC string.
    pub hash: HashText,
    /// The secret before the last rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousLine>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Its limits; `null`, which must be written, for none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub rate_limit: Option<RateLimitSpec>,
    /// What operators have made of it.
    pub status: StatusName,
    /// When it ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// When and why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevocationLine>,
    /// Its metadata.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What decides on it in an outage, where that is not the deployment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_mode: Option<OutageModeName>,
    /// Position of its last change in the log that it was written from.
    pub generation: u64,
    /// When it was last used, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at_ms: Option<u64>,
}

/// An owner's rules, as they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerLine {
    /// Its name.
    pub owner: String,
    /// Limits over all its keys; `null`, which must be written, for none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub rate_limit: Option<RateLimitSpec>,
    /// Position of its last change in the log that it was written from.
    pub generation: u64,
}

/// The secret before the last rotation, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousLine {
    /// Its hash.
    pub hash: HashText,
    /// How it was made; as the newest secret where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<KeyKindName>,
    /// Until when it is good, in milliseconds since 1970.
    pub until_ms: u64,
}

/// A revocation, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationLine {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Free text of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What operators have made of a key, as it is written. Expiry is no status: it comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusName {
    /// May be used.
    Active,
    /// Out of use until it is resumed.
    Suspended,
    /// Out of use for ever.
    Revoked,
}

/// A PHC string that is not checked yet, printed nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HashText(pub String);

impl fmt::Debug for HashText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests;
