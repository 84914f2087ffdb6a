//! What a node remembers of a secret it has verified: a keyed digest, worthless elsewhere.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::{
    KeyId, RandomnessError, Secret,
    mac::{self, HmacSha256},
    random_bytes,
};

/// A key that lives as long as its process and is never written anywhere.
#[derive(Clone)]
pub struct ProcessKey(HmacSha256);

/// The last 128 bits of the HMAC-SHA256 of a key id and a secret, under a [`ProcessKey`] or, where a
/// secret is signed, under its signing key ([`crate::SigningRing::examine`]): none of the 96 that
/// such a secret shows.
///
/// They are enough. Nobody without the key can compute one or look for two that are equal, so all
/// that is left is to show secrets in the hope that one has the digest of another, of one given key
/// id: each has a chance of 2⁻¹²⁸, and a signed one must have a good tag before it is compared.
///
/// Comparing two takes the same time wherever they differ; there is no `==`.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 16]);

impl ProcessKey {
    /// A key from fresh randomness.
    pub fn generate() -> Result<Self, RandomnessError> {
        Ok(Self(mac::keyed(&zeroize::Zeroizing::new(random_bytes()?))))
    }

    /// The digest of a secret as presented with a key id: of the part that is hashed for storage, so that
    /// secrets with the same hash have the same digest in whatever form they come. Takes well under a
    /// microsecond.
    pub fn digest(&self, key_id: &KeyId, secret: &Secret) -> SecretDigest {
        let mut mac = self.0.clone();
        mac::field(&mut mac, key_id.as_str().as_bytes());
        mac::field(&mut mac, secret.hash_input().as_bytes());
        SecretDigest::of_mac(mac::finish(&mut mac))
    }
}

impl SecretDigest {
    pub(crate) fn of_mac(full_mac: [u8; 32]) -> Self {
        let mut shown_nowhere = [0; 16];
        for (to, from) in shown_nowhere.iter_mut().zip(full_mac.into_iter().skip(16)) {
            *to = from;
        }
        Self(shown_nowhere)
    }

    /// Whether both digests are of the same key id and secret, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_key_ids_and_secrets_apart() {
        let process = ProcessKey::generate().expect("randomness");
        let id = |text| KeyId::parse(text).expect("a good id");
        let secret = |text| Secret::parse(text).expect("a good secret");
        let known = process.digest(&id("key-1"), &secret("swordfish"));
        assert!(known.matches(&process.digest(&id("key-1"), &secret("swordfish"))));
        assert!(!known.matches(&process.digest(&id("key-2"), &secret("swordfish"))));
        assert!(!known.matches(&process.digest(&id("key-1"), &secret("swordfisH"))));
        assert!(!known.matches(&process.digest(&id("key-"), &secret("1swordfish"))));
    }

    #[test]
    fn is_the_same_for_all_that_has_one_hash() {
        let (process, id) = (ProcessKey::generate().expect("randomness"), KeyId::parse("key-1").expect("a good id"));
        let random = crate::RandomPart::fixed();
        let made_elsewhere = Secret::parse(random.expose()).expect("a good secret");
        assert_ne!(made_elsewhere.kind(), Secret::unsigned(&random).kind());
        assert!(process.digest(&id, &made_elsewhere).matches(&process.digest(&id, &Secret::unsigned(&random))));
    }

    #[test]
    fn has_nothing_of_what_a_tag_shows() {
        let mut mac = [0; 32];
        let known = SecretDigest::of_mac(mac);
        mac[15] = 1;
        assert!(known.matches(&SecretDigest::of_mac(mac)), "the tag is the first twelve bytes");
        for place in 16..32 {
            let mut mac = [0; 32];
            mac[place] = 1;
            assert!(!known.matches(&SecretDigest::of_mac(mac)), "{place}");
        }
    }

    #[test]
    fn is_worthless_in_another_process() {
        let (id, secret) = (KeyId::parse("key-1").expect("a good id"), Secret::parse("swordfish").expect("a good secret"));
        let one = ProcessKey::generate().expect("randomness");
        let other = ProcessKey::generate().expect("randomness");
        assert!(!one.digest(&id, &secret).matches(&other.digest(&id, &secret)));
    }
}
