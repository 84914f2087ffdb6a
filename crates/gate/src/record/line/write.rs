//! From records to lines.

use tollgate_api::KeyKindName;
use tollgate_keys::{PreviousHash, SecretHash, SecretKind, Status};

use super::{HashText, KEY_LIMIT_NAME, KeyLine, OWNER_LIMIT_NAME, OwnerLine, PreviousLine, RevocationLine, StatusName};
use crate::record::{KeyRecord, OwnerRecord, limits_to_spec};

impl From<&SecretHash> for HashText {
    fn from(hash: &SecretHash) -> Self {
        Self(hash.as_str().to_owned())
    }
}

impl From<&KeyRecord> for KeyLine {
    fn from(record: &KeyRecord) -> Self {
        Self {
            key_id: record.key_id.as_str().to_owned(),
            owner: record.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            name: record.name.clone(),
            kind: kind_name(record.kind),
            hash: HashText::from(&record.secrets.current),
            previous: record.secrets.previous.as_ref().map(|old| previous(old, record.kind)),
            scopes: record.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            rate_limit: limits_to_spec(&record.limits, KEY_LIMIT_NAME),
            status: status_name(record.lifecycle.status),
            expires_at_ms: record.lifecycle.expires_at_ms,
            created_at_ms: record.created_at_ms,
            revoked: record.revoked.as_ref().map(|why| RevocationLine { at_ms: why.at_ms, reason: why.reason.clone() }),
            metadata: record.metadata.clone(),
            outage_mode: record.outage_mode.map(Into::into),
            generation: record.generation,
            last_used_at_ms: record.last_used_at_ms,
        }
    }
}

impl From<&OwnerRecord> for OwnerLine {
    fn from(record: &OwnerRecord) -> Self {
        Self {
            owner: record.owner.as_str().to_owned(),
            rate_limit: limits_to_spec(&record.rules.limits, OWNER_LIMIT_NAME),
            generation: record.rules.generation,
        }
    }
}

fn previous(old: &PreviousHash, newest: SecretKind) -> PreviousLine {
    let kind = (old.kind != newest).then(|| kind_name(old.kind));
    PreviousLine { hash: HashText::from(&old.hash), kind, until_ms: old.valid_until_ms }
}

fn kind_name(kind: SecretKind) -> KeyKindName {
    match kind {
        SecretKind::Signed => KeyKindName::Signed,
        SecretKind::Unsigned => KeyKindName::Unsigned,
        SecretKind::Imported => KeyKindName::Imported,
    }
}

fn status_name(status: Status) -> StatusName {
    match status {
        Status::Active => StatusName::Active,
        Status::Suspended => StatusName::Suspended,
        Status::Revoked => StatusName::Revoked,
    }
}
