//! Fences: who knows older rules decides nothing.

use tollgate_gate::ports::{BucketStore, Fence, Outcome, SubjectKind};
use tollgate_limits::RateLimits;

use super::ask::{Ask, MONTH, limit, owner, raise};

/// A charge under new rules stops the old ones, without any fence.
pub async fn a_charge_raises_the_generation(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH));
    ask.clone().generation(5).allowed(store).await;
    ask.clone().generation(4).stale(store).await;
    ask.clone().generation(5).allowed(store).await;
    ask.clone().generation(6).allowed(store).await;
    ask.clone().generation(5).stale(store).await;
    assert_eq!(ask.generation(6).remaining(store).await, 7, "who is stale is not charged");
}

/// The generation of the fence and newer ones pass.
pub async fn a_fence_stops_older_rules(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH)).generation(9);
    ask.allowed(store).await;
    raise(store, ask.fence(10)).await;
    ask.stale(store).await;
    ask.clone().generation(10).allowed(store).await;
    ask.clone().generation(11).allowed(store).await;
    assert_eq!(ask.generation(11).remaining(store).await, 7);
}

/// Fences may come late and in any order.
pub async fn a_fence_never_falls(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH)).generation(9);
    raise(store, ask.fence(10)).await;
    raise(store, ask.fence(5)).await;
    ask.stale(store).await;
    raise(store, ask.fence(10)).await;
    ask.clone().generation(10).allowed(store).await;
}

/// No limit and no charge is no way around.
pub async fn a_fence_stops_unlimited_keys_and_peeks(store: &dyn BucketStore) {
    let unlimited = Ask::key(RateLimits::unlimited());
    raise(store, unlimited.fence(2)).await;
    unlimited.stale(store).await;
    unlimited.clone().peek().stale(store).await;
    unlimited.clone().generation(2).allowed(store).await;
    let limited = Ask::key(limit(10, MONTH));
    raise(store, limited.fence(2)).await;
    limited.peek().stale(store).await;
}

/// A revoked key stays revoked, for every generation, whatever fence comes after.
pub async fn revoked_is_final(store: &dyn BucketStore) {
    for limits in [limit(10, MONTH), RateLimits::unlimited()] {
        let ask = Ask::key(limits).generation(5);
        ask.allowed(store).await;
        raise(store, Fence { revoked: true, ..ask.fence(6) }).await;
        raise(store, Fence { reset: true, ..ask.fence(8) }).await;
        for generation in [5, 6, 8, 9] {
            let asker = ask.clone().generation(generation);
            assert_eq!(asker.of(store).await, Outcome::Revoked, "generation {generation}");
            assert_eq!(asker.peek().of(store).await, Outcome::Revoked, "generation {generation}");
        }
    }
}

/// A change of an owner's rules holds for all its keys at once.
pub async fn an_owners_fence_stops_its_keys(store: &dyn BucketStore) {
    let (owner, ten) = (owner(), limit(10, MONTH));
    let keys = [Ask::key(ten.clone()).owned_by(&owner, ten.clone()), Ask::key(RateLimits::unlimited()).owned_by(&owner, ten)];
    keys[0].allowed(store).await;
    let (id, placed_by) = (owner.clone(), owner);
    raise(store, Fence { kind: SubjectKind::Owner, id, placed_by, generation: 2, revoked: false, reset: false }).await;
    for key in &keys {
        key.stale(store).await;
        key.clone().owner_generation(2).allowed(store).await;
    }
    assert_eq!(keys[0].clone().owner_generation(2).remaining(store).await, 8, "the key's own bucket");
}

/// The fence of an owned key lies where decisions over key and owner look for it.
pub async fn a_fence_under_an_owner_is_found_by_the_decision(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH)).owned_by(&owner(), RateLimits::unlimited());
    raise(store, ask.fence(2)).await;
    ask.stale(store).await;
    let ask = ask.generation(2);
    ask.allowed(store).await;
    raise(store, Fence { revoked: true, ..ask.fence(3) }).await;
    assert_eq!(ask.of(store).await, Outcome::Revoked);
}

/// A fence leaves buckets as they are, unless it says otherwise.
pub async fn only_a_reset_fills_buckets(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH)).cost(10);
    ask.allowed(store).await;
    raise(store, ask.fence(2)).await;
    let ask = ask.generation(2);
    ask.limited(store).await;
    raise(store, Fence { reset: true, ..ask.fence(3) }).await;
    ask.stale(store).await;
    let ask = ask.generation(3);
    ask.allowed(store).await;
    ask.limited(store).await;
}

/// A reset is raised by its writer and by all who read of it: it fills buckets once.
pub async fn a_reset_fills_buckets_once(store: &dyn BucketStore) {
    let ask = Ask::key(limit(10, MONTH)).cost(10);
    ask.allowed(store).await;
    let reset = |generation| Fence { reset: true, ..ask.fence(generation) };
    raise(store, reset(3)).await;
    let asker = ask.clone().generation(3);
    asker.allowed(store).await;
    raise(store, reset(3)).await;
    asker.limited(store).await;
    raise(store, reset(2)).await;
    asker.limited(store).await;
    // One whose rules were asked by before it was raised is a reset all the same.
    let asker = ask.clone().generation(4);
    asker.limited(store).await;
    raise(store, reset(4)).await;
    asker.allowed(store).await;
    raise(store, reset(4)).await;
    asker.limited(store).await;
    // Nor does it get lost where a later change was quicker.
    raise(store, ask.fence(6)).await;
    raise(store, reset(5)).await;
    ask.clone().generation(5).stale(store).await;
    ask.generation(6).allowed(store).await;
}
