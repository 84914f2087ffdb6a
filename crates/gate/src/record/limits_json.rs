//! Rate limits as they are written on the wire and in exports, and back.

use tollgate_api::{NamedRateLimitFields, RateLimitFields, RateLimitSpec};
use tollgate_limits::{LimitName, NamedLimit, RateLimit, RateLimitError, RateLimits};

use crate::config::ConfigError;

/// How limits are written: one object where there is one limit that goes by the default name
/// (`key`, `owner`), a list otherwise; `None` for unlimited.
pub fn limits_to_spec(limits: &RateLimits, default_name: &str) -> Option<RateLimitSpec> {
    match limits.as_slice() {
        [] => None,
        [one] if one.name.as_str() == default_name => {
            Some(RateLimitSpec::One(RateLimitFields { burst: one.limit.burst().into(), per_seconds: one.limit.per_seconds().into() }))
        }
        many => Some(RateLimitSpec::Many(many.iter().map(to_fields).collect())),
    }
}

/// Checks limits as they are written. Pointers of errors begin below the limit itself: `/burst`,
/// `/0/per_seconds`, `/1/name`, or nothing for the list as a whole.
pub fn limits_from_spec(spec: &RateLimitSpec, default_name: &str) -> Result<RateLimits, ConfigError> {
    match spec {
        RateLimitSpec::One(fields) => {
            let limit = figures(fields.burst, fields.per_seconds, "")?;
            Ok(RateLimits::one(name(default_name, "")?, limit))
        }
        RateLimitSpec::Many(list) => from_list(list),
    }
}

fn from_list(list: &[NamedRateLimitFields]) -> Result<RateLimits, ConfigError> {
    if list.is_empty() || list.len() > RateLimits::MAX {
        return Err(ConfigError::invalid("", format!("a list of rate limits holds 1 to {}", RateLimits::MAX)));
    }
    let mut limits: Vec<NamedLimit> = Vec::with_capacity(list.len());
    for (place, fields) in list.iter().enumerate() {
        let at = format!("/{place}");
        let named = NamedLimit { name: name(&fields.name, &at)?, limit: figures(fields.burst, fields.per_seconds, &at)? };
        limits.push(named);
        // Checked with every addition, so that the error can tell the place.
        RateLimits::new(limits.clone()).map_err(|error| ConfigError::invalid(format!("{at}/name"), error.to_string()))?;
    }
    RateLimits::new(limits).map_err(|error| ConfigError::invalid("", error.to_string()))
}

fn to_fields(named: &NamedLimit) -> NamedRateLimitFields {
    NamedRateLimitFields {
        name: named.name.as_str().to_owned(),
        burst: named.limit.burst().into(),
        per_seconds: named.limit.per_seconds().into(),
    }
}

fn figures(burst: u64, per_seconds: u64, at: &str) -> Result<RateLimit, ConfigError> {
    RateLimit::new(burst, per_seconds).map_err(|error| {
        let field = match error {
            RateLimitError::Burst => "burst",
            RateLimitError::PerSeconds => "per_seconds",
        };
        ConfigError::invalid(format!("{at}/{field}"), error.to_string())
    })
}

fn name(text: &str, at: &str) -> Result<LimitName, ConfigError> {
    LimitName::new(text).map_err(|error| ConfigError::invalid(format!("{at}/name"), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigErrorKind;

    fn read(text: &str) -> Result<RateLimits, ConfigError> {
        limits_from_spec(&serde_json::from_str(text).expect("a written limit"), "key")
    }

    fn pointer_and_detail(text: &str) -> (String, String) {
        let error = read(text).expect_err(text);
        assert_eq!(error.kind, ConfigErrorKind::Invalid);
        (error.pointer, error.detail)
    }

    #[test]
    fn what_is_written_comes_back() {
        for text in [
            r#"{"burst":1,"per_seconds":2678400}"#,
            r#"[{"name":"second","burst":10,"per_seconds":1},{"name":"day","burst":10000,"per_seconds":86400}]"#,
            r#"[{"name":"day","burst":1,"per_seconds":1}]"#,
        ] {
            let limits = read(text).expect("good limits");
            let spec = limits_to_spec(&limits, "key").expect("limited");
            assert_eq!(serde_json::to_string(&spec).expect("json"), text);
        }
    }

    #[test]
    fn one_limit_of_the_default_name_is_one_object() {
        let limits = read(r#"[{"name":"key","burst":5,"per_seconds":6}]"#).expect("good limits");
        assert_eq!(limits_to_spec(&limits, "key"), Some(RateLimitSpec::One(RateLimitFields { burst: 5, per_seconds: 6 })));
        assert!(matches!(limits_to_spec(&limits, "owner"), Some(RateLimitSpec::Many(_))));
        assert_eq!(limits_to_spec(&RateLimits::unlimited(), "key"), None);
    }

    #[test]
    fn errors_name_the_field_and_the_range() {
        let (pointer, detail) = pointer_and_detail(r#"{"burst":0,"per_seconds":1}"#);
        assert_eq!(pointer, "/burst");
        assert!(detail.contains("1 to 1000000000"), "{detail}");
        let (pointer, detail) = pointer_and_detail(r#"[{"name":"a","burst":1,"per_seconds":2678401}]"#);
        assert_eq!(pointer, "/0/per_seconds");
        assert!(detail.contains("1 to 2678400"), "{detail}");
        assert_eq!(pointer_and_detail(r#"[{"name":"a","burst":1,"per_seconds":1},{"name":"A","burst":1,"per_seconds":1}]"#).0, "/1/name");
        assert_eq!(pointer_and_detail(r#"[{"name":"a","burst":1,"per_seconds":1},{"name":"a","burst":2,"per_seconds":1}]"#).0, "/1/name");
    }

    #[test]
    fn a_list_holds_one_to_four() {
        let list = |count: usize| {
            let items: Vec<_> = (0..count).map(|place| format!(r#"{{"name":"n{place}","burst":1,"per_seconds":1}}"#)).collect();
            format!("[{}]", items.join(","))
        };
        assert!(read(&list(1)).is_ok() && read(&list(4)).is_ok());
        assert_eq!(pointer_and_detail(&list(0)).0, "");
        assert_eq!(pointer_and_detail(&list(5)).0, "");
    }
}
