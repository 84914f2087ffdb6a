//! The one encoder of rate-limit headers.
//!
//! `RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-11, one
//! list item per limit; the `X-RateLimit-…` ones tell of the tightest limit alone. What they
//! promise holds if nothing else is charged meanwhile: `r` is rounded down and tokens only come
//! back, so `r` fit at any time; `t` and `Retry-After` are rounded up to whole seconds, so the
//! bucket is full, and the refused request fits, when they have passed.

use http::{HeaderMap, HeaderName};
use tollgate_gate::ports::{SubjectKind, SubjectStanding};
use tollgate_settings::RateLimitHeaders;

use crate::values::{Value, Values};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

const US_PER_SECOND: u64 = 1_000_000;
/// About as many bytes are written of each limit.
const BYTES_PER_LIMIT: usize = 64;

/// Adds the headers of a decision on a verified key; none where nothing is limited.
pub(crate) fn write(mode: RateLimitHeaders, standings: &[SubjectStanding], headers: &mut HeaderMap) {
    if mode != RateLimitHeaders::Off && !standings.is_empty() {
        write_values(mode, standings, &mut Values::with_capacity(headers, room(standings)));
    }
}

/// How many bytes they take, about.
pub(crate) fn room(standings: &[SubjectStanding]) -> usize {
    standings.len() * BYTES_PER_LIMIT
}

/// The same beside other values.
pub(crate) fn write_values(mode: RateLimitHeaders, standings: &[SubjectStanding], values: &mut Values<'_>) {
    let (draft11, legacy) = match mode {
        RateLimitHeaders::Draft11 => (true, false),
        RateLimitHeaders::Legacy => (false, true),
        RateLimitHeaders::Both => (true, true),
        RateLimitHeaders::Off => (false, false),
    };
    if draft11 && !standings.is_empty() {
        values.insert(POLICY, |value| list(standings, value, policy));
        values.insert(STATE, |value| list(standings, value, state));
    }
    if let Some(tightest) = standings.iter().min_by_key(|one| tightness(one)).filter(|_| legacy) {
        let standing = tightest.standing;
        values.insert(LEGACY_LIMIT, |value| {
            value.number(tightest.named.limit.burst());
        });
        values.insert(LEGACY_REMAINING, |value| {
            value.number(standing.remaining);
        });
        values.insert(LEGACY_RESET, |value| {
            value.number(standing.reset_after_us.div_ceil(US_PER_SECOND));
        });
    }
}

/// The name of a limit outside: `key` and `owner` for single ones; an owner's limits of a list
/// say whose they are, so that they cannot be taken for the key's.
pub(crate) fn policy_name(one: &SubjectStanding) -> String {
    let (whose, name) = named(one);
    [whose, name].concat()
}

fn named(one: &SubjectStanding) -> (&'static str, &str) {
    let name = one.named.name.as_str();
    match one.kind {
        SubjectKind::Owner if name != "owner" => ("owner.", name),
        SubjectKind::Owner | SubjectKind::Key | SubjectKind::Named => ("", name),
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

/// An item for each limit. Names have no character that would need escaping.
fn list(standings: &[SubjectStanding], value: &mut Value<'_>, item: impl Fn(&SubjectStanding, &mut Value<'_>)) {
    for one in standings {
        let (whose, name) = named(one);
        let before = if value.is_empty() { "\"" } else { ", \"" };
        value.text(before).text(whose).text(name);
        item(one, value);
    }
}

fn policy(one: &SubjectStanding, value: &mut Value<'_>) {
    let limit = one.named.limit;
    value.text("\";q=").number(limit.burst()).text(";w=").number(limit.per_seconds());
}

fn state(one: &SubjectStanding, value: &mut Value<'_>) {
    let standing = one.standing;
    value.text("\";r=").number(standing.remaining).text(";t=").number(standing.reset_after_us.div_ceil(US_PER_SECOND));
}

#[cfg(test)]
mod tests;
