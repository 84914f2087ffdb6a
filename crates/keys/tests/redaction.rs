//! Nothing that holds a secret prints it.

use tollgate_keys::{
    ApiKey, HashParams, KeyId, Lifecycle, ProcessKey, RandomPart, RingChar, Secret, SecretHashes, SigningKey, SigningRing, hash_random_part,
};

/// Both forms of `Debug`, one after the other.
fn printed(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

#[test]
fn debug_shows_no_secret() {
    let random = RandomPart::generate().expect("randomness");
    let signer = SigningKey::generate(RingChar::new('0').expect("a ring character")).expect("randomness");
    let bytes = signer.expose().map(|byte| byte.to_string()).join(", ");
    let ring = SigningRing::new(vec![signer]).expect("a good ring");
    let key_id = KeyId::from_parts(0, [7; 10]);
    let secret = ring.sign(&key_id, &random).expect("a signer");
    let hash = hash_random_part(&HashParams::new(8, 1, 1).expect("cheap parameters"), &random).expect("a hash");
    let process = ProcessKey::generate().expect("randomness");
    let api_key = ApiKey::from_parts(key_id.as_str(), secret.expose()).expect("a good api key");

    let all = [
        printed(&random),
        printed(&secret),
        printed(&Secret::parse("imported-canary").expect("a good secret")),
        printed(&api_key),
        printed(&ring),
        printed(&hash),
        printed(&SecretHashes::only(hash.clone()).rotated(hash.clone(), tollgate_keys::SecretKind::Signed, 0, 1)),
        printed(&process),
        printed(&process.digest(&key_id, &secret)),
        printed(&ring.receipt(&key_id, &hash, &secret)),
        printed(&Lifecycle::active(None)),
    ]
    .join("\n");

    for hidden in [random.expose(), secret.expose(), hash.as_str(), "argon2", "imported-canary", &bytes, "tks_"] {
        assert!(!all.contains(hidden), "{all}");
    }
    assert!(all.contains("[redacted]") && all.contains(key_id.as_str()), "{all}");
}
