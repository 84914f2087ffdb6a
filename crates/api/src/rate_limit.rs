//! `rate_limit` as it is written: one object, or a list of named ones.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};

/// One rate limit as written: `{"burst": 100, "per_seconds": 60}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitFields {
    /// Capacity in tokens, 1 to 1 000 000 000.
    pub burst: u64,
    /// Seconds in which an empty bucket fills, 1 to 2 678 400.
    pub per_seconds: u64,
}

/// One rate limit of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRateLimitFields {
    /// Name, unique in its list: `[a-z0-9][a-z0-9._:-]{0,63}`.
    pub name: String,
    /// Capacity in tokens, 1 to 1 000 000 000.
    pub burst: u64,
    /// Seconds in which an empty bucket fills, 1 to 2 678 400.
    pub per_seconds: u64,
}

/// `rate_limit` as written. Says nothing of ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RateLimitSpec {
    /// One limit, which goes by the name `key` (or `owner`).
    One(RateLimitFields),
    /// Up to four limits, all of which must allow.
    Many(Vec<NamedRateLimitFields>),
}

impl<'de> Deserialize<'de> for RateLimitSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpecVisitor)
    }
}

/// Written by hand: an untagged enum would forget which field was wrong, and how.
struct SpecVisitor;

impl<'de> Visitor<'de> for SpecVisitor {
    type Value = RateLimitSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object {\"burst\", \"per_seconds\"} or a list of up to four with a \"name\" each")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        RateLimitFields::deserialize(MapAccessDeserializer::new(map)).map(RateLimitSpec::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let list = Vec::<Object>::deserialize(SeqAccessDeserializer::new(seq))?;
        Ok(RateLimitSpec::Many(list.into_iter().map(|Object(fields)| fields).collect()))
    }
}

/// One limit of a list, which must be an object: a derived struct would also be read from an array.
struct Object(NamedRateLimitFields);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object {\"name\", \"burst\", \"per_seconds\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
                NamedRateLimitFields::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_any(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RateLimitSpec, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_one_and_many() {
        assert_eq!(read(r#"{"burst":1,"per_seconds":2}"#), Ok(RateLimitSpec::One(RateLimitFields { burst: 1, per_seconds: 2 })));
        let many = read(r#"[{"name":"a","burst":1,"per_seconds":2}]"#);
        assert!(matches!(many, Ok(RateLimitSpec::Many(list)) if list.len() == 1));
    }

    #[test]
    fn refuses_what_is_not_two_whole_numbers() {
        for bad in [
            "1",
            "\"x\"",
            "{}",
            r#"{"burst":1}"#,
            r#"{"burst":1.5,"per_seconds":1}"#,
            r#"{"burst":-1,"per_seconds":1}"#,
            r#"{"burst":"1","per_seconds":1}"#,
            r#"{"burst":1e3,"per_seconds":1}"#,
            r#"{"burst":1,"burst":1,"per_seconds":1}"#,
            r#"{"burst":1,"per_seconds":1,"x":1}"#,
            r#"{"burst":18446744073709551616,"per_seconds":1}"#,
            r#"[{"burst":1,"per_seconds":1}]"#,
            r#"[["a",1,1]]"#,
            r#"{"burst":true,"per_seconds":1}"#,
            r#"{"burst":null,"per_seconds":1}"#,
            r#"{"burst":[1],"per_seconds":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
