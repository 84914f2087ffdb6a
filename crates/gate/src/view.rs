//! Records as the control plane shows them.

use time::OffsetDateTime;
use tollgate_api::{AuditEntry, Key, KeyKindName, KeyStatus, Owner};
use tollgate_keys::{SecretKind, Unusable};

use crate::ports::AuditRow;
use crate::record::{KEY_LIMIT_NAME, KeyRecord, OWNER_LIMIT_NAME, OwnerRecord, limits_to_spec};

/// A key as of `now_ms`; `propagated` after a change.
pub(crate) fn key_view(record: &KeyRecord, now_ms: u64, propagated: Option<bool>) -> Key {
    Key {
        key_id: record.key_id.to_string(),
        name: record.name.clone(),
        owner: record.owner.as_ref().map(ToString::to_string),
        kind: kind_name(record.kind),
        status: match record.lifecycle.usable(now_ms) {
            Ok(()) => KeyStatus::Active,
            Err(Unusable::Suspended) => KeyStatus::Suspended,
            Err(Unusable::Revoked) => KeyStatus::Revoked,
            Err(Unusable::Expired) => KeyStatus::Expired,
        },
        scopes: record.scopes.iter().map(ToString::to_string).collect(),
        rate_limit: limits_to_spec(&record.limits, KEY_LIMIT_NAME),
        generation: record.generation,
        created_at: instant(record.created_at_ms),
        expires_at: record.lifecycle.expires_at_ms.map(instant),
        previous_secret_until: previous_until_ms(record, now_ms).map(instant),
        last_used_at: record.last_used_at_ms.map(instant),
        revoked_at: record.revoked.as_ref().map(|revoked| instant(revoked.at_ms)),
        revoke_reason: record.revoked.as_ref().and_then(|revoked| revoked.reason.clone()),
        metadata: record.metadata.clone(),
        outage_mode: record.outage_mode.map(Into::into),
        propagated,
    }
}

/// A row of the audit log.
pub(crate) fn audit_view(row: AuditRow) -> AuditEntry {
    let AuditRow { position, at_ms, actor, action, key_id, owner, request_id, detail } = row;
    AuditEntry { position, at: instant(at_ms), actor, action, key_id, owner, request_id, detail }
}

/// An owner; `propagated` after a change.
pub(crate) fn owner_view(record: &OwnerRecord, propagated: Option<bool>) -> Owner {
    Owner {
        owner: record.owner.to_string(),
        rate_limit: limits_to_spec(&record.rules.limits, OWNER_LIMIT_NAME),
        generation: record.rules.generation,
        propagated,
    }
}

fn previous_until_ms(record: &KeyRecord, now_ms: u64) -> Option<u64> {
    record.secrets.previous.as_ref().map(|old| old.valid_until_ms).filter(|until_ms| now_ms < *until_ms)
}

fn kind_name(kind: SecretKind) -> KeyKindName {
    match kind {
        SecretKind::Signed => KeyKindName::Signed,
        SecretKind::Unsigned => KeyKindName::Unsigned,
        SecretKind::Imported => KeyKindName::Imported,
    }
}

/// The instants of records lie in this age; one that could not be written is shown as 1970.
pub(crate) fn instant(unix_ms: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
