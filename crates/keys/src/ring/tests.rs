use super::*;

fn key(ring: char, fill: u8) -> SigningKey {
    SigningKey::new(RingChar::new(ring).expect("a ring character"), [fill; 32])
}

fn ring(keys: Vec<SigningKey>) -> SigningRing {
    SigningRing::new(keys).expect("a good ring")
}

fn key_id(text: &str) -> KeyId {
    KeyId::parse(text).expect("a good id")
}

fn random() -> RandomPart {
    RandomPart::generate().expect("randomness")
}

#[test]
fn a_signed_secret_is_good_for_its_key_id_alone() {
    let ring = ring(vec![key('0', 1)]);
    let secret = ring.sign(&key_id("tk_01jd8z5m7qkx3v9c2n4b6w8y0a"), &random()).expect("a signer");
    assert_eq!(ring.verify(&key_id("tk_01jd8z5m7qkx3v9c2n4b6w8y0a"), &secret), TagCheck::Good);
    assert_eq!(ring.verify(&key_id("tk_01jd8z5m7qkx3v9c2n4b6w8y0b"), &secret), TagCheck::Forged);
    assert_eq!(ring.verify(&key_id("another"), &secret), TagCheck::Forged);
}

#[test]
fn a_tag_made_with_another_key_is_forged() {
    let ours = ring(vec![key('0', 1)]);
    let theirs = ring(vec![key('0', 2)]);
    let id = key_id("key-1");
    // Checksum and form are good: only the tag can tell.
    let forged = Secret::parse(theirs.sign(&id, &random()).expect("a signer").expose()).expect("a good checksum");
    assert_eq!(ours.verify(&id, &forged), TagCheck::Forged);
}

#[test]
fn a_tag_does_not_pass_under_another_ring_character() {
    let twins = ring(vec![key('0', 1), key('1', 1)]);
    let id = key_id("key-1");
    let random = random();
    let tag = |ring| twins.get(ring).map(|key| key.tag(&id, random.expose()));
    assert_ne!(tag(twins.keys()[0].ring()), tag(twins.keys()[1].ring()));
}

#[test]
fn the_newest_active_key_signs_and_all_verify() {
    let id = key_id("key-1");
    let old = ring(vec![key('0', 1)]).sign(&id, &random()).expect("a signer");
    let two = ring(vec![key('0', 1), key('1', 2)]);
    let new = two.sign(&id, &random()).expect("a signer");
    assert_eq!(new.ring(), RingChar::new('1').ok());
    assert_eq!((two.verify(&id, &old), two.verify(&id, &new)), (TagCheck::Good, TagCheck::Good));
    let newest_retired = ring(vec![key('0', 1), key('1', 2).retire()]);
    assert_eq!(newest_retired.signer().map(SigningKey::ring), RingChar::new('0').ok());
}

#[test]
fn a_retired_key_proves_nothing_but_forgeries() {
    let id = key_id("key-1");
    let secret = ring(vec![key('0', 1)]).sign(&id, &random()).expect("a signer");
    let retired = ring(vec![key('0', 1).retire()]);
    assert_eq!(retired.verify(&id, &secret), TagCheck::Retired);
    assert_eq!(retired.verify(&key_id("key-2"), &secret), TagCheck::Forged);
    assert!(retired.sign(&id, &random()).is_none());
}

#[test]
fn unknown_characters_and_missing_tags_are_told_apart() {
    let id = key_id("key-1");
    let secret = ring(vec![key('z', 1)]).sign(&id, &random()).expect("a signer");
    let ring = ring(vec![key('0', 1)]);
    assert_eq!(ring.verify(&id, &secret), TagCheck::UnknownRing);
    assert_eq!(SigningRing::default().verify(&id, &secret), TagCheck::UnknownRing);
    assert_eq!(ring.verify(&id, &Secret::unsigned(&random())), TagCheck::NotSigned);
    assert_eq!(ring.verify(&id, &Secret::parse("imported").expect("a good secret")), TagCheck::NotSigned);
}

#[test]
fn no_two_keys_share_a_character() {
    let zero = RingChar::new('0').expect("a ring character");
    assert_eq!(SigningRing::new(vec![key('0', 1), key('1', 2), key('0', 3)]).err(), Some(RingError(zero)));
    assert_eq!(SigningRing::default().free_char(), Some(zero));
    assert_eq!(ring(vec![key('0', 1), key('2', 2)]).free_char(), RingChar::new('1').ok());
    assert_eq!(ring(RingChar::all().map(|ring| SigningKey::new(ring, [1; 32])).collect()).free_char(), None);
}

#[test]
fn ring_characters_are_the_62() {
    assert_eq!(RingChar::all().count(), 62);
    for bad in ['-', '_', ' ', '\0', 'ä', '٣'] {
        assert!(RingChar::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_key_comes_back_from_its_bytes() {
    let made = SigningKey::generate(RingChar::new('x').expect("a ring character")).expect("randomness");
    let id = key_id("key-1");
    let secret = ring(vec![made.clone()]).sign(&id, &random()).expect("a signer");
    let stored = SigningKey::new(made.ring(), *made.expose());
    assert_eq!(ring(vec![stored]).verify(&id, &secret), TagCheck::Good);
}

#[test]
fn a_right_tag_gives_a_digest_of_this_key_id_and_secret_alone() {
    let (signing, id) = (ring(vec![key('0', 1)]), key_id("key-1"));
    let secret = signing.sign(&id, &random()).expect("a signer");
    let (check, digest) = signing.examine(&id, &secret);
    let digest = digest.expect("a right tag");
    assert_eq!(check, TagCheck::Good);
    assert!(digest.matches(&signing.examine(&id, &secret).1.expect("a right tag")));
    // Retired meanwhile: the secret is remembered by the same digest, and need not be hashed again.
    let (check, retired) = ring(vec![key('0', 1).retire()]).examine(&id, &secret);
    assert!(check == TagCheck::Retired && digest.matches(&retired.expect("a right tag")));
    for (id, secret) in [(id.clone(), signing.sign(&id, &random())), (key_id("key-2"), signing.sign(&key_id("key-2"), &random()))] {
        let other = signing.examine(&id, &secret.expect("a signer")).1.expect("a right tag");
        assert!(!digest.matches(&other), "{id}");
    }
    assert!(signing.examine(&key_id("key-2"), &secret).1.is_none(), "a forgery has none");
    assert!(signing.examine(&id, &Secret::unsigned(&random())).1.is_none());
}

#[test]
fn a_foreign_key_verifies_beside_one_of_the_same_character_and_never_signs() {
    let id = key_id("key-1");
    let theirs = ring(vec![key('0', 2)]).sign(&id, &random()).expect("a signer");
    let both = ring(vec![key('0', 1), key('0', 2).foreign()]);
    assert_eq!(both.verify(&id, &theirs), TagCheck::Good);
    assert_eq!(both.verify(&id, &both.sign(&id, &random()).expect("a signer")), TagCheck::Good);
    assert_eq!(ring(vec![key('0', 1)]).verify(&id, &both.sign(&id, &random()).expect("a signer")), TagCheck::Good, "ours has signed");
    assert_eq!(ring(vec![key('0', 1), key('0', 2).retire().foreign()]).verify(&id, &theirs), TagCheck::Retired);
    assert_eq!(both.verify(&key_id("key-2"), &theirs), TagCheck::Forged);
    let alone = ring(vec![key('0', 2).foreign()]);
    assert!(alone.signer().is_none() && alone.verify(&id, &theirs) == TagCheck::Good);
    assert_eq!(
        SigningRing::new(vec![key('0', 1), key('0', 2)]).expect_err("no two of its own"),
        RingError(RingChar::new('0').expect("a ring character"))
    );
}
