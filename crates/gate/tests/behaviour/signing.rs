//! The ring of signing keys: loaded late, renewed, and never a reason for a false refusal.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tollgate_gate::{Clock as _, add_signing_key, ports::KeyStore as _, request::SharedKey, verdict::Unauthenticated};
use tollgate_keys::{ApiKey, RingChar};

use crate::support::{Node, Outcomes, World, operator, rules};

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

/// A key made through a node's own control plane.
async fn made_by(node: &Node) -> SharedKey {
    let body = serde_json::from_str(r#"{"name":"n"}"#).expect("a body");
    let made = node.gate.create_key(&operator(None, &["admin"]), body).await.expect("made");
    Arc::new(ApiKey::parse(&made.api_key.expect("shown once")).expect("an api key"))
}

fn ring_of(key: &SharedKey) -> Option<char> {
    key.secret.ring().map(RingChar::as_char)
}

async fn add(world: &World) -> char {
    add_signing_key(&*world.keys, None, false, world.clock.unix_ms()).await.expect("added")
}

#[tokio::test(start_paused = true)]
async fn a_new_signing_key_makes_nothing_that_another_node_refuses() {
    for read_before_ms in [0, 1, 500, 999, 1000, 2500, 3999] {
        let world = World::new().await;
        let maker = world.other_node().await;
        let old = made_by(&maker).await;
        // The one that is asked has read its ring just before, and does not read it by itself again.
        world.node.turn().await;
        tokio::time::advance(Duration::from_millis(read_before_ms)).await;
        let added = add(&world).await;
        let (reads, begun) = (world.keys.signing_reads(), Instant::now());
        let (mut new, mut polled) = (0, 0);
        while begun.elapsed() < Duration::from_secs(12) {
            maker.turn().await;
            polled += 1;
            let made = made_by(&maker).await;
            new += usize::from(ring_of(&made) == Some(added));
            world.node.check(&made).await.allowed();
            world.node.check(&old).await.allowed();
            tokio::time::advance(Duration::from_millis(250)).await;
        }
        assert!(new > 0, "it never signs");
        assert!(world.keys.signing_reads() - reads <= polled + 3, "the asked one reads the ring when it must");
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_key_that_can_sign_is_waited_for() {
    let world = World::new().await;
    let old = world.key(rules()).await;
    let added = add(&world).await;
    world.keys.retire_signing_key(ring_of(&old).expect("signed"), 1).await.expect("retired");
    world.node.turn().await;
    let body = || serde_json::from_str(r#"{"name":"n"}"#).expect("a body");
    let refused = world.node.gate.create_key(&operator(None, &["admin"]), body()).await.expect_err("nothing may sign yet");
    assert!(refused.to_string().contains("a moment ago"), "{refused}");
    let begun = Instant::now();
    let minted = world.key(rules()).await;
    assert!(ring_of(&minted) == Some(added) && begun.elapsed() >= Duration::from_secs(5), "the command line waits");
    world.node.turn().await;
    assert_eq!(ring_of(&made_by(&world.node).await), Some(added));
}

#[tokio::test(start_paused = true)]
async fn a_ring_character_that_nobody_has_is_forged_and_costs_no_read_of_the_ring() {
    let world = World::new().await;
    let other = World::new().await;
    let first = other.key(rules()).await;
    add(&other).await;
    other.keys.retire_signing_key(ring_of(&first).expect("signed"), 1).await.expect("retired");
    let foreign = other.key(rules()).await;
    assert_ne!(ring_of(&foreign), ring_of(&first));
    world.node.turn().await;
    let reads = world.keys.signing_reads();
    for _ in 0..100 {
        assert_eq!(world.node.check(&foreign).await.unauthenticated(), Unauthenticated::BadSignature);
    }
    assert_eq!((world.keys.signing_reads(), world.keys.finds(), world.node.hashes()), (reads, 0, 0));
    // A node that has not read the ring for long reads it once, and knows.
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..100 {
        assert_eq!(world.node.check(&foreign).await.unauthenticated(), Unauthenticated::BadSignature);
    }
    assert_eq!(world.keys.signing_reads(), reads + 1);
    // One that cannot read it does not know.
    world.keys.set_down(true);
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..100 {
        assert!(world.node.check(&foreign).await.unavailable().contains("signing keys"));
    }
    assert_eq!(world.keys.signing_reads(), reads + 2);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_alone_signs_with_a_new_key_at_once() {
    let world = World::cold(|options| options.source = tollgate_gate::DecisionSource::Local);
    let old = world.key(rules()).await;
    let added = add(&world).await;
    world.keys.retire_signing_key(ring_of(&old).expect("signed"), 1).await.expect("retired");
    world.node.turn().await;
    assert_eq!(ring_of(&made_by(&world.node).await), Some(added));
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_was_read_late_takes_the_place_of_no_newer_one() {
    let world = World::with(|options| options.lookup_timeout = Duration::from_mins(1)).await;
    let maker = world.other_node().await;
    tokio::time::advance(Duration::from_secs(2)).await;
    let mut held = world.keys.hold_signing();
    let polling = tokio::spawn({
        let gate = world.node.gate.clone();
        async move { gate.run().await }
    });
    held.reached().await;
    let added = add(&world).await;
    maker.turn().await;
    tokio::time::advance(Duration::from_secs(6)).await;
    maker.turn().await;
    let new = made_by(&maker).await;
    assert_eq!(ring_of(&new), Some(added));
    let asked = tokio::spawn({
        let (node, new) = (world.node.clone(), new.clone());
        async move { node.check(&new).await }
    });
    tokio::task::yield_now().await;
    held.release();
    asked.await.expect("no panic").allowed();
    for _ in 0..20 {
        tokio::time::advance(Duration::from_millis(500)).await;
        world.node.check(&made_by(&maker).await).await.allowed();
        world.node.check(&new).await.allowed();
    }
    polling.abort();
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_changes_is_learned_without_anybody_asking() {
    let world = World::new().await;
    let before = ring_of(&world.key(rules()).await);
    let added = add(&world).await;
    world.node.turn().await;
    assert_eq!(ring_of(&made_by(&world.node).await), before, "others may not have heard of it");
    tokio::time::advance(Duration::from_secs(5)).await;
    world.node.turn().await;
    assert_eq!(ring_of(&made_by(&world.node).await), Some(added));
    // One that starts much later need not wait.
    world.clock.advance_ms(120_000);
    assert_eq!(ring_of(&made_by(&world.other_node().await).await), Some(added));
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

#[tokio::test(start_paused = true)]
async fn a_ring_that_was_waited_for_in_vain_is_not_asked_for_again_at_once() {
    let world = World::cold(|_| {});
    let key = world.key(rules()).await;
    let held = world.keys.hold_signing();
    let reads = world.keys.signing_reads();
    assert!(world.node.check(&key).await.is_err(), "waited as long as for a look-up");
    drop(held);
    let asked = Instant::now();
    assert!(world.node.check(&key).await.is_err());
    assert_eq!((asked.elapsed(), world.keys.signing_reads()), (Duration::ZERO, reads + 1));
    tokio::time::advance(Duration::from_secs(1)).await;
    world.node.check(&key).await.allowed();
}
