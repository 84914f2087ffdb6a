//! Kinds of keys on their way out: used with a warning, refused from a date on.

use tollgate_keys::SecretKind;
use tollgate_telemetry::KindLabel;

use crate::{authenticate::Verified, cache::CachedKey, gate::GateShared, standings::Standings, verdict::Passed};

/// How long a kind of key is still good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KindLife {
    /// As long as its keys.
    #[default]
    Current,
    /// For now, with a warning.
    Deprecated,
    /// Until this instant, in milliseconds since 1970, with a warning; from then on it is refused.
    Until(u64),
}

/// How long each kind of key is still good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindLives {
    /// Signed ones.
    pub signed: KindLife,
    /// Unsigned ones.
    pub unsigned: KindLife,
    /// Imported ones.
    pub imported: KindLife,
}

/// A kind that should not be used any more, for the warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecated {
    /// The kind.
    pub kind: SecretKind,
    /// When it ends, in milliseconds since 1970, where that is known.
    pub until_ms: Option<u64>,
}

impl KindLives {
    /// How long a kind is still good.
    pub fn of(&self, kind: SecretKind) -> KindLife {
        match kind {
            SecretKind::Signed => self.signed,
            SecretKind::Unsigned => self.unsigned,
            SecretKind::Imported => self.imported,
        }
    }

    /// Whether a kind is refused at `now_ms`; at its end exactly it is.
    pub(crate) fn is_over(&self, kind: SecretKind, now_ms: u64) -> bool {
        matches!(self.of(kind), KindLife::Until(end_ms) if now_ms >= end_ms)
    }

    /// What to warn of, if anything.
    pub(crate) fn deprecated(&self, kind: SecretKind) -> Option<Deprecated> {
        match self.of(kind) {
            KindLife::Current => None,
            KindLife::Deprecated => Some(Deprecated { kind, until_ms: None }),
            KindLife::Until(end_ms) => Some(Deprecated { kind, until_ms: Some(end_ms) }),
        }
    }
}

/// The kind of a key as it is used: of a key that was rotated to another kind, that of the secret
/// that was shown.
pub(crate) fn kind_in_use(key: &CachedKey, shown: SecretKind) -> SecretKind {
    // A secret made elsewhere may look like one of ours.
    if key.kind == SecretKind::Imported { SecretKind::Imported } else { shown }
}

/// Whether a secret that was made as `kind` may have the form that was shown. Imported ones have any.
pub(crate) fn may_be_shown_as(kind: SecretKind, shown: SecretKind) -> bool {
    kind == SecretKind::Imported || kind == shown
}

/// Whether a secret of the form that was shown can be one of the key's, so that it is worth hashing.
pub(crate) fn may_be_of(key: &CachedKey, shown: SecretKind, now_ms: u64) -> bool {
    let previous = key.proofs.previous().filter(|previous| now_ms < previous.valid_until_ms).map(|previous| previous.kind);
    std::iter::once(key.kind).chain(previous).any(|kind| may_be_shown_as(kind, shown))
}

/// The kind as the metric shows it.
pub(crate) fn label_of(kind: SecretKind) -> KindLabel {
    match kind {
        SecretKind::Signed => KindLabel::Signed,
        SecretKind::Unsigned => KindLabel::Unsigned,
        SecretKind::Imported => KindLabel::Imported,
    }
}

impl GateShared {
    /// A verified caller, his standings, and what to warn him of.
    pub(crate) fn passed(&self, verified: &Verified, standings: Standings) -> Passed {
        let kind = verified.request.credential.api_key().map(|api_key| kind_in_use(&verified.entry, api_key.secret.kind()));
        let deprecated = kind.and_then(|kind| self.options.kinds.deprecated(kind));
        Passed { identity: verified.identity(), standings, deprecated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_over_from_its_date_on() {
        let lives = KindLives { unsigned: KindLife::Until(1000), imported: KindLife::Deprecated, ..KindLives::default() };
        assert!(!lives.is_over(SecretKind::Unsigned, 999) && lives.is_over(SecretKind::Unsigned, 1000));
        assert!(!lives.is_over(SecretKind::Imported, u64::MAX) && !lives.is_over(SecretKind::Signed, u64::MAX));
        assert_eq!(lives.deprecated(SecretKind::Signed), None);
        assert_eq!(lives.deprecated(SecretKind::Imported), Some(Deprecated { kind: SecretKind::Imported, until_ms: None }));
        assert_eq!(lives.deprecated(SecretKind::Unsigned), Some(Deprecated { kind: SecretKind::Unsigned, until_ms: Some(1000) }));
    }
}
