//! The control plane's owners.

use serde::{Deserialize, Serialize};

use crate::RateLimitSpec;

/// Body of `PUT /v1/owners/{owner}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutOwnerBody {
    /// The limit over all keys of the owner; `null` for none. Must be written.
    #[serde(deserialize_with = "Option::deserialize")]
    pub rate_limit: Option<RateLimitSpec>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// Its name.
    pub owner: String,
    /// The limit over all of its keys; null for none.
    pub rate_limit: Option<RateLimitSpec>,
    /// Position in the change log of its last change; 0 where it never changed.
    pub generation: u64,
    /// After a change: whether the fence was raised at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagated: Option<bool>,
}
