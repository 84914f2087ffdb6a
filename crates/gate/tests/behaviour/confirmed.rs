//! A refusal that rests on a cached record is confirmed by the fence, in a call that charges nothing.

use std::num::NonZeroU32;

use tollgate_gate::{
    config::KeyRules,
    ports::{BucketError, ChangeKind, Outcome},
    request::SharedKey,
    verdict::{Denial, Unauthenticated},
};
use tollgate_keys::{Scopes, SecretHashes, Status, hash_secret};

use crate::support::{Ask, Outcomes, Script, World, limits, options, rules};

/// Has the fence confirm the next refusal, or not; and says what the store was asked for.
async fn refused_then_mended(world: &World, key: &SharedKey, ask: Ask, mend: impl FnOnce()) -> Denial {
    let (finds, peeks) = (world.keys.finds(), world.buckets.peeks());
    let denial = world.node.ask(key, ask.clone()).await.denied();
    assert_eq!((world.keys.finds(), world.buckets.peeks()), (finds, peeks + 1), "the fence has not moved: no read");
    mend();
    world.buckets.tell([Outcome::Stale]);
    world.node.ask(key, ask).await.allowed();
    assert_eq!((world.keys.finds(), world.buckets.peeks()), (finds + 1, peeks + 2), "it has: one read");
    denial
}

#[tokio::test(start_paused = true)]
async fn a_missing_scope() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    let grant = || world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.scopes = Scopes::parse(["a"]).expect("scopes"));
    let denial = refused_then_mended(&world, &key, Ask::scope("a"), grant).await;
    assert!(matches!(denial, Denial::ScopeMissing { .. }));
    assert_eq!(world.node.hashes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cost_above_the_burst() {
    let world = World::new().await;
    let key = world.used_key(KeyRules { limits: limits(10, 60), ..rules() }).await;
    world.clock.advance_ms(60_000);
    let raise = || world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.limits = limits(11, 60));
    let denial = refused_then_mended(&world, &key, Ask::cost(11), raise).await;
    assert!(matches!(denial, Denial::CostExceedsBurst { limit, .. } if limit.burst() == 10));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_has_passed() {
    let world = World::new().await;
    let end_ms = tollgate_gate::Clock::unix_ms(&world.clock) + 10;
    let key = world.used_key(KeyRules { expires_at_ms: Some(end_ms), ..rules() }).await;
    world.clock.advance_ms(10);
    let extend = || world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.lifecycle.expires_at_ms = None);
    let denial = refused_then_mended(&world, &key, Ask::default(), extend).await;
    assert_eq!(denial, Denial::Unauthenticated(Unauthenticated::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_suspension() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.lifecycle.status = Status::Suspended);
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Suspended);
    let resume = || world.keys.edit(&key.key_id, ChangeKind::Updated, |record| record.lifecycle.status = Status::Active);
    let denial = refused_then_mended(&world, &key, Ask::default(), resume).await;
    assert_eq!(denial, Denial::Unauthenticated(Unauthenticated::Suspended));
    assert_eq!(world.node.hashes(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_secret_with_a_good_tag() {
    let world = World::new().await;
    let old = world.used_key(rules()).await;
    let new: SharedKey = world.keys.signed(&old.key_id).into();
    let hash = hash_secret(&options().hashing.params, &new.secret).expect("hashed");
    let rotate = || world.keys.edit(&old.key_id, ChangeKind::Rotated, |record| record.secrets = SecretHashes::only(hash));
    let denial = refused_then_mended(&world, &new, Ask::default(), rotate).await;
    assert_eq!(denial, Denial::Unauthenticated(Unauthenticated::BadSecret));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_needs_no_fence() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.keys.edit(&key.key_id, ChangeKind::Revoked, |record| record.lifecycle.status = Status::Revoked);
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Revoked);
    assert_eq!(world.node.check(&key).await.unauthenticated(), Unauthenticated::Revoked);
    assert_eq!((world.keys.finds(), world.buckets.asked()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_for_this_request_needs_no_fence() {
    let world = World::new().await;
    let key = world.key(rules()).await;
    world.node.ask(&key, Ask::scope("a")).await.denied();
    assert_eq!((world.keys.finds(), world.buckets.asked()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn where_the_fence_cannot_be_asked_the_record_is_read() {
    let world = World::new().await;
    let key = world.used_key(rules()).await;
    for answer in [Ok(Outcome::Lost), Ok(Outcome::Broken), Err(BucketError::Deadline), Err(BucketError::QueueFull)] {
        let finds = world.keys.finds();
        world.buckets.script([Script::Tell(answer)]);
        assert!(matches!(world.node.ask(&key, Ask::scope("a")).await.denied(), Denial::ScopeMissing { .. }));
        assert_eq!(world.keys.finds(), finds + 1);
    }
}

/// Two requests that share a reading: neither may take the other's for one that needs a fence.
#[tokio::test(start_paused = true)]
async fn in_an_outage_requests_that_share_a_reading_are_all_refused() {
    // None of them finds out that it need not ask.
    let world = World::with(|options| (options.lookups_max, options.outage.failures_max) = (1, NonZeroU32::MAX)).await;
    let key = world.used_key(rules()).await;
    world.buckets.go_down();
    let ask = || {
        tokio::spawn({
            let (node, key) = (world.node.clone(), key.clone());
            async move { node.ask(&key, Ask::scope("a")).await }
        })
    };
    let mut held = world.keys.hold_find();
    let first = ask();
    held.reached().await;
    let others = [ask(), ask(), ask()];
    world.buckets.until_asked(5).await;
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    held.release();
    for one in std::iter::once(first).chain(others) {
        assert!(matches!(one.await.expect("no panic").denied(), Denial::ScopeMissing { .. }));
    }
}
