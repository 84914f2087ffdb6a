//! Sixteen bytes that stand for an id in this process, and mean nothing outside.

use std::fmt;

use bloomfilter::reexports::siphasher::sip128::SipHasher13;
use tollgate_keys::{KeyId, RandomnessError, random_bytes};

/// Makes tags under a key that lives as long as the process, so that nobody outside can find two
/// ids with the same one.
#[derive(Clone)]
pub(crate) struct Tagger(SipHasher13);

impl Tagger {
    /// One with a key from fresh randomness.
    pub(crate) fn generate() -> Result<Self, RandomnessError> {
        Ok(Self(SipHasher13::new_with_key(&random_bytes()?)))
    }

    /// The tag of an id.
    pub(crate) fn tag(&self, key_id: &KeyId) -> u128 {
        self.0.hash(key_id.as_str().as_bytes()).as_u128()
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagger([redacted])")
    }
}
