//! Ids of keys as a node holds many of them: ours are sixteen bytes, and never looked up as text.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use papaya::Equivalent;
use tollgate_keys::KeyId;

/// The id of a key that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeldId {
    /// [`KeyId::bits`], the highest first.
    Ours([u8; 16]),
    Foreign(KeyId),
}

/// The id of a key that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AskedId<'a> {
    Ours(u128),
    Foreign(&'a str),
}

impl<'a> AskedId<'a> {
    pub(crate) fn of(key_id: &'a KeyId) -> Self {
        key_id.bits().map_or_else(|| Self::Foreign(key_id.as_str()), Self::Ours)
    }
}

impl HeldId {
    pub(crate) fn of(key_id: &KeyId) -> Self {
        key_id.bits().map_or_else(|| Self::Foreign(key_id.clone()), |bits| Self::Ours(bits.to_be_bytes()))
    }

    /// The id as text: allocates for one of ours.
    pub(crate) fn key_id(&self) -> KeyId {
        match self {
            Self::Ours(bits) => KeyId::from_bits(u128::from_be_bytes(*bits)),
            Self::Foreign(key_id) => key_id.clone(),
        }
    }

    pub(crate) fn asked(&self) -> AskedId<'_> {
        match self {
            Self::Ours(bits) => AskedId::Ours(u128::from_be_bytes(*bits)),
            Self::Foreign(key_id) => AskedId::Foreign(key_id.as_str()),
        }
    }
}

/// Something that is held of a key.
pub(crate) trait OfKey {
    /// Of which.
    fn id(&self) -> &HeldId;
}

/// Lets sets and maps be keyed by what is held of a key without holding its id once more.
#[derive(Debug)]
pub(crate) struct ById<T>(pub(crate) Arc<T>);

impl<T: OfKey> PartialEq for ById<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl<T: OfKey> Eq for ById<T> {}

impl<T: OfKey> Hash for ById<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl<T: OfKey> Borrow<HeldId> for ById<T> {
    fn borrow(&self) -> &HeldId {
        self.0.id()
    }
}

impl<T: OfKey> Equivalent<ById<T>> for AskedId<'_> {
    fn equivalent(&self, held: &ById<T>) -> bool {
        *self == held.0.id().asked()
    }
}

impl Hash for HeldId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}
