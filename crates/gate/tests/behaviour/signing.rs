//! The ring of signing keys: loaded late, renewed, and never a reason for a false refusal.

use tollgate_gate::{add_signing_key, verdict::Unauthenticated};

use crate::support::{Outcomes, World, rules};

#[tokio::test(start_paused = true)]
async fn a_ring_that_cannot_be_read_is_no_refusal() {
    let world = World::cold(|_| {});
    let key = world.key(rules()).await;
    world.keys.set_down(true);
    let reads = world.keys.signing_reads();
    for _ in 0..5 {
        assert!(world.node.check(&key).await.unavailable().contains("signing keys"), "not called forged while nobody can say");
    }
    assert_eq!(world.keys.signing_reads(), reads + 1, "asked once a second at most");
    world.keys.set_down(false);
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    world.node.check(&key).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_crowd_waits_for_the_ring_that_one_of_it_reads() {
    let world = World::cold(|_| {});
    let key = world.key(rules()).await;
    let reads = world.keys.signing_reads();
    let mut held = world.keys.hold_signing();
    let ask = || {
        tokio::spawn({
            let (node, key) = (world.node.clone(), key.clone());
            async move { node.check(&key).await }
        })
    };
    let first = ask();
    held.reached().await;
    let others: Vec<_> = (0..50).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    held.release();
    first.await.expect("no panic").allowed();
    for other in others {
        other.await.expect("no panic").allowed();
    }
    assert_eq!(world.keys.signing_reads(), reads + 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_signed_by_a_new_member_of_the_ring_is_good_at_once() {
    let world = World::new().await;
    let old = world.used_key(rules()).await;
    add_signing_key(&*world.keys, None, false, 1_760_000_000_001).await.expect("added");
    let new = world.key(rules()).await;
    assert_ne!(old.secret.ring(), new.secret.ring());
    world.node.check(&new).await.allowed();
    world.node.check(&old).await.allowed();
}

#[tokio::test(start_paused = true)]
async fn a_ring_character_that_nobody_has_is_forged_and_reloads_once_a_second() {
    let world = World::new().await;
    let other = World::new().await;
    add_signing_key(&*other.keys, None, false, 1_760_000_000_001).await.expect("added");
    let foreign = other.key(rules()).await;
    let reads = world.keys.signing_reads();
    for _ in 0..100 {
        assert_eq!(world.node.check(&foreign).await.unauthenticated(), Unauthenticated::BadSignature);
    }
    assert_eq!((world.keys.signing_reads(), world.keys.finds(), world.node.hashes()), (reads + 1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_changes_is_learned_without_anybody_asking() {
    let world = World::new().await;
    let before = world.key(rules()).await.secret.ring();
    let added = add_signing_key(&*world.keys, None, false, 1_760_000_000_001).await.expect("added");
    world.node.turn().await;
    let body = serde_json::from_str(r#"{"name":"n"}"#).expect("a body");
    let made = world.node.gate.create_key(&crate::support::operator(None, &["admin"]), body).await.expect("made");
    let key = tollgate_keys::ApiKey::parse(&made.api_key.expect("shown once")).expect("an api key");
    assert_eq!(key.secret.ring().map(tollgate_keys::RingChar::as_char), Some(added));
    assert_ne!(key.secret.ring(), before);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_waits_for_a_ring_that_does_not_come_no_longer_than_for_a_look_up() {
    let world = World::cold(|_| {});
    let key = world.key(rules()).await;
    let _held = world.keys.hold_signing();
    let begun = tokio::time::Instant::now();
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (node, key) = (world.node.clone(), key.clone());
            tokio::spawn(async move { node.check(&key).await })
        })
        .collect();
    let mut told = 0;
    for one in crowd {
        // Whoever's turn comes last finds a store that answers again.
        told += usize::from(one.await.expect("no panic").is_err());
    }
    assert!(told > 0, "the first waits for what never comes");
    assert!(begun.elapsed() < std::time::Duration::from_secs(6), "{:?}", begun.elapsed());
}
