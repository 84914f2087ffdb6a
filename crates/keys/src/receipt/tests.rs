use super::*;
use crate::{RandomPart, RingChar};

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODw";
const OTHER: &str = "$argon2id$v=19$m=8,t=1,p=1$b3RoZXJzYWx0b3RoZXJzYQ$AAECAwQFBgcICQoLDA0ODw";

fn hash(text: &str) -> SecretHash {
    SecretHash::parse(text).expect("a good hash")
}

fn key(ring: char, fill: u8) -> SigningKey {
    SigningKey::new(RingChar::new(ring).expect("a ring character"), [fill; 32])
}

fn ring(keys: Vec<SigningKey>) -> SigningRing {
    SigningRing::new(keys).expect("a good ring")
}

fn key_id() -> KeyId {
    KeyId::parse("tk_01jd8z5m7qkx3v9c2n4b6w8y0a").expect("a good id")
}

#[test]
fn is_the_documented_computation() {
    // Computed elsewhere: HKDF-SHA256 and HMAC-SHA256 by Python's hmac and hashlib.
    let bytes = std::array::from_fn(|place| u8::try_from(place).expect("below 32"));
    let ring = ring(vec![SigningKey::new(RingChar::new('A').expect("a ring character"), bytes)]);
    let receipt = ring.receipt(&key_id(), &hash(HASH), &Secret::unsigned(&RandomPart::fixed())).expect("a receipt");
    let (high, low) = receipt.as_bytes().split_at(16);
    let number = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().expect("16 bytes"));
    assert_eq!(number(high), 0xd87f_1d76_c096_fc65_e382_ff49_55e7_3f6b);
    assert_eq!(number(low), 0x6274_507d_cfa1_29e1_3472_b411_8590_8c3d);
}

#[test]
fn holds_for_one_key_one_hash_and_one_secret() {
    let ring = ring(vec![key('0', 1)]);
    let (random, other) = (RandomPart::generate().expect("randomness"), RandomPart::generate().expect("randomness"));
    let secret = ring.sign(&key_id(), &random).expect("a signer");
    let receipt = ring.receipt(&key_id(), &hash(HASH), &secret).expect("a receipt");
    let again = ring.receipt(&key_id(), &hash(HASH), &Secret::parse(secret.expose()).expect("its own text"));
    assert!(receipt.matches(again.expect("a receipt").as_bytes()));
    for different in [
        ring.receipt(&KeyId::parse("another").expect("a good id"), &hash(HASH), &secret),
        ring.receipt(&key_id(), &hash(OTHER), &secret),
        ring.receipt(&key_id(), &hash(HASH), &Secret::unsigned(&random)),
        ring.receipt(&key_id(), &hash(HASH), &ring.sign(&key_id(), &other).expect("a signer")),
    ] {
        assert!(!receipt.matches(different.expect("a receipt").as_bytes()));
    }
    assert!(!receipt.matches(&[]));
    assert!(!receipt.matches(&receipt.as_bytes()[..31]));
}

#[test]
fn an_active_key_vouches_for_what_it_signed() {
    let one = ring(vec![key('0', 1)]);
    let two = ring(vec![key('0', 1), key('1', 2)]);
    let secret = one.sign(&key_id(), &RandomPart::fixed()).expect("a signer");
    let receipt = one.receipt(&key_id(), &hash(HASH), &secret).expect("a receipt");
    assert!(receipt.matches(two.receipt(&key_id(), &hash(HASH), &secret).expect("a receipt").as_bytes()));
}

#[test]
fn a_retired_key_vouches_for_nothing() {
    let secret = ring(vec![key('0', 1)]).sign(&key_id(), &RandomPart::fixed()).expect("a signer");
    let old = ring(vec![key('0', 1)]).receipt(&key_id(), &hash(HASH), &secret).expect("a receipt");
    let rotated = ring(vec![key('0', 1).retire(), key('1', 2)]);
    assert!(!old.matches(rotated.receipt(&key_id(), &hash(HASH), &secret).expect("a receipt").as_bytes()));
    assert!(ring(vec![key('0', 1).retire()]).receipt(&key_id(), &hash(HASH), &secret).is_none());
    assert!(SigningRing::default().receipt(&key_id(), &hash(HASH), &secret).is_none());
}

#[test]
fn imported_secrets_get_none() {
    let imported = Secret::parse("correct-horse").expect("a good secret");
    assert!(ring(vec![key('0', 1)]).receipt(&key_id(), &hash(HASH), &imported).is_none());
}
