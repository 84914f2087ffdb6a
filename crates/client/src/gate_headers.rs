//! What a node says of limits, waits and keys beside its answer.

use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};

use crate::RateLimits;

/// The headers that are kept, apart from the request id, which has a place of its own.
const KEPT: [HeaderName; 9] = [
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    WARNING,
    HeaderName::from_static("sunset"),
];

/// The headers of an answer that concern the caller of whoever asked: how limits stand, when to
/// come back, which credentials are taken, that a key is of a kind on its way out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateHeaders(HeaderMap);

impl GateHeaders {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut kept = HeaderMap::new();
        for name in KEPT {
            for value in headers.get_all(&name) {
                kept.append(&name, value.clone());
            }
        }
        Self(kept)
    }

    /// The headers as they came.
    pub fn as_map(&self) -> &HeaderMap {
        &self.0
    }

    /// How the limits stood, where it was told in the form of the draft.
    pub fn rate_limits(&self) -> Option<RateLimits> {
        RateLimits::of(&self.0)
    }

    /// `Retry-After` in seconds.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.0.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_concerns_the_caller_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("ratelimit", "\"key\";r=1;t=2"), ("retry-after", "3"), ("server", "x"), ("set-cookie", "a=b")] {
            headers.insert(name, value.parse().expect("a value"));
        }
        let kept = GateHeaders::of(&headers);
        assert_eq!((kept.as_map().len(), kept.retry_after_s()), (2, Some(3)));
        assert_eq!(kept.rate_limits().map(|limits| limits.remaining()), Some(1));
    }
}
