use super::*;
use crate::SecretKind;

const CHEAP: HashParams = HashParams { memory_kib: 8, iterations: 1, parallelism: 1 };

fn secret(text: &str) -> Secret {
    Secret::parse(text).expect("a good secret")
}

fn refusal(text: &str) -> Option<HashError> {
    SecretHash::parse(text).err()
}

#[test]
fn what_was_hashed_verifies_and_nothing_else_does() {
    let hash = hash_secret(&CHEAP, &secret("swordfish")).expect("a hash");
    assert_eq!(verify_secret(&hash, &secret("swordfish")), Ok(true));
    assert_eq!(verify_secret(&hash, &secret("swordfisH")), Ok(false));
    assert_eq!(SecretHash::parse(hash.as_str()), Ok(hash));
}

#[test]
fn a_hash_made_before_the_secret_verifies_it() {
    let (random, other) = (RandomPart::generate().expect("randomness"), RandomPart::generate().expect("randomness"));
    let hash = hash_random_part(&CHEAP, &random).expect("a hash");
    let made = Secret::unsigned(&random);
    assert_eq!(made.kind(), SecretKind::Unsigned);
    assert_eq!(verify_secret(&hash, &made), Ok(true));
    assert_eq!(verify_secret(&hash, &Secret::unsigned(&other)), Ok(false));
}

#[test]
fn every_hash_has_its_own_salt() {
    let hashes = [0; 2].map(|_| hash_secret(&CHEAP, &secret("swordfish")).expect("a hash"));
    assert_ne!(hashes[0].as_str(), hashes[1].as_str());
}

#[test]
fn the_default_costs_what_it_says() {
    let hash = hash_secret(&HashParams::default(), &secret("swordfish")).expect("a hash");
    assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "other parameters");
    assert_eq!(verify_secret(&hash, &secret("swordfish")), Ok(true));
}

#[test]
fn hashes_made_elsewhere_verify() {
    // The test vectors of the reference implementation (phc-winner-argon2, src/test.c).
    for phc in [
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    ] {
        let hash = SecretHash::parse(phc).expect(phc);
        assert_eq!(verify_secret(&hash, &secret("password")), Ok(true), "{phc}");
        assert_eq!(verify_secret(&hash, &secret("Password")), Ok(false), "{phc}");
    }
}

#[test]
fn other_texts_are_refused_for_their_reason() {
    const TAIL: &str = "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let with = |head: &str| refusal(&format!("{head}{TAIL}"));
    for bad in ["", "swordfish", "$", "$argon2id", "$argon2id$v=19$m=8,t=1,p=1", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ", "ä$"] {
        assert_eq!(refusal(bad), Some(HashError::Form), "{bad}");
    }
    for bad in ["$argon2x$v=19$m=8,t=1,p=1", "$scrypt$m=8,t=1,p=1", "$argon2id$v=18$m=8,t=1,p=1", "$2b$m=8"] {
        assert_eq!(with(bad), Some(HashError::Algorithm), "{bad}");
    }
    for bad in ["$argon2id$v=19$m=8,t=1,p=1,data=c29tZXRoaW5n", "$argon2id$v=19$m=8,t=1,p=1,x=1", "$argon2id$v=19$m=8,t=1,p=a"] {
        assert_eq!(with(bad), Some(HashError::Parameter), "{bad}");
    }
    assert_eq!(refusal("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAECAwQFBgcICQoLDA0O"), Some(HashError::Short));
}

#[test]
fn a_hash_that_would_stop_the_node_is_refused() {
    let with = |params: &str| refusal(&format!("$argon2id$v=19${params}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"));
    assert_eq!(with("m=1048576,t=4,p=1"), None);
    assert_eq!(with("m=65536,t=64,p=4"), None);
    assert_eq!(with("m=1048577,t=1,p=1"), Some(HashParamsError::Memory.into()));
    assert_eq!(with("m=4294967295,t=1,p=1"), Some(HashParamsError::Memory.into()));
    assert_eq!(with("m=8,t=65,p=1"), Some(HashParamsError::Iterations.into()));
    assert_eq!(with("m=1048576,t=5,p=1"), Some(HashParamsError::Work.into()));
    assert_eq!(with("m=4096,t=1,p=17"), Some(HashParamsError::Parallelism.into()));
}

#[test]
fn params_are_closed_at_both_ends() {
    let params = HashParams::new;
    assert_eq!(params(8, 1, 1), Ok(CHEAP));
    assert_eq!(params(19 * 1024, 2, 1), Ok(HashParams::DEFAULT));
    assert_eq!(params(7, 1, 1), Err(HashParamsError::Memory));
    assert_eq!(params(15, 1, 2), Err(HashParamsError::Memory));
    assert!(params(16, 1, 2).is_ok());
    assert!(params(1 << 20, 1, 16).is_ok());
    assert_eq!(params((1 << 20) + 1, 1, 1), Err(HashParamsError::Memory));
    assert_eq!(params(8, 0, 1), Err(HashParamsError::Iterations));
    assert!(params(8, 64, 1).is_ok());
    assert_eq!(params(8, 1, 0), Err(HashParamsError::Parallelism));
    assert_eq!(params(u32::MAX, u32::MAX, u32::MAX), Err(HashParamsError::Parallelism));
}
