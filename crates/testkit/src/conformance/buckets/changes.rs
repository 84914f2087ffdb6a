//! Changes of limits: what is owed in tokens stays owed, and not a token more.

use std::time::Instant;

use tollgate_gate::ports::BucketStore;
use tollgate_limits::RateLimits;

use super::ask::{Ask, MONTH, limit, list};

/// {1 per 31 d} spent, then {1000 per 60 s}: one token is owed, not a month.
pub async fn a_spent_slow_limit_made_fast_owes_one_token(store: &dyn BucketStore) {
    let ask = Ask::key(limit(1, MONTH));
    ask.allowed(store).await;
    let standing = ask.clone().limits(limit(1000, 60)).generation(2).cost(999).allowed(store).await[0].standing;
    assert!(standing.reset_after_us <= 60_000_000, "{standing:?}");
    // The same where no time can have helped.
    let ask = Ask::key(limit(1, MONTH));
    ask.allowed(store).await;
    let ask = ask.limits(limit(1000, MONTH)).generation(2);
    assert_eq!(ask.clone().cost(1000).limited(store).await[0].standing.remaining, 999);
    ask.cost(999).allowed(store).await;
}

/// {1000 per 60 s} exhausted, then {1000 per 31 d}: only what refilled meanwhile is there.
pub async fn an_exhausted_fast_limit_made_slow_gives_nothing_away(store: &dyn BucketStore) {
    let start = Instant::now();
    for (old, new) in [(60, MONTH), (MONTH, 60)] {
        let ask = Ask::key(limit(1000, old)).cost(1000);
        ask.allowed(store).await;
        let left = ask.limits(limit(1000, new)).generation(2).remaining(store).await;
        let refilled = start.elapsed().as_millis() * 1000 / 60_000 + 1;
        assert!(u128::from(left) <= refilled, "{left} tokens are left, of {refilled} that can have come back");
    }
}

/// 100 with 50 spent, then 1000: 950 are left.
pub async fn a_higher_burst_keeps_the_debt(store: &dyn BucketStore) {
    let ask = Ask::key(limit(100, MONTH)).cost(50);
    ask.allowed(store).await;
    let ask = ask.limits(limit(1000, MONTH)).generation(2);
    assert_eq!(ask.remaining(store).await, 950);
    ask.clone().cost(951).limited(store).await;
    ask.clone().cost(950).allowed(store).await;
    ask.clone().cost(1).limited(store).await;
}

/// 1000 with 500 spent, then 100: empty, and full again within the new period.
pub async fn a_lower_burst_caps_the_debt(store: &dyn BucketStore) {
    let ask = Ask::key(limit(1000, MONTH)).cost(500);
    ask.allowed(store).await;
    let standing = ask.limits(limit(100, MONTH)).generation(2).cost(1).limited(store).await[0].standing;
    assert_eq!(standing.remaining, 0);
    assert!(standing.reset_after_us <= MONTH * 1_000_000, "{standing:?}");
    assert!(standing.retry_after_us <= MONTH * 1_000_000 / 100 + 1, "{standing:?}");
}

/// Unlimited for a while is no way to be rid of a debt.
pub async fn an_unlimited_key_that_is_limited_again_still_owes(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH)).cost(10);
    ask.allowed(store).await;
    ask.clone().limits(RateLimits::unlimited()).generation(2).allowed(store).await;
    ask.clone().generation(3).cost(1).limited(store).await;
}

/// A new name is a new bucket, an old one keeps what it owes, and the order does not matter.
pub async fn a_bucket_belongs_to_its_name(store: &dyn BucketStore) {
    let ask = Ask::key(list(&[("a", 10, MONTH), ("b", 20, MONTH)])).cost(10);
    ask.allowed(store).await;
    let turned = ask.clone().limits(list(&[("b", 20, MONTH), ("a", 10, MONTH)])).generation(2).cost(1);
    let left: Vec<u32> = turned.limited(store).await.iter().map(|one| one.standing.remaining).collect();
    assert_eq!(left, [10, 0]);
    let renamed = ask.clone().limits(list(&[("c", 10, MONTH)])).generation(3);
    renamed.allowed(store).await;
    let back = ask.limits(list(&[("a", 10, MONTH)])).generation(4).cost(1);
    assert_eq!(back.limited(store).await[0].standing.remaining, 0);
}

/// Who limits a named thing gives its figures with every call: no generation tells them apart.
pub async fn the_same_generation_may_ask_with_other_figures(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH)).named().cost(10);
    ask.allowed(store).await;
    assert_eq!(ask.clone().limits(limit(20, MONTH)).allowed(store).await[0].standing.remaining, 0);
    assert_eq!(ask.limited(store).await[0].standing.remaining, 0);
}
