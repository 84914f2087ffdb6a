//! Comparing takes the same time wherever two secrets begin to differ (T22).

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::{hint::black_box, marker::PhantomData};

use tollgate_keys::{
    ApiKey, HashParams, KeyId, ProcessKey, RandomPart, Receipt, RingChar, Secret, SecretDigest, SigningKey, SigningRing, TagCheck,
    hash_random_part,
};
use tollgate_testkit::{T_MAX, Timings};

const SAMPLES: usize = 10_000;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Where the tag of a signed secret stands in its text.
const TAG: std::ops::Range<usize> = 48..65;

fn ring() -> SigningRing {
    let signer = SigningKey::generate(RingChar::new('0').expect("a ring character")).expect("randomness");
    SigningRing::new(vec![signer]).expect("a ring")
}

fn secret(ring: &SigningRing, key_id: &KeyId) -> Secret {
    ring.sign(key_id, &RandomPart::generate().expect("randomness")).expect("signed")
}

/// The checksum that anybody can compute: CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

fn base62(mut number: u128, width: usize) -> String {
    let mut digits = vec![0; width];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(number % 62).expect("a digit")];
        number /= 62;
    }
    String::from_utf8(digits).expect("ASCII")
}

/// The same secret with a tag that is wrong from its byte `at` on: the bytes before are right.
fn wrong_from(secret: &Secret, at: usize) -> Secret {
    let text = secret.expose();
    let value = |digit: u8| DIGITS.iter().position(|known| *known == digit).expect("base 62") as u128;
    let tag = text[TAG].bytes().fold(0, |number, digit| number * 62 + value(digit));
    // Twelve bytes; every later one is wrong as well.
    let wrong = tag ^ (u128::MAX >> (32 + 8 * at));
    let body = format!("{}{}", &text[..TAG.start], base62(wrong, TAG.len()));
    Secret::parse(&format!("{body}{}", base62(crc32(body.as_bytes()).into(), 6))).expect("well formed")
}

#[tokio::test]
async fn a_tag_is_refused_in_the_same_time_however_much_of_it_is_right() {
    let (ring, key_id) = (ring(), KeyId::from_parts(0, [7; 10]));
    let places = [0, 1, 4, 8, 11];
    let prepare = |kind: usize, _| wrong_from(&secret(&ring, &key_id), places[kind]);
    let timings = Timings::measure(places.len(), Timings::samples(SAMPLES / 2), prepare, async |_, secret| {
        assert_eq!(ring.verify(&key_id, &secret), TagCheck::Forged);
        secret
    });
    assert_eq!(timings.await.seen(), None, "{places:?}");
}

/// 32 bytes as they are, and with one of them changed.
fn changed(bytes: [u8; 32], at: usize) -> [u8; 32] {
    let mut changed = bytes;
    changed[at] ^= 0x55;
    changed
}

#[tokio::test]
async fn a_receipt_is_refused_in_the_same_time_however_much_of_it_is_right() {
    let (ring, key_id) = (ring(), KeyId::from_parts(0, [7; 10]));
    let random = RandomPart::generate().expect("randomness");
    let hash = hash_random_part(&HashParams::new(8, 1, 1).expect("cheap parameters"), &random).expect("a hash");
    let receipt = ring.receipt(&key_id, &hash, &ring.sign(&key_id, &random).expect("signed")).expect("a receipt");
    let places = [0, 1, 8, 16, 31];
    let timings = Timings::measure(
        places.len(),
        Timings::samples(SAMPLES),
        |kind, _| changed(*receipt.as_bytes(), places[kind]),
        async |_, wrong| {
            // One alone takes about as long as looking at the clock does.
            (0..8).fold(false, |any, _| any | black_box(&receipt).matches(black_box(&wrong)))
        },
    );
    assert_eq!(timings.await.seen(), None, "{places:?}");
}

/// What this file measures would be found: the same comparison as one would write it first.
#[tokio::test]
async fn a_comparison_that_stops_early_is_found() {
    let (right, places) = ([7_u8; 32], [0, 1, 8, 16, 31]);
    let timings = Timings::measure(
        places.len(),
        SAMPLES,
        |kind, _| changed(right, places[kind]),
        async |_, wrong| {
            (0..8).fold(0, |sum, _| sum + black_box(&right).iter().zip(black_box(&wrong)).take_while(|(one, other)| one == other).count())
        },
    );
    let worst = timings.await.worst().expect("several kinds");
    assert!(worst.t > 10.0 * T_MAX, "{places:?}: {worst:?}");
}

/// Whether a type can be compared by `==`: what a type has of its own goes before what all have.
struct Compared<T: ?Sized>(PhantomData<T>);

trait Incomparable {
    const BY_EQ: bool = false;
}

impl<T: ?Sized> Incomparable for Compared<T> {}

impl<T: ?Sized + PartialEq> Compared<T> {
    const BY_EQ: bool = true;
}

#[test]
fn no_secret_can_be_compared_by_chance() {
    // The question itself is good.
    const { assert!(<Compared<[u8; 32]>>::BY_EQ) };
    let comparable = [
        <Compared<Secret>>::BY_EQ,
        <Compared<ApiKey>>::BY_EQ,
        <Compared<RandomPart>>::BY_EQ,
        <Compared<SecretDigest>>::BY_EQ,
        <Compared<Receipt>>::BY_EQ,
        <Compared<SigningKey>>::BY_EQ,
        <Compared<SigningRing>>::BY_EQ,
        <Compared<ProcessKey>>::BY_EQ,
    ];
    assert_eq!(comparable, [false; 8]);
}
