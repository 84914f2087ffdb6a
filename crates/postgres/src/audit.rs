//! What the audit log says of a change: which fields became what.
//!
//! Secrets, hashes and metadata never appear, only that they changed.

use serde_json::{Map, Value, json};
use tollgate_gate::record::{KEY_LIMIT_NAME, KeyRecord, OWNER_LIMIT_NAME};
use tollgate_limits::RateLimits;

use crate::{
    PostgresError,
    key_row::{kind_name, outage_mode_name, status_name},
    rate_limit,
};

/// Of a new key: its rules.
pub(crate) fn created(key: &KeyRecord) -> Result<Value, PostgresError> {
    let mut detail = shown(key)?;
    detail.insert("kind".to_owned(), kind_name(key.kind).into());
    Ok(Value::Object(detail))
}

/// Of a changed key: each field that differs, as it was and as it is.
pub(crate) fn changed(before: &KeyRecord, after: &KeyRecord) -> Result<Value, PostgresError> {
    let (old, new) = (shown(before)?, shown(after)?);
    let differing = new.into_iter().filter_map(|(field, to)| {
        let from = old.get(&field).cloned().unwrap_or_default();
        (from != to).then(|| (field, json!({ "from": from, "to": to })))
    });
    let mut detail: Map<String, Value> = differing.collect();
    let unshown = [
        ("secret", before.secrets.current != after.secrets.current),
        ("previous_secret", before.secrets.previous != after.secrets.previous),
        ("metadata", before.metadata != after.metadata),
    ];
    for (field, _) in unshown.into_iter().filter(|(_, differs)| *differs) {
        detail.insert(field.to_owned(), "changed".into());
    }
    Ok(Value::Object(detail))
}

/// Of an owner: its limit.
pub(crate) fn owner_put(limits: &RateLimits) -> Result<Value, PostgresError> {
    Ok(json!({ "rate_limit": rate_limit::to_json(limits, OWNER_LIMIT_NAME)? }))
}

fn shown(key: &KeyRecord) -> Result<Map<String, Value>, PostgresError> {
    let scopes: Value = key.scopes.iter().map(tollgate_keys::Scope::as_str).collect();
    let fields = [
        ("name", key.name.as_str().into()),
        ("scopes", scopes),
        ("rate_limit", rate_limit::to_json(&key.limits, KEY_LIMIT_NAME)?.into()),
        ("status", status_name(key.lifecycle.status).into()),
        ("expires_at_ms", key.lifecycle.expires_at_ms.into()),
        ("outage_mode", key.outage_mode.map(outage_mode_name).into()),
        ("reason", key.revoked.as_ref().and_then(|revoked| revoked.reason.as_deref()).into()),
    ];
    Ok(fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect())
}
