//! Limits as they are stored: the wire's JSON, null for none.

use serde_json::Value;
use tollgate_api::RateLimitSpec;
use tollgate_gate::record::{limits_from_spec, limits_to_spec};
use tollgate_limits::RateLimits;

use crate::PostgresError;

/// The JSON to store. A single limit of the default name is an object without name, as it was
/// written; anything else is a list.
pub(crate) fn to_json(limits: &RateLimits, default_name: &str) -> Result<Option<Value>, PostgresError> {
    let json = limits_to_spec(limits, default_name).map(serde_json::to_value).transpose();
    // A failure must never read as `None`, which is unlimited.
    json.map_err(|_| PostgresError::Unusable("a rate limit that cannot be written".into()))
}

/// The same as text.
pub(crate) fn to_text(limits: &RateLimits, default_name: &str) -> Result<Option<String>, PostgresError> {
    Ok(to_json(limits, default_name)?.map(|json| json.to_string()))
}

/// The limits of a stored spec; `None` where no such limits can exist.
pub(crate) fn from_spec(spec: Option<&RateLimitSpec>, default_name: &str) -> Option<RateLimits> {
    spec.map_or_else(|| Some(RateLimits::unlimited()), |spec| limits_from_spec(spec, default_name).ok())
}

#[cfg(test)]
mod tests {
    use tollgate_limits::{LimitName, NamedLimit, RateLimit};

    use super::*;

    fn named(name: &str, burst: u64) -> NamedLimit {
        NamedLimit { name: LimitName::new(name).expect("a name"), limit: RateLimit::new(burst, 60).expect("a limit") }
    }

    #[test]
    fn what_is_written_reads_back() {
        for list in [vec![], vec![named("key", 5)], vec![named("day", 5)], vec![named("key", 5), named("day", 9)]] {
            let limits = RateLimits::new(list).expect("limits");
            let json = to_json(&limits, "key").expect("JSON").unwrap_or_default();
            let spec: Option<RateLimitSpec> = serde_json::from_value(json).expect("a spec or null");
            assert_eq!(from_spec(spec.as_ref(), "key"), Some(limits));
        }
    }

    #[test]
    fn only_null_is_unlimited() {
        assert_eq!(from_spec(None, "key"), Some(RateLimits::unlimited()));
        assert_eq!(from_spec(Some(&RateLimitSpec::Many(vec![])), "key"), None);
    }
}
