//! Ids of keys as a node holds many of them: ours are sixteen bytes, and never looked up as text.

use std::hash::{Hash, Hasher};

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

    fn asked(&self) -> AskedId<'_> {
        match self {
            Self::Ours(bits) => AskedId::Ours(u128::from_be_bytes(*bits)),
            Self::Foreign(key_id) => AskedId::Foreign(key_id.as_str()),
        }
    }
}

impl Hash for HeldId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl Equivalent<HeldId> for AskedId<'_> {
    fn equivalent(&self, held: &HeldId) -> bool {
        *self == held.asked()
    }
}
