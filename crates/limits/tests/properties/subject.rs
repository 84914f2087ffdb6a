//! One subject with its record, as a test asks it.

use tollgate_limits::{Ask, Cost, Decided, LimitName, NamedLimit, RateLimit, RateLimits, Record, Standing, decide};

pub(crate) fn limit(burst: u64, per_seconds: u64) -> RateLimit {
    RateLimit::new(burst, per_seconds).expect("figures within their ranges")
}

pub(crate) fn cost(tokens: u32) -> Cost {
    Cost::new(tokens.into()).expect("a cost within its range")
}

/// A list of limits named `a`, `b`, `c`, `d`.
pub(crate) fn list(limits: &[RateLimit]) -> RateLimits {
    let named = |(limit, name): (&RateLimit, &str)| NamedLimit { name: LimitName::new(name).expect("a good name"), limit: *limit };
    RateLimits::new(limits.iter().zip(["a", "b", "c", "d"]).map(named).collect()).expect("a good list")
}

/// A subject with one limit.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) limits: RateLimits,
    pub(crate) record: Record,
}

impl Subject {
    pub(crate) fn fresh(limit: RateLimit) -> Self {
        Self { limits: list(&[limit]), record: Record::default() }
    }

    /// Puts another limit in the place of the present one.
    pub(crate) fn change(&mut self, limit: RateLimit) {
        self.limits = list(&[limit]);
    }

    pub(crate) fn charge(&mut self, tokens: u32, now_us: u64) -> Standing {
        self.decide(tokens, false, now_us)
    }

    /// Asks without a trace: a copy is decided on.
    pub(crate) fn look(&self, tokens: u32, now_us: u64) -> Standing {
        self.clone().decide(tokens, true, now_us)
    }

    pub(crate) fn decide(&mut self, tokens: u32, peek: bool, now_us: u64) -> Standing {
        let ask = Ask { generation: 0, limits: &self.limits };
        match decide(std::slice::from_mut(&mut self.record), &[ask], cost(tokens), peek, now_us) {
            Decided::Allowed(standings) if standings[0].fits => standings[0],
            Decided::Limited(standings) if !standings[0].fits => standings[0],
            other => panic!("a cost of {tokens} was answered {other:?}"),
        }
    }
}
