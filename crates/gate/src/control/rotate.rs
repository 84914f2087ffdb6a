//! Another secret for a key: the new one is good at once, the old one for a while.
//!
//! Key id, limits and everything else stay, so a rotation gives nobody a second budget.

use tollgate_api::{CreatedKey, KeyKindName, RotateKeyBody};
use tollgate_keys::{ApiKey, RandomPart, Secret, SecretHash, SecretKind, SigningRing, Status};

use super::{ControlError, Operator, fence_of_key, known_id};
use crate::{
    Gate,
    config::{ConfigError, may_hold_secret_of},
    gate::GateShared,
    mint::{MintError, check_signer},
    once::once_of,
    ports::{ChangeContext, ChangeKind, KeyStoreError},
    record::KeyRecord,
    view::key_view,
};

/// What a rotation is to do, checked.
#[derive(Debug, Clone, Copy)]
struct Rotation {
    /// How the new secret is made; none for "as the one before".
    kind: Option<SecretKind>,
    /// How long the one before stays good.
    grace_ms: u64,
    now_ms: u64,
}

impl Gate {
    /// Makes another secret for a key and tells it this once. The one before stays good for the
    /// grace period, never beyond the key's end; one from before that ends at once.
    pub async fn rotate_key(&self, operator: &Operator, key_id: &str, body: RotateKeyBody) -> Result<CreatedKey, ControlError> {
        let shared = &*self.shared;
        let key_id = known_id(key_id)?;
        let once = once_of(operator, "keys.rotate", key_id.as_str(), &body)?;
        if let Some(before) = shared.done_before(once).await? {
            return Ok(shared.rotated_before(&before).await);
        }
        let context = ChangeContext { once, ..shared.context(operator, "keys.rotate") };
        let grace_ms = shared.config.rotation_grace_ms(body.grace_seconds)?;
        let rotation = Rotation { kind: kind_of(body.kind)?, grace_ms, now_ms: context.now_ms };
        // Looked at before it is hashed for: what is refused costs no hash.
        let tenant = operator.identity.owner.clone();
        let found = shared.keys.find(key_id.clone()).await?.filter(|found| tenant.is_none() || tenant == found.key.owner);
        let found = found.ok_or(ControlError::NotFound)?;
        may_hold_secret_of(&operator.identity, &found.key)?;
        let kind = may_rotate(&found.key, rotation)?;
        let ring = shared.signing.ring();
        if kind == SecretKind::Signed {
            check_signer(&ring)?;
        }
        let random = RandomPart::generate().map_err(|error| ControlError::Unavailable(error.to_string()))?;
        let (random, hash) = shared.hashing.hash(random).await?;
        let editor = operator.identity.clone();
        let edit = Box::new(move |record: &KeyRecord| {
            // Its scopes may be others by now.
            may_hold_secret_of(&editor, record)?;
            rotated(record, hash, rotation).map(Some)
        });
        let record = match shared.keys.change(key_id, tenant, ChangeKind::Rotated, edit, context).await {
            Err(KeyStoreError::Repeated) => {
                let before = shared.done_before(once).await?.ok_or(KeyStoreError::Repeated)?;
                return Ok(shared.rotated_before(&before).await);
            }
            changed => changed?.record,
        };
        let propagated = shared.raise_as(ChangeKind::Rotated, fence_of_key(&record)).await;
        shared.cache.forget(&record.key_id);
        let api_key = ApiKey { key_id: record.key_id.clone(), secret: secret_of(&record, &ring, &random)? };
        shared.leave_receipt(&record.key_id, &record.secrets.current, &api_key.secret).await;
        let key = key_view(&record, shared.clock.unix_ms(), Some(propagated));
        Ok(CreatedKey { api_key: Some(api_key.expose().to_string()), replayed: false, key })
    }
}

impl GateShared {
    /// A rotation that was made before: its fence may not have been raised then.
    async fn rotated_before(&self, record: &KeyRecord) -> CreatedKey {
        let propagated = self.raise_as(ChangeKind::Rotated, fence_of_key(record)).await;
        self.cache.forget(&record.key_id);
        self.replayed(record, Some(propagated))
    }
}

fn kind_of(kind: Option<KeyKindName>) -> Result<Option<SecretKind>, ConfigError> {
    kind.map(|kind| super::secret_kind(Some(kind))).transpose()
}

/// How the new secret is to be made, if the key may have one. A secret made elsewhere is followed
/// by a signed one.
fn may_rotate(record: &KeyRecord, rotation: Rotation) -> Result<SecretKind, ConfigError> {
    if record.lifecycle.status == Status::Revoked {
        return Err(ConfigError::conflict("the key is revoked, and a revoked key never changes again; make another"));
    }
    if record.lifecycle.expires_at_ms.is_some_and(|end_ms| rotation.now_ms >= end_ms) {
        return Err(ConfigError::conflict("the key has expired, and so would its new secret; give it a later expires_at first"));
    }
    Ok(rotation.kind.unwrap_or(match record.kind {
        SecretKind::Imported => SecretKind::Signed,
        own => own,
    }))
}

fn rotated(record: &KeyRecord, hash: SecretHash, rotation: Rotation) -> Result<KeyRecord, ConfigError> {
    let kind = may_rotate(record, rotation)?;
    let until_ms = rotation.now_ms.saturating_add(rotation.grace_ms);
    let until_ms = record.lifecycle.expires_at_ms.map_or(until_ms, |end_ms| until_ms.min(end_ms));
    let secrets = record.secrets.clone().rotated(hash, record.kind, rotation.now_ms, until_ms);
    Ok(KeyRecord { kind, secrets, ..record.clone() })
}

fn secret_of(record: &KeyRecord, ring: &SigningRing, random: &RandomPart) -> Result<Secret, MintError> {
    match record.kind {
        SecretKind::Signed => ring.sign(&record.key_id, random).ok_or(MintError::NothingSigns),
        SecretKind::Unsigned | SecretKind::Imported => Ok(Secret::unsigned(random)),
    }
}
