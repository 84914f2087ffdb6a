//! Which lists of limits a key, an owner and a named thing may have.

use tollgate_api::RateLimitSpec;
use tollgate_limits::RateLimits;

use super::ConfigError;
use crate::record::limits_from_spec;

/// A key's limits. Names that the owner's limits go by in answers are not for keys.
pub(super) fn limits_of_key(spec: &RateLimitSpec) -> Result<RateLimits, ConfigError> {
    let limits = limits_from_spec(spec, "key")?;
    for (place, named) in limits.as_slice().iter().enumerate() {
        if named.name.as_str() == "owner" || named.name.as_str().starts_with("owner.") {
            return Err(ConfigError::invalid(format!("/{place}/name"), "the names owner and owner.… belong to the owner's limits"));
        }
    }
    Ok(limits)
}

/// An owner's limits.
pub(super) fn limits_of_owner(spec: &RateLimitSpec) -> Result<RateLimits, ConfigError> {
    limits_from_spec(spec, "owner")
}

/// The limits of a named thing.
pub(super) fn limits_of_thing(spec: &RateLimitSpec) -> Result<RateLimits, ConfigError> {
    limits_from_spec(spec, "limit")
}
