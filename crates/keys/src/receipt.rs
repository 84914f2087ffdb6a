//! Receipts: proof that some node of this fleet has verified a secret, so that the next one need
//! not run Argon2 again.
//!
//! A receipt may lie where others can write: without the signing key nobody can make one. It
//! covers the stored hash, so a rotation outdates it.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{KeyId, Secret, SecretHash, SecretKind, SigningKey, SigningRing, mac};

/// HMAC-SHA256, under a sub-key of a signing key, of key id, stored hash and secret.
#[derive(Clone, Copy)]
pub struct Receipt([u8; 32]);

impl SigningRing {
    /// The receipt for a secret that was verified against `hash`.
    ///
    /// Under the key that signed the secret, else (not signed, or signed by a key now retired)
    /// under the newest. `None` for imported secrets, which may be weak enough to be guessed,
    /// and where the ring has no active key.
    pub fn receipt(&self, key_id: &KeyId, hash: &SecretHash, secret: &Secret) -> Option<Receipt> {
        if secret.kind() == SecretKind::Imported {
            return None;
        }
        let named = secret.ring().and_then(|ring| self.get(ring)).filter(|key| !key.is_retired());
        named.or(self.signer()).map(|key| Receipt::new(key, key_id, hash, secret))
    }
}

impl Receipt {
    fn new(key: &SigningKey, key_id: &KeyId, hash: &SecretHash, secret: &Secret) -> Self {
        let mut mac = key.receipt_mac();
        mac::field(&mut mac, key_id.as_str().as_bytes());
        mac::field(&mut mac, &Sha256::digest(hash.as_str().as_bytes()));
        mac::field(&mut mac, secret.expose().as_bytes());
        Self(mac::finish(&mut mac))
    }

    /// The bytes, for storing them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `stored` is this receipt, in constant time.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests;
