//! The list of nodes: what each tells of itself, and who may read it.

use std::{sync::Arc, time::Duration};

use tollgate_api::{Component, OutageModeName};
use tollgate_gate::{config::ConfigErrorKind, control::ControlError, ports::ChangeKind};

use crate::support::{Node, World, operator, options, rules};

async fn more_nodes(world: &World, names: &[&str]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for name in names {
        let mut options = options();
        (*name).clone_into(&mut options.node);
        let buckets = Arc::new(world.buckets.beside());
        let node = Node::among(world.nodes.clone(), (world.keys.clone(), buckets), (None, None), &world.clock, options);
        node.turn().await;
        nodes.push(node);
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn every_node_lists_all_of_them_and_how_far_each_is() {
    let world = World::new().await;
    let others = more_nodes(&world, &["a", "b"]).await;
    let reader = operator(None, &["events:read"]);
    let key = world.key(rules()).await;
    world.keys.edit(&key.key_id, ChangeKind::Updated, |_| ());
    world.clock.advance_ms(5_000);
    tokio::time::advance(Duration::from_secs(5)).await;
    // What it tells with the beat of one turn is how it was before.
    others[0].turn().await;
    others[0].turn().await;
    for node in [&world.node, &others[0], &others[1]] {
        let list = node.gate.nodes(&reader).await.expect("a list");
        let seen: Vec<_> = list.nodes.iter().map(|node| (node.node.as_str(), node.change_log_position, node.change_log_lag)).collect();
        assert_eq!((seen, list.complete), (vec![("a", 2, 0), ("b", 0, 2), ("here", 0, 2)], true));
        let one = &list.nodes[0];
        assert_eq!((one.version.as_str(), one.mode.as_str(), one.outage_mode), ("1.2.3", "cluster", OutageModeName::Local));
        assert!(one.ready && one.uptime_seconds >= 5 && one.bloom_filter.built_at.is_some(), "{one:?}");
    }
    others[1].gate.leave().await;
    let names: Vec<_> = world.node.gate.nodes(&reader).await.expect("a list").nodes.into_iter().map(|node| node.node).collect();
    assert_eq!(names, ["a", "here"], "who leaves is gone");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_cannot_be_read_or_that_somebody_else_wrote_is_no_failure() {
    let world = World::new().await;
    let reader = operator(None, &["events:read"]);
    more_nodes(&world, &["a"]).await;
    let other = world.nodes.live()[1];
    for sheet in ["", "{}", "no", &" ".repeat(5000)] {
        world.nodes.forge(other, sheet);
        let list = world.node.gate.nodes(&reader).await.expect("a list");
        assert_eq!((list.nodes.len(), list.complete), (1, false), "{sheet}");
    }
    let mut forged = world.node.gate.nodes(&reader).await.expect("a list").nodes.remove(0);
    (forged.node, forged.id) = (format!("\u{1b}[2J{}", "x".repeat(500)), "another".to_owned());
    world.nodes.forge(other, &serde_json::to_string(&forged).expect("JSON"));
    let list = world.node.gate.nodes(&reader).await.expect("a list");
    let one = list.nodes.iter().find(|node| node.node != "here").expect("it is shown");
    assert!(one.id == other.to_string() && one.node.starts_with("[2J") && one.node.len() == 128, "{one:?}");
    world.nodes.set_down(true);
    let list = world.node.gate.nodes(&reader).await.expect("a list");
    assert_eq!((list.nodes.len(), list.complete), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_node_in_trouble_says_so_and_a_tenant_is_told_nothing() {
    let world = World::new().await;
    world.buckets.go_down();
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(2)).await;
        world.node.turn().await;
    }
    let list = world.node.gate.nodes(&operator(None, &["events:read"])).await.expect("a list");
    assert_eq!(list.nodes[0].troubles.first(), Some(&Component::Redis), "{list:?}");
    match world.node.gate.nodes(&operator(Some("acme"), &["admin"])).await {
        Err(ControlError::Refused(refused)) => assert_eq!(refused.kind, ConfigErrorKind::Forbidden),
        other => panic!("{other:?}"),
    }
}
