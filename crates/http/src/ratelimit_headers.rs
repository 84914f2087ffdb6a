//! The one encoder of rate-limit headers.
//!
//! `RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-11, one
//! list item per limit; the `X-RateLimit-…` ones tell of the tightest limit alone. What they
//! promise holds if nothing else is charged meanwhile: `r` is rounded down and tokens only come
//! back, so `r` fit at any time; `t` and `Retry-After` are rounded up to whole seconds, so the
//! bucket is full, and the refused request fits, when they have passed.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_gate::ports::{SubjectKind, SubjectStanding};
use tollgate_settings::RateLimitHeaders;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

const US_PER_SECOND: u64 = 1_000_000;

/// Adds the headers of a decision on a verified key; none where nothing is limited.
pub(crate) fn write(mode: RateLimitHeaders, standings: &[SubjectStanding], headers: &mut HeaderMap) {
    let (draft11, legacy) = match mode {
        RateLimitHeaders::Draft11 => (true, false),
        RateLimitHeaders::Legacy => (false, true),
        RateLimitHeaders::Both => (true, true),
        RateLimitHeaders::Off => (false, false),
    };
    if draft11 && !standings.is_empty() {
        write_draft11(standings, headers);
    }
    if let Some(tightest) = standings.iter().min_by_key(|one| tightness(one)).filter(|_| legacy) {
        let standing = tightest.standing;
        insert(headers, LEGACY_LIMIT, &tightest.named.limit.burst().to_string());
        insert(headers, LEGACY_REMAINING, &standing.remaining.to_string());
        insert(headers, LEGACY_RESET, &standing.reset_after_us.div_ceil(US_PER_SECOND).to_string());
    }
}

/// The name of a limit outside: `key` and `owner` for single ones; an owner's limits of a list
/// say whose they are, so that they cannot be taken for the key's.
pub(crate) fn policy_name(one: &SubjectStanding) -> String {
    let name = one.named.name.as_str();
    match one.kind {
        SubjectKind::Owner if name != "owner" => format!("owner.{name}"),
        SubjectKind::Owner | SubjectKind::Key | SubjectKind::Named => name.to_owned(),
    }
}

/// When to try again: whole seconds, rounded up, at least 1; the latest of the limits that refused.
pub(crate) fn retry_after_s(standings: &[SubjectStanding]) -> u64 {
    let refusing = standings.iter().filter(|one| !one.standing.fits);
    refusing.map(|one| one.standing.retry_after_us.div_ceil(US_PER_SECOND)).max().unwrap_or(1).max(1)
}

/// The same in milliseconds, rounded up; for machines that read the body.
pub(crate) fn retry_after_ms(standings: &[SubjectStanding]) -> u64 {
    let refusing = standings.iter().filter(|one| !one.standing.fits);
    refusing.map(|one| one.standing.retry_after_us.div_ceil(1000)).max().unwrap_or(0)
}

/// Orders the limit that matters most to a client first: the one that refused, else the one with
/// the least left, else the one that takes longest.
pub(crate) fn tightness(one: &SubjectStanding) -> (bool, u32, std::cmp::Reverse<u64>) {
    (one.standing.fits, one.standing.remaining, std::cmp::Reverse(one.standing.reset_after_us))
}

fn write_draft11(standings: &[SubjectStanding], headers: &mut HeaderMap) {
    let (mut policy, mut state) = (String::with_capacity(32 * standings.len()), String::with_capacity(32 * standings.len()));
    for one in standings {
        let separator = if policy.is_empty() { "" } else { ", " };
        let (name, limit, standing) = (policy_name(one), one.named.limit, one.standing);
        let seconds = standing.reset_after_us.div_ceil(US_PER_SECOND);
        // Writing to a string cannot fail; names have no character that would need escaping.
        write!(policy, "{separator}\"{name}\";q={};w={}", limit.burst(), limit.per_seconds()).unwrap_or_default();
        write!(state, "{separator}\"{name}\";r={};t={seconds}", standing.remaining).unwrap_or_default();
    }
    insert(headers, POLICY, &policy);
    insert(headers, STATE, &state);
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
