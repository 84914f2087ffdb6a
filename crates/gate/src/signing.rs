//! The ring of signing keys: loaded from the key store, sealed by a master key where there is one.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tollgate_keys::{RingChar, SigningKey, SigningRing, random_bytes};
use zeroize::Zeroizing;

use crate::ports::{KeyStore, KeyStoreError, StoredSigningKey};

mod current;

pub(crate) use current::Signing;

const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Seals signing keys for storage: 32 bytes that never touch the key store.
pub struct MasterKey(LessSafeKey);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

/// Why a signing key cannot be read or made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SigningError {
    /// The master key must be 32 bytes, as such or as 64 hexadecimal digits.
    #[error("a master key is 32 bytes, or 64 hexadecimal digits")]
    MasterKeyForm,
    /// Sealed by another master key, or damaged.
    #[error("signing key {0} cannot be opened: is keys.master_key_file the one it was made under?")]
    Unopened(char),
    /// The system gives no random bytes, or refuses to seal.
    #[error("no signing key can be made: {0}")]
    Unmade(String),
    /// All 62 ring characters are taken.
    #[error("the ring is full: 62 signing keys have been made")]
    Full,
    /// The key store.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
}

impl MasterKey {
    /// Reads a master key: 32 raw bytes, or 64 hexadecimal digits with white space around them.
    pub fn parse(bytes: &[u8]) -> Result<Self, SigningError> {
        let raw = <[u8; 32]>::try_from(bytes).map(Zeroizing::new).ok();
        let raw = raw.or_else(|| unhex(bytes.trim_ascii())).ok_or(SigningError::MasterKeyForm)?;
        let key = UnboundKey::new(&AES_256_GCM, raw.as_slice()).map_err(|_| SigningError::MasterKeyForm)?;
        Ok(Self(LessSafeKey::new(key)))
    }
}

/// Seals a signing key for the store; without a master key it is stored as it is.
fn seal(master: Option<&MasterKey>, key: &SigningKey, added_at_ms: u64) -> Result<StoredSigningKey, SigningError> {
    let ring = key.ring().as_char();
    let sealed = match master {
        None => [&[PLAIN], key.expose().as_slice()].concat(),
        Some(MasterKey(master)) => {
            let nonce: [u8; NONCE_LEN] = random_bytes().map_err(|error| SigningError::Unmade(error.to_string()))?;
            let mut body = key.expose().to_vec();
            let sealing = master.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound_to(ring)), &mut body);
            sealing.map_err(|_| SigningError::Unmade("sealing failed".to_owned()))?;
            [&[SEALED], nonce.as_slice(), &body].concat()
        }
    };
    Ok(StoredSigningKey { ring, origin: String::new(), sealed, added_at_ms, retired_at_ms: None })
}

fn open(master: Option<&MasterKey>, stored: &StoredSigningKey) -> Result<SigningKey, SigningError> {
    let unopened = || SigningError::Unopened(stored.ring);
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(match (stored.sealed.split_first(), master) {
        (Some((&PLAIN, key)), _) => key.try_into().map_err(|_| unopened())?,
        (Some((&SEALED, rest)), Some(MasterKey(master))) => {
            let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or_else(unopened)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| unopened())?;
            let mut body = Zeroizing::new(body.to_vec());
            let opened = master.open_in_place(nonce, Aad::from(bound_to(stored.ring)), &mut body).map_err(|_| unopened())?;
            (&*opened).try_into().map_err(|_| unopened())?
        }
        _ => return Err(unopened()),
    });
    let key = SigningKey::new(RingChar::new(stored.ring).map_err(|_| unopened())?, *key);
    let key = if stored.retired_at_ms.is_some() { key.retire() } else { key };
    Ok(if stored.origin.is_empty() { key } else { key.foreign() })
}

/// A signing key that was brought from another store, sealed by this one's master key. It must open
/// under the same, or have been stored in the clear.
pub(crate) fn resealed(master: Option<&MasterKey>, stored: &StoredSigningKey) -> Result<StoredSigningKey, SigningError> {
    let sealed = seal(master, &open(master, stored)?, stored.added_at_ms)?;
    Ok(StoredSigningKey { origin: stored.origin.clone(), retired_at_ms: stored.retired_at_ms, ..sealed })
}

fn bound_to(ring: char) -> String {
    format!("tollgate signing key {ring}")
}

fn unhex(digits: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if digits.len() != 64 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut raw = Zeroizing::new([0; 32]);
    for (byte, pair) in raw.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(*pair.first()?)? << 4 | digit(*pair.last()?)?;
    }
    Some(raw)
}

/// Adds a signing key under a ring character that was never used, and says which.
pub async fn add_signing_key(
    store: &dyn KeyStore,
    master: Option<&MasterKey>,
    only_first: bool,
    now_ms: u64,
) -> Result<char, SigningError> {
    let ring = ring_of(master, &stored(store).await?, |_| false)?;
    let character = ring.free_char().ok_or(SigningError::Full)?;
    let key = SigningKey::generate(character).map_err(|error| SigningError::Unmade(error.to_string()))?;
    store.add_signing_key(seal(master, &key, now_ms)?, only_first).await?;
    Ok(character.as_char())
}

/// All signing keys of a store, the oldest first.
async fn stored(store: &dyn KeyStore) -> Result<Vec<StoredSigningKey>, SigningError> {
    let mut stored = store.signing_keys().await?;
    stored.sort_by(|a, b| (a.added_at_ms, a.ring, &a.origin).cmp(&(b.added_at_ms, b.ring, &b.origin)));
    Ok(stored)
}

/// The same, with the first key of this store made where there is none.
async fn stored_or_begun(store: &dyn KeyStore, master: Option<&MasterKey>, now_ms: u64) -> Result<Vec<StoredSigningKey>, SigningError> {
    let there = stored(store).await?;
    if own(&there).next().is_some() {
        return Ok(there);
    }
    add_signing_key(store, master, true, now_ms).await?;
    stored(store).await
}

/// The keys that were not brought along from another store.
fn own(stored: &[StoredSigningKey]) -> impl Iterator<Item = &StoredSigningKey> {
    stored.iter().filter(|key| key.origin.is_empty())
}

/// The ring of these keys. Of this store's own, those that `is_held_back` names sign nothing.
fn ring_of(
    master: Option<&MasterKey>,
    stored: &[StoredSigningKey],
    is_held_back: impl Fn(&StoredSigningKey) -> bool,
) -> Result<SigningRing, SigningError> {
    let opened = |key| open(master, key).map(|open| if is_held_back(key) { open.hold_back() } else { open });
    let keys = stored.iter().map(opened).collect::<Result<Vec<_>, _>>()?;
    SigningRing::new(keys).map_err(|error| SigningError::Unmade(error.to_string()))
}

/// The ring of a store, to make one key with, its first signing key made where there is none. Where
/// the only one that can sign was added a moment ago, waits until every node knows it.
pub(crate) async fn ring_to_mint_with(store: &dyn KeyStore, master: Option<&MasterKey>, now_ms: u64) -> Result<SigningRing, SigningError> {
    let stored = stored_or_begun(store, master, now_ms).await?;
    let is_only = own(&stored).count() == 1;
    let ring = ring_of(master, &stored, |key| !is_only && !current::is_old(key, now_ms))?;
    if ring.signer().is_some() || !ring.will_sign() {
        return Ok(ring);
    }
    tokio::time::sleep(current::SETTLE).await;
    ring_of(master, &stored, |_| false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::new(RingChar::new('7').expect("a ring character"), [9; 32])
    }

    #[test]
    fn a_sealed_key_opens_under_its_master_key_alone() {
        let master = MasterKey::parse(&[1; 32]).expect("a master key");
        let sealed = seal(Some(&master), &key(), 5).expect("sealed");
        assert!(!sealed.sealed.windows(4).any(|window| window == [9; 4]), "the key stands in the clear");
        assert_eq!(open(Some(&master), &sealed).expect("opens").expose(), &[9; 32]);
        let other = MasterKey::parse(&[2; 32]).expect("a master key");
        assert!(matches!(open(Some(&other), &sealed), Err(SigningError::Unopened('7'))));
        assert!(matches!(open(None, &sealed), Err(SigningError::Unopened('7'))));
        let moved = StoredSigningKey { ring: '8', ..sealed };
        assert!(open(Some(&master), &moved).is_err(), "bound to its ring character");
    }

    #[test]
    fn a_plain_key_opens_with_and_without_a_master_key() {
        let plain = seal(None, &key(), 5).expect("stored");
        let master = MasterKey::parse(&[1; 32]).expect("a master key");
        assert_eq!(open(None, &plain).expect("opens").expose(), &[9; 32]);
        assert_eq!(open(Some(&master), &plain).expect("opens").expose(), &[9; 32]);
    }

    #[test]
    fn a_master_key_is_32_bytes_or_64_digits() {
        assert!(MasterKey::parse(&[0; 32]).is_ok());
        assert!(MasterKey::parse(format!(" {}\n", "0f".repeat(32)).as_bytes()).is_ok());
        for bad in [&b""[..], &[0; 31], &[0; 33], "0g".repeat(32).as_bytes(), "0f".repeat(31).as_bytes()] {
            assert!(matches!(MasterKey::parse(bad), Err(SigningError::MasterKeyForm)));
        }
    }
}
