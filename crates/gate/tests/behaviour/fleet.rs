//! Several nodes in an outage: what they share, and how they know of each other.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tollgate_gate::{config::KeyRules, request::SharedKey, verdict::Verdict};

use crate::support::{FakeBuckets, Node, World, limits, options, rules};

/// A node of a fleet and its own way to the buckets.
struct Member {
    node: Node,
    buckets: Arc<FakeBuckets>,
}

/// The world's node and more of them, all of which have seen each other.
async fn fleet(world: &World, count: usize, nodes_min: u32) -> Vec<Member> {
    let mut members = vec![Member { node: world.node.clone(), buckets: world.buckets.clone() }];
    for _ in 1..count {
        let buckets = Arc::new(world.buckets.beside());
        let mut options = options();
        options.outage.nodes_min = NonZeroU32::new(nodes_min).expect("some");
        let node = Node::among(world.nodes.clone(), (world.keys.clone(), buckets.clone()), (None, None), &world.clock, options);
        members.push(Member { node, buckets });
    }
    for _ in 0..2 {
        for member in &members {
            member.node.turn().await;
        }
    }
    members
}

async fn lone(nodes_min: u32) -> World {
    World::with(|options| options.outage.nodes_min = NonZeroU32::new(nodes_min).expect("some")).await
}

fn go_down(members: &[Member]) {
    for member in members {
        member.buckets.go_down();
    }
}

/// What all admit together, of many requests each.
async fn admitted(members: &[Member], key: &SharedKey) -> u64 {
    let mut sum = 0;
    for member in members {
        for _ in 0..30 {
            sum += u64::from(matches!(member.node.check(key).await, Ok(Verdict::Allowed(_))));
        }
    }
    sum
}

async fn key(world: &World, members: &[Member], burst: u64) -> SharedKey {
    let key = world.key(KeyRules { limits: limits(burst, 86_400), ..rules() }).await;
    for member in members {
        // Into memory, charging nothing.
        member.node.ask(&key, crate::support::Ask::peek()).await.expect("a verdict");
    }
    key
}

#[tokio::test(start_paused = true)]
async fn all_nodes_together_admit_one_burst_in_an_outage() {
    for count in [1, 2, 3, 5] {
        let world = lone(1).await;
        let members = fleet(&world, count, 1).await;
        let mut keys = Vec::new();
        for burst in [1, 2, 10, 11, 12, 13] {
            keys.push((burst, key(&world, &members, burst).await));
        }
        go_down(&members);
        for (burst, key) in &keys {
            assert_eq!(admitted(&members, key).await, *burst, "{count} nodes");
            assert_eq!(admitted(&members, key).await, 0, "all is spent");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_least_number_of_nodes_holds_for_those_that_were_not_seen() {
    let world = lone(4).await;
    let members = fleet(&world, 2, 4).await;
    let (nine, three) = (key(&world, &members, 9).await, key(&world, &members, 3).await);
    go_down(&members);
    assert_eq!(admitted(&members, &nine).await, 4, "two each; the ninth belongs to one that was not seen");
    assert!(admitted(&members, &three).await <= 1, "the first two places are kept for the others");
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_last_holds_while_nothing_can_be_seen() {
    let world = lone(1).await;
    let members = fleet(&world, 2, 1).await;
    let key = key(&world, &members, 10).await;
    go_down(&members);
    world.nodes.set_down(true);
    world.nodes.forget_all();
    for member in &members {
        tokio::time::advance(Duration::from_secs(10)).await;
        member.node.turn().await;
    }
    assert_eq!(admitted(&members, &key).await, 10, "five each");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_not_counted_and_its_share_goes_to_the_others() {
    let world = lone(1).await;
    let mut members = fleet(&world, 2, 1).await;
    assert_eq!((world.nodes.live().len(), world.nodes.ttl()), (2, Some(Duration::from_secs(5))));
    let key = key(&world, &members, 10).await;
    members.pop().expect("two").node.gate.leave().await;
    assert_eq!(world.nodes.live().len(), 1);
    // For as long as a registry that fills up after an outage may take.
    tokio::time::advance(Duration::from_secs(5)).await;
    world.node.turn().await;
    world.buckets.go_down();
    assert_eq!(admitted(&members, &key).await, 10);
}
