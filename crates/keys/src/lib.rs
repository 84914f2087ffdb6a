//! API keys as values: their text, their signature, their hash, and whether one may be used now.
//!
//! An api key is `key_id:secret`. The key id is public; the secret is shown once, never stored
//! and never logged. This crate makes both, tells a typing error from a forgery without any
//! look-up, hashes secrets for storage, and knows names, scopes and the states of a key's life.
//!
//! It touches hashing and the system's randomness, nothing else: no clock (`now_ms` is always an
//! argument), no I/O, no task. Everything that holds a secret is wiped when it is dropped, prints
//! `[redacted]` for `Debug`, and is compared in constant time or not at all.

mod api_key;
mod base62;
mod digest;
mod hash;
mod key_id;
mod lifecycle;
mod mac;
mod name;
mod owner;
mod random;
mod receipt;
mod ring;
mod scope;
mod secret;
mod signing_key;

pub use api_key::{ApiKey, ApiKeyError};
pub use digest::{ProcessKey, SecretDigest};
pub use hash::{HashError, HashParams, HashParamsError, SecretHash, hash_random_part, hash_secret, verify_secret};
pub use key_id::{KeyId, KeyIdError};
pub use lifecycle::{Lifecycle, PreviousHash, SecretHashes, Slot, Status, Unusable};
pub use name::NameError;
pub use owner::{Namespace, OwnerName};
pub use random::{RandomnessError, random_bytes};
pub use receipt::Receipt;
pub use ring::{RingError, SigningRing, TagCheck};
pub use scope::{Scope, Scopes, ScopesError};
pub use secret::{RandomPart, SECRET_PATTERN, Secret, SecretError, SecretKind};
pub use signing_key::{RingChar, RingCharError, SigningKey};
