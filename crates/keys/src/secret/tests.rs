use super::*;
use crate::ring::{SigningRing, TagCheck};

const SIGNED: &str = "tks_A0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0lyRb7DNMW1NKFmCm1ueOVp";
const UNSIGNED: &str = "tku_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg3ZPqCq";

fn signer() -> SigningKey {
    let bytes = std::array::from_fn(|place| u8::try_from(place).expect("below 32"));
    SigningKey::new(RingChar::new('A').expect("a ring character"), bytes)
}

fn key_id() -> KeyId {
    KeyId::parse("tk_01jd8z5m7qkx3v9c2n4b6w8y0a").expect("a good id")
}

fn refusal(text: &str) -> Option<SecretError> {
    Secret::parse(text).err()
}

#[test]
fn has_the_documented_text() {
    // Computed elsewhere, by Python's hmac and zlib.
    assert_eq!(Secret::signed(&signer(), &key_id(), &RandomPart::fixed()).expose(), SIGNED);
    assert_eq!(Secret::unsigned(&RandomPart::fixed()).expose(), UNSIGNED);
    assert_eq!((SIGNED.len(), UNSIGNED.len()), (71, 53));
}

#[test]
fn comes_back_from_its_text() {
    let signed = Secret::parse(SIGNED).expect("our own");
    assert_eq!((signed.kind(), signed.ring()), (SecretKind::Signed, RingChar::new('A').ok()));
    assert_eq!(signed.hash_input(), RandomPart::fixed().expose());
    let unsigned = Secret::parse(UNSIGNED).expect("our own");
    assert_eq!((unsigned.kind(), unsigned.ring()), (SecretKind::Unsigned, None));
    assert_eq!(unsigned.hash_input(), RandomPart::fixed().expose());
    let imported = Secret::parse("s3cr3t:with:colons!").expect("visible ASCII");
    assert_eq!((imported.kind(), imported.ring()), (SecretKind::Imported, None));
    assert_eq!(imported.hash_input(), "s3cr3t:with:colons!");
}

#[test]
fn every_change_of_one_character_is_refused() {
    for ours in [SIGNED, UNSIGNED] {
        for place in 0..ours.len() {
            for typed in '!'..='~' {
                let mut text = ours.to_owned();
                text.replace_range(place..=place, typed.encode_utf8(&mut [0; 4]));
                assert_eq!(Secret::parse(&text).is_ok(), text == ours, "{text}");
            }
        }
    }
}

#[test]
fn two_neighbours_exchanged_are_refused() {
    for place in PREFIX_LENGTH..SIGNED.len() - 1 {
        let mut bytes = SIGNED.as_bytes().to_vec();
        bytes.swap(place, place + 1);
        let text = String::from_utf8(bytes).expect("still ASCII");
        assert_eq!(Secret::parse(&text).is_ok(), text == SIGNED, "{text}");
    }
}

#[test]
fn a_cut_or_a_longer_text_is_refused() {
    for ours in [SIGNED, UNSIGNED] {
        for end in PREFIX_LENGTH..ours.len() {
            assert_eq!(refusal(&ours[..end]), Some(SecretError::WrongLength), "{end}");
        }
        assert_eq!(refusal(&format!("{ours}0")), Some(SecretError::WrongLength));
    }
}

#[test]
fn other_texts_are_refused_for_their_reason() {
    assert_eq!(refusal(""), Some(SecretError::Empty));
    assert_eq!(refusal(&"x".repeat(257)), Some(SecretError::TooLong));
    assert!(Secret::parse(&"x".repeat(256)).is_ok());
    for bad in ["a b", " a", "a\n", "a\0", "a\x7f", "ä", "\u{200b}a"] {
        assert_eq!(refusal(bad), Some(SecretError::BadCharacter), "{bad:?}");
    }
    assert_eq!(refusal(&UNSIGNED.replace('c', "-")), Some(SecretError::BadCharacter));
    assert_eq!(refusal(&UNSIGNED.replace("tku_", "tkv_")), Some(SecretError::BadChecksum));
}

#[test]
fn a_checksum_has_one_text_only() {
    // 62⁶ is above 2³²: the same checksum plus 2³² must not pass.
    let checksum = base62::read(&UNSIGNED[47..]).expect("base 62");
    let mut text = UNSIGNED[..47].to_owned();
    base62::push::<6>(&mut text, checksum + (1 << 32));
    assert_eq!(refusal(&text), Some(SecretError::BadChecksum));
}

#[test]
fn a_tag_has_one_text_only() {
    // 62¹⁷ is above 2⁹⁶: the same tag plus 2⁹⁶ must not pass, whatever its checksum says.
    let tag = base62::read(&SIGNED[48..65]).expect("base 62");
    let mut text = Zeroizing::new(SIGNED[..48].to_owned());
    base62::push::<17>(&mut text, tag + (1 << 96));
    let forged = Secret::with_checksum(text, SecretKind::Signed);
    let ring = SigningRing::new(vec![signer()]).expect("a good ring");
    assert_eq!(ring.verify(&key_id(), &Secret::parse(forged.expose()).expect("a good checksum")), TagCheck::Forged);
}

#[test]
fn scanners_find_every_secret_by_the_pattern() {
    let pattern = regex::Regex::new(SECRET_PATTERN).expect("a regular expression");
    for _ in 0..1000 {
        let random = RandomPart::generate().expect("randomness");
        for secret in [Secret::signed(&signer(), &key_id(), &random), Secret::unsigned(&random)] {
            let source = format!("curl -H 'X-Api-Key: {}:{}' # x", key_id(), secret.expose());
            assert_eq!(pattern.find(&source).expect("a match").as_str(), secret.expose());
        }
    }
    for prose in ["tks_", "tku_short", "atku_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg3ZPqCq", &format!("{SIGNED}x")] {
        assert!(!pattern.is_match(prose), "{prose}");
    }
}

#[test]
fn random_parts_have_a_fixed_width_and_never_repeat() {
    let drawn: Vec<_> = (0..1000).map(|_| RandomPart::generate().expect("randomness")).collect();
    assert!(drawn.iter().all(|random| random.expose().len() == 43 && base62::is_base62(random.expose())));
    let different: std::collections::HashSet<_> = drawn.iter().map(RandomPart::expose).collect();
    assert_eq!(different.len(), 1000);
    // 43 000 draws of 62 characters: each is about 694 times there, give or take 26.
    for wanted in (0..62).map(base62::digit) {
        let count = drawn.iter().flat_map(|random| random.expose().chars()).filter(|found| *found == wanted).count();
        assert!((400..1000).contains(&count), "{wanted} came {count} times");
    }
}
