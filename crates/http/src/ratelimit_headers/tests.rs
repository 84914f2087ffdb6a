use tollgate_limits::{Arrival, Cost, LimitName, NamedLimit, RateLimit, Standing, Step};

use super::*;

const NOW_US: u64 = 1_800_000_000_000_000;

fn standing(kind: SubjectKind, name: &str, limit: (u64, u64), standing: (bool, u32, u64, u64)) -> SubjectStanding {
    let (fits, remaining, retry_after_us, reset_after_us) = standing;
    SubjectStanding {
        kind,
        named: NamedLimit {
            name: LimitName::new(name).expect("a good name"),
            limit: RateLimit::new(limit.0, limit.1).expect("a good limit"),
        },
        standing: Standing { fits, remaining, retry_after_us, reset_after_us },
    }
}

fn written(mode: RateLimitHeaders, standings: &[SubjectStanding]) -> Vec<String> {
    let mut headers = HeaderMap::new();
    write(mode, standings, &mut headers);
    let mut lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("visible ASCII"))).collect();
    lines.sort();
    lines
}

fn key_and_owner() -> Vec<SubjectStanding> {
    vec![
        standing(SubjectKind::Key, "key", (100, 60), (true, 99, 0, 600_000)),
        standing(SubjectKind::Owner, "owner", (1000, 3600), (true, 12, 0, 3_556_800_001)),
    ]
}

#[test]
fn draft_11_lists_each_limit() {
    assert_eq!(
        written(RateLimitHeaders::Draft11, &key_and_owner()),
        [r#"ratelimit-policy: "key";q=100;w=60, "owner";q=1000;w=3600"#, r#"ratelimit: "key";r=99;t=1, "owner";r=12;t=3557"#,]
    );
}

#[test]
fn legacy_tells_of_the_tightest() {
    let expected = ["x-ratelimit-limit: 1000", "x-ratelimit-remaining: 12", "x-ratelimit-reset: 3557"];
    assert_eq!(written(RateLimitHeaders::Legacy, &key_and_owner()), expected);
    let refused = standing(SubjectKind::Key, "key", (100, 60), (false, 40, 5_000_000, 36_000_000));
    let both = [refused, standing(SubjectKind::Owner, "owner", (1000, 3600), (true, 12, 0, 1))];
    assert_eq!(written(RateLimitHeaders::Legacy, &both)[1], "x-ratelimit-remaining: 40");
}

#[test]
fn modes_add_up_and_nothing_is_said_of_no_limit() {
    assert_eq!(written(RateLimitHeaders::Both, &key_and_owner()).len(), 5);
    assert!(written(RateLimitHeaders::Off, &key_and_owner()).is_empty());
    assert!(written(RateLimitHeaders::Both, &[]).is_empty());
}

#[test]
fn names_tell_owners_limits_from_the_keys() {
    let name = |kind, name| policy_name(&standing(kind, name, (1, 1), (true, 1, 0, 0)));
    assert_eq!(name(SubjectKind::Key, "key"), "key");
    assert_eq!(name(SubjectKind::Key, "day"), "day");
    assert_eq!(name(SubjectKind::Owner, "owner"), "owner");
    assert_eq!(name(SubjectKind::Owner, "day"), "owner.day");
    assert_eq!(name(SubjectKind::Named, "logins"), "logins");
}

#[test]
fn retry_after_is_the_latest_refusal_in_whole_seconds_of_at_least_one() {
    let refused = |us| standing(SubjectKind::Key, "key", (1, 1), (false, 0, us, us));
    assert_eq!(retry_after_s(&[refused(1)]), 1);
    assert_eq!(retry_after_s(&[refused(1_000_000)]), 1);
    assert_eq!(retry_after_s(&[refused(1_000_001)]), 2);
    assert_eq!(retry_after_s(&[refused(5), refused(7_000_000), standing(SubjectKind::Key, "x", (1, 1), (true, 1, 0, 9_000_000))]), 7);
    assert_eq!(retry_after_s(&[]), 1);
}

/// The promise, on the reference arithmetic: after `t` the bucket is full, after `Retry-After`
/// the refused cost fits, and `r` fits at once.
#[test]
fn what_the_headers_promise_holds() {
    for (burst, per_seconds) in [(1, 1), (3, 1), (7, 86_400), (997, 61), (1000, 2_678_400), (1_000_000_000, 1)] {
        let limit = RateLimit::new(burst, per_seconds).expect("a good limit");
        for spent in [1, burst / 2 + 1, burst] {
            let all = Step::of(Cost::new(spent).expect("a cost"), limit).expect("within the burst");
            let arrival = Arrival::full_at(NOW_US).after(all, limit);
            let wanted = Step::of(Cost::new(burst).expect("a cost"), limit).expect("within the burst");
            let read = Standing::read(arrival, limit, Some(wanted), NOW_US);
            let later = NOW_US + read.reset_after_us.div_ceil(US_PER_SECOND) * US_PER_SECOND;
            assert_eq!(arrival.settled(limit, later), Arrival::full_at(later), "t of {limit:?} after {spent}");
            let retry = NOW_US + read.retry_after_us.div_ceil(US_PER_SECOND).max(1) * US_PER_SECOND;
            assert!(arrival.settled(limit, retry).after(wanted, limit).within(limit, retry), "retry of {limit:?} after {spent}");
            if let Some(step) = Cost::new(read.remaining.into()).ok().and_then(|cost| Step::of(cost, limit)) {
                assert!(arrival.after(step, limit).within(limit, NOW_US), "r of {limit:?} after {spent}");
            }
        }
    }
}
