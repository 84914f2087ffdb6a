//! Makings and rotations that act once under an `Idempotency-Key`.

use serde_json::{Value, json};
use tollgate_api::CreatedKey;
use tollgate_gate::{
    IdempotencyKey,
    control::{ControlError, Operator},
};
use tollgate_keys::ApiKey;

use crate::support::{Outcomes, World, operator, rules};

/// The caller of that key id, with a name for his call.
fn caller(key_id: &str, name: &str) -> Operator {
    let mut operator = operator(None, &["admin"]);
    operator.identity.key_id = tollgate_keys::KeyId::parse(key_id).expect("an id");
    Operator { idempotency_key: Some(IdempotencyKey::parse(name).expect("a name")), ..operator }
}

async fn create(world: &World, operator: &Operator, asked: Value) -> Result<CreatedKey, ControlError> {
    world.node.gate.create_key(operator, serde_json::from_value(asked).expect("a body")).await
}

async fn rotate(world: &World, operator: &Operator, key_id: &str, asked: Value) -> Result<CreatedKey, ControlError> {
    world.node.gate.rotate_key(operator, key_id, serde_json::from_value(asked).expect("a body")).await
}

fn is_refused(answer: Result<CreatedKey, ControlError>) -> bool {
    matches!(answer, Err(ControlError::Refused(error)) if error.detail.contains("Idempotency-Key"))
}

#[tokio::test(start_paused = true)]
async fn a_repeated_making_makes_nothing_and_tells_no_secret() {
    let world = World::new().await;
    let (one, asked) = (caller("one", "a"), json!({"name": "n"}));
    let made = create(&world, &one, asked.clone()).await.expect("made");
    let (position, hashes) = (world.keys.position(), world.node.hashes());
    let other_node = world.other_node().await;
    for node in [&world.node, &other_node] {
        let again = node.gate.create_key(&one, serde_json::from_value(asked.clone()).expect("a body")).await.expect("told again");
        assert_eq!((again.key.key_id.as_str(), again.api_key, again.replayed), (made.key.key_id.as_str(), None, true));
    }
    assert_eq!((world.keys.position(), world.node.hashes()), (position, hashes));
    assert!(is_refused(create(&world, &one, json!({"name": "another"})).await), "another call under the same name");
    assert_eq!(world.keys.position(), position);
    // Other names and other callers are told apart.
    for operator in [caller("one", "b"), caller("two", "a")] {
        let made = create(&world, &operator, asked.clone()).await.expect("made");
        assert!(made.api_key.is_some() && !made.replayed);
    }
    assert_eq!(world.keys.position(), position + 2);
}

#[tokio::test(start_paused = true)]
async fn two_makings_at_once_make_one_key() {
    let world = World::new().await;
    let operator = caller("one", "a");
    let (one, other) = tokio::join!(create(&world, &operator, json!({"name": "n"})), create(&world, &operator, json!({"name": "n"})));
    let (one, other) = (one.expect("answered"), other.expect("answered"));
    assert_eq!(one.key.key_id, other.key.key_id);
    assert_eq!((u8::from(one.replayed) + u8::from(other.replayed), world.keys.position()), (1, 1));
    assert_eq!(one.api_key.is_some(), !one.replayed);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_rotation_changes_nothing_and_raises_the_fence_again() {
    let world = World::new().await;
    let (one, key) = (caller("one", "a"), world.used_key(rules()).await);
    world.buckets.go_down();
    let rotated = rotate(&world, &one, key.key_id.as_str(), json!({"grace_seconds": 3600})).await.expect("rotated");
    assert_eq!(rotated.key.propagated, Some(false));
    world.buckets.set_down(None);
    let again = rotate(&world, &one, key.key_id.as_str(), json!({"grace_seconds": 3600})).await.expect("told again");
    assert_eq!((again.api_key, again.replayed, again.key.propagated), (None, true, Some(true)));
    assert_eq!(again.key.generation, rotated.key.generation, "both secrets stay good");
    assert_eq!(world.buckets.fences().len(), 1);
    let new = ApiKey::parse(&rotated.api_key.expect("shown once")).expect("an api key").into();
    for secret in [&key, &new] {
        world.node.check(secret).await.allowed();
    }
    assert!(is_refused(rotate(&world, &one, key.key_id.as_str(), json!({"grace_seconds": 1})).await));
    assert!(is_refused(create(&world, &one, json!({"name": "n"})).await));
}
