//! What `RateLimit` and `RateLimit-Policy` say, and how long to wait by it.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// The most limits that are read: a key and an owner have four each.
const LIMITS_MAX: usize = 16;

/// How the limits of a key stood when a node answered (draft-ietf-httpapi-ratelimit-headers-11).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// One for each limit that the request was held to.
    pub limits: Vec<LimitState>,
}

/// One limit as a node told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitState {
    /// Its name: `key`, `owner`, or what it was given.
    pub name: String,
    /// Whole tokens that were left, rounded down.
    pub remaining: u64,
    /// Seconds until it is full again, rounded up.
    pub reset_after_s: u64,
    /// Its capacity in tokens and the seconds in which an empty one fills, where they were told.
    pub policy: Option<LimitPolicy>,
}

/// What a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitPolicy {
    /// Capacity in tokens.
    pub burst: u64,
    /// Seconds in which an empty bucket fills.
    pub per_seconds: u64,
}

impl RateLimits {
    /// Reads the headers of an answer; none where it tells of no limit.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let policies = items(headers, "ratelimit-policy");
        let policy_of = |name: &str| {
            let item = policies.iter().find(|item| item.name == name)?;
            Some(LimitPolicy { burst: item.parameter("q")?, per_seconds: item.parameter("w")? })
        };
        let states = items(headers, "ratelimit");
        let limits = states.iter().filter_map(|item| {
            let (remaining, reset_after_s) = (item.parameter("r")?, item.parameter("t").unwrap_or(0));
            Some(LimitState { name: item.name.clone(), remaining, reset_after_s, policy: policy_of(&item.name) })
        });
        let limits: Vec<LimitState> = limits.collect();
        (!limits.is_empty()).then_some(Self { limits })
    }

    /// Whole tokens left in the tightest limit.
    pub fn remaining(&self) -> u64 {
        self.limits.iter().map(|limit| limit.remaining).min().unwrap_or(u64::MAX)
    }

    /// How long after the answer a request of this cost is certain to be allowed, if nothing else
    /// is charged to the same limits meanwhile; none where the cost is above a burst, so never.
    pub fn wait_for(&self, cost: u64) -> Option<Duration> {
        self.limits.iter().try_fold(Duration::ZERO, |longest, limit| Some(longest.max(limit.wait_for(cost)?)))
    }
}

impl LimitState {
    fn wait_for(&self, cost: u64) -> Option<Duration> {
        let Some(missing) = cost.checked_sub(self.remaining).filter(|missing| *missing > 0) else { return Some(Duration::ZERO) };
        let full = Duration::from_secs(self.reset_after_s);
        let Some(LimitPolicy { burst, per_seconds }) = self.policy else { return Some(full) };
        if cost > burst {
            return None;
        }
        let refill_us = (u128::from(missing) * u128::from(per_seconds) * 1_000_000).div_ceil(u128::from(burst.max(1)));
        // A full bucket holds every cost that can pass at all.
        Some(full.min(Duration::from_micros(u64::try_from(refill_us).unwrap_or(u64::MAX))))
    }
}

/// One item of a list: `"name";a=1;b=2`.
struct Item {
    name: String,
    parameters: Vec<(String, u64)>,
}

impl Item {
    fn read(text: &str) -> Option<Self> {
        let (name, rest) = text.trim().strip_prefix('"')?.split_once('"')?;
        let parameters = rest.split(';').filter_map(|parameter| {
            let (name, value) = parameter.trim().split_once('=')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Some(Self { name: name.to_owned(), parameters: parameters.collect() })
    }

    fn parameter(&self, name: &str) -> Option<u64> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// The items of a list header. Names of limits hold neither commas nor quotes; what is no item is
/// passed over, as it is meant for somebody else.
fn items(headers: &HeaderMap, name: &str) -> Vec<Item> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(Item::read).take(LIMITS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(policy: &'static str, state: &'static str) -> Option<RateLimits> {
        let mut headers = HeaderMap::new();
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if !value.is_empty() {
                headers.insert(name, value.parse().expect("a value"));
            }
        }
        RateLimits::of(&headers)
    }

    #[test]
    fn reads_what_a_node_writes() {
        let read = limits(r#""key";q=100;w=60, "owner.day";q=1000;w=86400"#, r#""key";r=99;t=1, "owner.day";r=998;t=173"#).expect("limits");
        let policy = |burst, per_seconds| Some(LimitPolicy { burst, per_seconds });
        let expected = [
            LimitState { name: "key".into(), remaining: 99, reset_after_s: 1, policy: policy(100, 60) },
            LimitState { name: "owner.day".into(), remaining: 998, reset_after_s: 173, policy: policy(1000, 86_400) },
        ];
        assert_eq!(read.limits, expected);
        assert_eq!(read.remaining(), 99);
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        assert_eq!(limits("", ""), None);
        assert_eq!(limits(r#""key";q=1;w=1"#, "100;w=60, \"open;r=1, \"key\";t=4, \"key\";r=-1"), None);
        let odd = limits(r#""key";pk=:YQ==:;w=60;q=5;qu="content-bytes""#, r#" "key" ; x="a" ; t=3 ; r=2"#).expect("a limit");
        assert_eq!(
            odd.limits[0],
            LimitState { name: "key".into(), remaining: 2, reset_after_s: 3, policy: Some(LimitPolicy { burst: 5, per_seconds: 60 }) }
        );
        let many = (0..100).map(|index| format!("\"l{index}\";r=1;t=1")).collect::<Vec<_>>().join(",");
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit", many.parse().expect("a value"));
        assert_eq!(RateLimits::of(&headers).expect("limits").limits.len(), LIMITS_MAX);
    }

    #[test]
    fn the_wait_is_that_of_the_slowest_limit_and_never_longer_than_until_full() {
        let read = limits(r#""a";q=10;w=60, "b";q=3;w=1"#, r#""a";r=4;t=36, "b";r=0;t=1"#).expect("limits");
        assert_eq!(read.wait_for(0), Some(Duration::ZERO));
        assert_eq!(read.wait_for(1), Some(Duration::from_micros(333_334)));
        assert_eq!(read.wait_for(3), Some(Duration::from_secs(1)));
        assert_eq!(read.wait_for(4), None, "above the burst of b");
        let one = limits(r#""a";q=10;w=60"#, r#""a";r=4;t=36"#).expect("a limit");
        assert_eq!((one.wait_for(4), one.wait_for(5)), (Some(Duration::ZERO), Some(Duration::from_secs(6))));
        assert_eq!((one.wait_for(10), one.wait_for(11)), (Some(Duration::from_secs(36)), None));
        let untold = limits("", r#""a";r=4;t=36"#).expect("a limit");
        assert_eq!(untold.wait_for(5), Some(Duration::from_secs(36)));
    }
}
