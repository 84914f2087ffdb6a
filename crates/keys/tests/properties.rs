//! What holds for every text, instant and key.
#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use proptest::prelude::*;
use tollgate_keys::{
    ApiKey, KeyId, OwnerName, ProcessKey, RandomPart, RingChar, Scope, Scopes, Secret, SecretHash, SecretKind, SigningKey, SigningRing,
    TagCheck,
};

fn ring(ring: char, key: [u8; 32]) -> SigningRing {
    let ring = RingChar::new(ring).expect("a ring character");
    SigningRing::new(vec![SigningKey::new(ring, key)]).expect("a good ring")
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in ".{0,600}", ours in "tk[su]?_?[ -~]{0,90}:?[ -~]{0,90}") {
        for text in [&text, &ours] {
            if let Ok(api_key) = ApiKey::parse(text) {
                prop_assert_eq!(&*api_key.expose(), text);
            }
            if let Ok(key_id) = KeyId::parse(text) {
                prop_assert_eq!(key_id.is_foreign(), key_id.unix_ms().is_none());
                prop_assert_eq!(key_id.as_str(), text);
            }
            if let Ok(secret) = Secret::parse(text) {
                prop_assert!(!secret.hash_input().is_empty());
                prop_assert_eq!(secret.expose(), text);
            }
            let _unwanted = (Scope::parse(text), OwnerName::parse(text), SecretHash::parse(text));
        }
    }

    #[test]
    fn no_phc_like_text_makes_parsing_panic(text in r"(\$(argon2(id|i|d)|v=[0-9]{1,11}|m=[0-9]{1,11},t=[0-9]{1,3},p=[0-9]{1,9}|[A-Za-z0-9+/]{0,90})){1,6}") {
        if let Ok(hash) = SecretHash::parse(&text) {
            prop_assert_eq!(hash.as_str(), text);
        }
    }

    #[test]
    fn a_text_of_our_form_with_a_wrong_checksum_is_refused(text in "tks_[0-9A-Za-z]{67}|tku_[0-9A-Za-z]{49}") {
        // One in 2³² would have the right one.
        prop_assert!(Secret::parse(&text).is_err());
    }

    #[test]
    fn instants_and_ids_have_the_same_order(one in 0u64..1 << 48, other in 0u64..1 << 48, low: [u8; 10], high: [u8; 10]) {
        let (a, b) = (KeyId::from_parts(one, low), KeyId::from_parts(other, high));
        prop_assert_eq!(a.unix_ms(), Some(one));
        prop_assert_eq!(KeyId::parse(a.as_str()), Ok(a.clone()));
        prop_assert_eq!(a.cmp(&b), (one, low).cmp(&(other, high)));
        prop_assert_eq!(a.as_str().cmp(b.as_str()), a.cmp(&b));
    }

    #[test]
    fn a_signed_secret_is_good_under_its_key_alone(key: [u8; 32], other: [u8; 32], name in "[0-9A-Za-z]", ms in 0u64..1 << 48, entropy: [u8; 10]) {
        let name = name.chars().next().expect("one character");
        let key_id = KeyId::from_parts(ms, entropy);
        let secret = ring(name, key).sign(&key_id, &RandomPart::generate().expect("randomness")).expect("a signer");
        let presented = ApiKey::parse(&format!("{key_id}:{}", secret.expose())).expect("our own");
        prop_assert_eq!(presented.secret.kind(), SecretKind::Signed);
        prop_assert_eq!(ring(name, key).verify(&presented.key_id, &presented.secret), TagCheck::Good);
        let expected = if key == other { TagCheck::Good } else { TagCheck::Forged };
        prop_assert_eq!(ring(name, other).verify(&presented.key_id, &presented.secret), expected);
    }

    #[test]
    fn a_digest_matches_the_same_pair_alone(
        // What begins like a secret of ours must be one.
        (a, b, x, y) in ("[a-z]{1,4}", "[a-z]{1,4}", "[!-su-~][!-~]{0,3}", "[!-su-~][!-~]{0,3}"),
    ) {
        let process = ProcessKey::generate().expect("randomness");
        let digest = |id: &str, secret: &str| {
            process.digest(&KeyId::parse(id).expect("a good id"), &Secret::parse(secret).expect("a good secret"))
        };
        prop_assert_eq!(digest(&a, &x).matches(&digest(&b, &y)), (&a, &x) == (&b, &y));
    }

    #[test]
    fn covers_means_allows_each(mine in proptest::collection::vec("[a-d]|admin", 0..5), theirs in proptest::collection::vec("[a-d]|admin", 0..5)) {
        let mine = Scopes::parse(mine.iter().map(String::as_str)).expect("good scopes");
        let theirs = Scopes::parse(theirs.iter().map(String::as_str)).expect("good scopes");
        prop_assert_eq!(mine.covers(&theirs), theirs.iter().all(|scope| mine.allows(scope)));
        prop_assert!(mine.covers(&mine));
    }
}
