//! Rows of `keys` and the records they stand for.

use serde_json::{Map, Value};
use sqlx::types::Json;
use tollgate_api::RateLimitSpec;
use tollgate_gate::OutageMode;
use tollgate_gate::record::{KEY_LIMIT_NAME, KeyRecord, OWNER_LIMIT_NAME, OwnerRules, Revocation};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, PreviousHash, Scopes, SecretHash, SecretHashes, SecretKind, Status};

use crate::{PostgresError, rate_limit};

/// The columns that make a [`KeyRow`].
macro_rules! key_columns {
    () => {
        "keys.key_id, keys.owner, keys.name, keys.kind, keys.secret_phc, keys.previous_phc, keys.previous_kind, keys.previous_until_ms, keys.scopes, \
         keys.rate_limit, keys.status, keys.expires_at_ms, keys.created_at_ms, keys.revoked_at_ms, keys.revoke_reason, keys.metadata, \
         keys.outage_mode, keys.generation, keys.last_used_at_ms"
    };
}
pub(crate) use key_columns;

/// A row as it is read: nothing is checked yet. Not `Debug`, for it holds hashes as plain text.
#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    key_id: String,
    owner: Option<String>,
    name: String,
    kind: String,
    secret_phc: String,
    previous_phc: Option<String>,
    previous_kind: Option<String>,
    previous_until_ms: Option<i64>,
    scopes: Vec<String>,
    rate_limit: Option<Json<RateLimitSpec>>,
    status: String,
    expires_at_ms: Option<i64>,
    created_at_ms: i64,
    revoked_at_ms: Option<i64>,
    revoke_reason: Option<String>,
    metadata: Json<Map<String, Value>>,
    outage_mode: Option<String>,
    generation: i64,
    last_used_at_ms: Option<i64>,
}

impl KeyRow {
    /// The record, or which column cannot be.
    pub(crate) fn read(self) -> Result<KeyRecord, PostgresError> {
        let id = self.key_id.clone();
        self.checked().map_err(|column| PostgresError::unreadable("key", &id, column))
    }

    fn checked(self) -> Result<KeyRecord, &'static str> {
        let spec = self.rate_limit.as_ref().map(|Json(spec)| spec);
        let kind = kind_named(&self.kind).ok_or("kind")?;
        Ok(KeyRecord {
            key_id: KeyId::parse(&self.key_id).map_err(|_| "key_id")?,
            owner: self.owner.map(|owner| OwnerName::parse(&owner)).transpose().map_err(|_| "owner")?,
            name: self.name,
            kind,
            secrets: SecretHashes {
                current: SecretHash::parse(&self.secret_phc).map_err(|_| "secret_phc")?,
                previous: previous(self.previous_phc, (kind, self.previous_kind.as_deref()), self.previous_until_ms)?,
            },
            scopes: Scopes::parse(self.scopes.iter().map(String::as_str)).map_err(|_| "scopes")?,
            limits: rate_limit::from_spec(spec, KEY_LIMIT_NAME).ok_or("rate_limit")?,
            lifecycle: Lifecycle {
                status: status_named(&self.status).ok_or("status")?,
                expires_at_ms: optional_ms(self.expires_at_ms).map_err(|()| "expires_at_ms")?,
            },
            created_at_ms: u64::try_from(self.created_at_ms).map_err(|_| "created_at_ms")?,
            revoked: revocation(self.revoked_at_ms, self.revoke_reason)?,
            metadata: self.metadata.0,
            outage_mode: self.outage_mode.map(|name| outage_mode_named(&name).ok_or("outage_mode")).transpose()?,
            generation: u64::try_from(self.generation).map_err(|_| "generation")?,
            last_used_at_ms: optional_ms(self.last_used_at_ms).map_err(|()| "last_used_at_ms")?,
        })
    }
}

/// An owner's rules as they are read.
pub(crate) fn owner_rules(owner: &str, spec: Option<&Json<RateLimitSpec>>, generation: i64) -> Result<OwnerRules, PostgresError> {
    let unreadable = |column| PostgresError::unreadable("owner", owner, column);
    let limits = rate_limit::from_spec(spec.map(|Json(spec)| spec), OWNER_LIMIT_NAME);
    Ok(OwnerRules {
        limits: limits.ok_or_else(|| unreadable("rate_limit"))?,
        generation: u64::try_from(generation).map_err(|_| unreadable("generation"))?,
    })
}

/// The kind as it is stored.
pub(crate) fn kind_name(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Signed => "signed",
        SecretKind::Unsigned => "unsigned",
        SecretKind::Imported => "imported",
    }
}

/// The status as it is stored.
pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Suspended => "suspended",
        Status::Revoked => "revoked",
    }
}

/// The outage mode as it is stored.
pub(crate) fn outage_mode_name(mode: OutageMode) -> &'static str {
    match mode {
        OutageMode::Local => "local",
        OutageMode::Open => "open",
        OutageMode::Closed => "closed",
    }
}

fn outage_mode_named(name: &str) -> Option<OutageMode> {
    [OutageMode::Local, OutageMode::Open, OutageMode::Closed].into_iter().find(|mode| outage_mode_name(*mode) == name)
}

fn kind_named(name: &str) -> Option<SecretKind> {
    [SecretKind::Signed, SecretKind::Unsigned, SecretKind::Imported].into_iter().find(|kind| kind_name(*kind) == name)
}

fn status_named(name: &str) -> Option<Status> {
    [Status::Active, Status::Suspended, Status::Revoked].into_iter().find(|status| status_name(*status) == name)
}

fn previous(
    phc: Option<String>,
    (newest, kind): (SecretKind, Option<&str>),
    until_ms: Option<i64>,
) -> Result<Option<PreviousHash>, &'static str> {
    let (Some(phc), Some(until_ms)) = (phc, until_ms) else { return Ok(None) };
    Ok(Some(PreviousHash {
        hash: SecretHash::parse(&phc).map_err(|_| "previous_phc")?,
        kind: kind.map_or(Some(newest), kind_named).ok_or("previous_kind")?,
        valid_until_ms: u64::try_from(until_ms).map_err(|_| "previous_until_ms")?,
    }))
}

fn revocation(at_ms: Option<i64>, reason: Option<String>) -> Result<Option<Revocation>, &'static str> {
    let at_ms = optional_ms(at_ms).map_err(|()| "revoked_at_ms")?;
    Ok(at_ms.map(|at_ms| Revocation { at_ms, reason }))
}

fn optional_ms(value: Option<i64>) -> Result<Option<u64>, ()> {
    value.map(u64::try_from).transpose().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_read_back() {
        for kind in [SecretKind::Signed, SecretKind::Unsigned, SecretKind::Imported] {
            assert_eq!(kind_named(kind_name(kind)), Some(kind));
        }
        for status in [Status::Active, Status::Suspended, Status::Revoked] {
            assert_eq!(status_named(status_name(status)), Some(status));
        }
        for mode in [OutageMode::Local, OutageMode::Open, OutageMode::Closed] {
            assert_eq!(outage_mode_named(outage_mode_name(mode)), Some(mode));
        }
        assert_eq!(kind_named("Signed"), None);
        assert_eq!(status_named("expired"), None);
    }
}
