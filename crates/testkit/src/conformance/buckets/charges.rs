//! Charges: exact, all or nothing, and only where they are allowed.

use tollgate_gate::ports::{BucketStore, SubjectKind, SubjectStanding};
use tollgate_limits::RateLimits;

use super::ask::{Ask, MONTH, limit, list, owner};

/// Burst B: B tokens pass one by one, the next does not, and is told when to come back.
pub async fn a_bucket_admits_exactly_its_burst(store: &dyn BucketStore) {
    for burst in [1_u32, 7, 100] {
        let ask = Ask::key(limit(burst.into(), MONTH));
        for left in (0..burst).rev() {
            let standings = ask.allowed(store).await;
            assert_eq!(standings.len(), 1);
            let standing = standings[0].standing;
            assert_eq!((standing.fits, standing.remaining, standing.retry_after_us), (true, left, 0));
        }
        let refused = ask.limited(store).await[0].standing;
        let token_us = MONTH * 1_000_000 / u64::from(burst) + 1;
        assert_eq!((refused.fits, refused.remaining), (false, 0));
        assert!((1..=token_us).contains(&refused.retry_after_us), "{refused:?}");
        assert!((1..=MONTH * 1_000_000).contains(&refused.reset_after_us), "{refused:?}");
    }
}

/// A cost is charged in full or not at all; a refused one leaves room for a smaller.
pub async fn costs_are_charged_in_tokens(store: &dyn BucketStore) {
    let ask = Ask::key(limit(100, MONTH)).cost(30);
    for left in [70, 40, 10] {
        assert_eq!(ask.allowed(store).await[0].standing.remaining, left);
    }
    for _ in 0..3 {
        assert_eq!(ask.limited(store).await[0].standing.remaining, 10, "a denial charges nothing");
    }
    assert_eq!(ask.clone().cost(10).allowed(store).await[0].standing.remaining, 0);
    ask.clone().cost(1).limited(store).await;
}

/// 10⁹ tokens at once, over the longest period and the shortest.
pub async fn the_largest_cost_empties_the_largest_bucket(store: &dyn BucketStore) {
    for per_seconds in [1, MONTH] {
        let standing = Ask::key(limit(1_000_000_000, per_seconds)).cost(1_000_000_000).allowed(store).await[0].standing;
        assert_eq!((standing.remaining, standing.reset_after_us), (0, per_seconds * 1_000_000));
    }
}

/// A peek is answered like a charge, and leaves everything as it was.
pub async fn a_peek_charges_nothing(store: &dyn BucketStore) {
    let ask = Ask::key(limit(100, MONTH)).cost(100);
    for _ in 0..3 {
        let standing = ask.clone().peek().allowed(store).await[0].standing;
        assert_eq!((standing.fits, standing.remaining, standing.reset_after_us), (true, 100, 0));
    }
    ask.allowed(store).await;
    let refused = ask.clone().cost(1).peek().limited(store).await[0].standing;
    assert_eq!((refused.fits, refused.remaining), (false, 0));
}

/// Several limits of one subject: the tightest refuses, and the others are not charged for it.
pub async fn all_limits_of_a_list_must_allow(store: &dyn BucketStore) {
    let ask = Ask::key(list(&[("wide", 10, MONTH), ("tight", 3, MONTH), ("middle", 5, MONTH)]));
    for spent in 1..=3 {
        let left: Vec<u32> = ask.allowed(store).await.iter().map(|one| one.standing.remaining).collect();
        assert_eq!(left, [10 - spent, 3 - spent, 5 - spent]);
    }
    for _ in 0..2 {
        let standings = ask.limited(store).await;
        let told = |one: &SubjectStanding| (one.named.name.as_str().to_owned(), one.standing.fits, one.standing.remaining);
        let told: Vec<_> = standings.iter().map(told).collect();
        assert_eq!(told, [("wide".to_owned(), true, 7), ("tight".to_owned(), false, 0), ("middle".to_owned(), true, 2)]);
    }
}

fn figures(standings: &[SubjectStanding]) -> Vec<(SubjectKind, bool, u32)> {
    standings.iter().map(|one| (one.kind, one.standing.fits, one.standing.remaining)).collect()
}

/// Where one of key and owner refuses, neither is charged, and the one that refused is told.
pub async fn key_and_owner_are_all_or_nothing(store: &dyn BucketStore) {
    use SubjectKind::{Key, Owner};

    let ask = Ask::key(limit(100, MONTH)).owned_by(&owner(), list(&[("owner", 10, MONTH)]));
    assert_eq!(figures(&ask.clone().cost(10).allowed(store).await), [(Key, true, 90), (Owner, true, 0)]);
    for _ in 0..2 {
        assert_eq!(figures(&ask.limited(store).await), [(Key, true, 90), (Owner, false, 0)]);
    }
    let ask = Ask::key(limit(10, MONTH)).owned_by(&owner(), list(&[("owner", 100, MONTH)]));
    assert_eq!(figures(&ask.clone().cost(10).allowed(store).await), [(Key, true, 0), (Owner, true, 90)]);
    for _ in 0..2 {
        assert_eq!(figures(&ask.limited(store).await), [(Key, false, 0), (Owner, true, 90)]);
    }
}

/// All keys of an owner spend from one bucket.
pub async fn keys_share_the_bucket_of_their_owner(store: &dyn BucketStore) {
    let (owner, of_owner) = (owner(), list(&[("owner", 10, MONTH)]));
    let key = |limits| Ask::key(limits).owned_by(&owner, of_owner.clone());
    key(limit(100, MONTH)).cost(4).allowed(store).await;
    key(RateLimits::unlimited()).cost(4).allowed(store).await;
    let refused = figures(&key(limit(100, MONTH)).cost(4).limited(store).await);
    assert_eq!(refused, [(SubjectKind::Key, true, 100), (SubjectKind::Owner, false, 2)]);
    key(limit(100, MONTH)).cost(2).allowed(store).await;
}

/// Without limits there is nothing to refuse, and nothing to tell.
pub async fn unlimited_is_always_allowed(store: &dyn BucketStore) {
    let ask = Ask::key(RateLimits::unlimited()).cost(1_000_000_000);
    for _ in 0..3 {
        assert_eq!(ask.allowed(store).await, []);
    }
    let owned = ask.owned_by(&owner(), RateLimits::unlimited());
    assert_eq!(owned.allowed(store).await, []);
}

/// A key, an owner and a named thing of one id have nothing in common.
pub async fn kinds_of_subjects_have_buckets_of_their_own(store: &dyn BucketStore) {
    let one = || limit(1, MONTH);
    let key = Ask::key(one());
    let thing = key.clone().named();
    let owned = Ask::key(one()).owned_by(&key.id(), one());
    for ask in [&key, &thing, &owned] {
        ask.allowed(store).await;
    }
    for ask in [&key, &thing, &owned] {
        ask.limited(store).await;
    }
}
