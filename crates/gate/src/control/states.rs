//! Out of use and back again; full buckets; and the end of all keys of an owner.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tollgate_api::{Key, RevokeKeyBody, RevokedKeys};
use tollgate_keys::{KeyId, OwnerName, Status};

use super::{ControlError, Operator, fence_of_key, known_id};
use crate::{
    Gate,
    config::ConfigError,
    gate::GateShared,
    ports::{ChangeKind, Fence, KeyListQuery, OwnerRevocation},
    record::{KeyRecord, Revocation},
    view::key_view,
};

/// Keys revoked in one transaction.
const REVOKED_AT_ONCE: u32 = 500;
/// How much longer than [`crate::CacheOptions::age_max`] a revoked key is fenced again: clocks differ.
const HELD_MARGIN: Duration = Duration::from_mins(10);
/// Fences on their way at a time.
const FENCES_AT_ONCE: usize = 32;
/// Looks for keys that were made while the others were being revoked.
const LOOKS_AGAIN_MAX: usize = 3;

impl Gate {
    /// Takes a key out of use until it is resumed; once more is no change.
    pub async fn suspend_key(&self, operator: &Operator, key_id: &str) -> Result<Key, ControlError> {
        let edit = Box::new(|record: &KeyRecord| with_status(record, Status::Suspended));
        self.shared.change(operator, (key_id, "keys.suspend"), ChangeKind::Updated, edit).await
    }

    /// Takes a suspended key into use again; an active one is left as it is.
    pub async fn resume_key(&self, operator: &Operator, key_id: &str) -> Result<Key, ControlError> {
        let edit = Box::new(|record: &KeyRecord| with_status(record, Status::Active));
        self.shared.change(operator, (key_id, "keys.resume"), ChangeKind::Updated, edit).await
    }

    /// Makes a key's buckets full, each time it is called; the owner's are left as they are. All
    /// that it does happens in the bucket store, so it fails where that cannot be told; the change
    /// stands all the same, and nodes make it good when the store answers soon.
    pub async fn reset_key(&self, operator: &Operator, key_id: &str) -> Result<Key, ControlError> {
        let shared = &*self.shared;
        let (key_id, tenant) = (known_id(key_id)?, operator.identity.owner.clone());
        // A generation of its own: the mark in the bucket store must be newer than every decision.
        let edit = Box::new(|record: &KeyRecord| not_revoked(record).map(|()| Some(record.clone())));
        let context = shared.context(operator, "keys.reset");
        let record = shared.keys.change(key_id, tenant, ChangeKind::Reset, edit, context).await?.record;
        shared.cache.forget(&record.key_id);
        if !shared.raise(Fence { reset: true, ..fence_of_key(&record) }).await {
            return Err(ControlError::Unavailable("the bucket store cannot be told to fill the buckets now".to_owned()));
        }
        Ok(key_view(&record, shared.clock.unix_ms(), Some(true)))
    }

    /// Revokes every key of an owner, the caller's own too, and those that are made meanwhile.
    pub async fn revoke_keys_of(&self, operator: &Operator, owner: &str, body: RevokeKeyBody) -> Result<RevokedKeys, ControlError> {
        let shared = &*self.shared;
        let reason = shared.config.revocation_reason(body)?;
        let owner = OwnerName::parse(owner).map_err(|_| ControlError::NotFound)?;
        if operator.identity.owner.as_ref().is_some_and(|own| *own != owner) {
            return Err(ControlError::NotFound);
        }
        shared.keys.owner(owner.clone()).await?.ok_or(ControlError::NotFound)?;
        let _turn = shared.revoking.take_turn(&owner)?;
        let (mut fenced, of) = (Fenced::begin(), (&owner, reason.as_deref()));
        let mut revoked = shared.revoke_until_none(operator, of, &mut fenced).await?;
        // Whoever began this before, or does it elsewhere, may not have got to the fences.
        if shared.fence_revoked(&owner, &mut fenced).await? {
            sleep_until(fenced.good_until).await;
            revoked += shared.revoke_until_none(operator, of, &mut fenced).await?;
        }
        Ok(RevokedKeys { owner: owner.to_string(), revoked, propagated: fenced.are_raised })
    }
}

/// Owners whose keys are being revoked: a call for one waits for no other's, and none is doubled.
#[derive(Debug, Default)]
pub(crate) struct Revoking(Mutex<HashSet<OwnerName>>);

/// Ends with the call.
struct Turn<'a>(&'a Revoking, OwnerName);

impl Revoking {
    fn take_turn(&self, owner: &OwnerName) -> Result<Turn<'_>, ControlError> {
        if self.with(|owners| owners.insert(owner.clone())) {
            return Ok(Turn(self, owner.clone()));
        }
        Err(ControlError::Unavailable("another call revokes the keys of this owner".to_owned()))
    }

    fn with<T>(&self, look: impl FnOnce(&mut HashSet<OwnerName>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.with(|owners| owners.remove(&self.1));
    }
}

/// What came of the fences of several keys.
struct Fenced {
    are_raised: bool,
    /// Nobody spends after that what was taken ahead under the rules before.
    good_until: Instant,
    /// Whose were asked for.
    keys: HashSet<KeyId>,
}

impl Fenced {
    fn begin() -> Self {
        Self { are_raised: true, good_until: Instant::now(), keys: HashSet::new() }
    }
}

impl GateShared {
    /// Revokes an owner's keys until there is none left, those too that are made meanwhile; how many.
    async fn revoke_until_none(
        &self,
        operator: &Operator,
        of: (&OwnerName, Option<&str>),
        fenced: &mut Fenced,
    ) -> Result<u64, ControlError> {
        let mut revoked = 0;
        for _ in 0..=LOOKS_AGAIN_MAX {
            let more = self.revoke_all(operator, of, fenced).await?;
            if more == 0 {
                break;
            }
            revoked += more;
            // Until then one of them may pay from a slice for making another.
            sleep_until(fenced.good_until).await;
        }
        Ok(revoked)
    }

    /// Goes over an owner's keys once, in order of ids; how many there were to revoke.
    async fn revoke_all(
        &self,
        operator: &Operator,
        (owner, reason): (&OwnerName, Option<&str>),
        fenced: &mut Fenced,
    ) -> Result<u64, ControlError> {
        let (mut count, mut after) = (0, None);
        loop {
            let context = self.context(operator, "owners.revoke_keys");
            let revocation = Revocation { at_ms: context.now_ms, reason: reason.map(str::to_owned) };
            let next = OwnerRevocation { owner: owner.clone(), after, count_max: REVOKED_AT_ONCE, revocation };
            let revoked = self.keys.revoke_keys(next, context).await?;
            count += u64::try_from(revoked.len()).unwrap_or(u64::MAX);
            self.fence_all(&revoked, fenced).await;
            let Some(last) = revoked.last() else { return Ok(count) };
            // The last of them sends the others to the log for all.
            self.announce_key(ChangeKind::Revoked, last).await;
            after = Some(last.key_id.clone());
        }
    }

    /// Raises the fences of an owner's other revoked keys, as far as some node may still hold them; whether there
    /// were any.
    async fn fence_revoked(&self, owner: &OwnerName, fenced: &mut Fenced) -> Result<bool, ControlError> {
        let (mut were_any, mut after, now_ms) = (false, None, self.clock.unix_ms());
        let held = self.options.cache.age_max + HELD_MARGIN;
        let since_ms = now_ms.saturating_sub(u64::try_from(held.as_millis()).unwrap_or(u64::MAX));
        loop {
            let (owner, status) = (Some(owner.clone()), Some(tollgate_api::KeyStatus::Revoked));
            let query = KeyListQuery { owner, status, revoked_since_ms: Some(since_ms), after, count_max: REVOKED_AT_ONCE, now_ms };
            let mut revoked = self.keys.list(query).await?;
            after = revoked.last().map(|last| last.key_id.clone());
            revoked.retain(|record| !fenced.keys.contains(&record.key_id));
            were_any |= !revoked.is_empty();
            self.fence_all(&revoked, fenced).await;
            if after.is_none() || !fenced.are_raised {
                return Ok(were_any);
            }
        }
    }

    /// Raises the fences of keys just revoked, unless one of them could not be raised so far:
    /// then the bucket store is not there, and the log makes the others good.
    async fn fence_all(&self, revoked: &[KeyRecord], fenced: &mut Fenced) {
        for records in revoked.chunks(FENCES_AT_ONCE) {
            for record in records {
                self.cache.forget(&record.key_id);
                fenced.keys.insert(record.key_id.clone());
            }
            if !fenced.are_raised {
                continue;
            }
            let mut raising = JoinSet::new();
            for record in records {
                let (buckets, fence) = (Arc::clone(&self.buckets), fence_of_key(record));
                let deadline = Instant::now() + self.follower.options().fence_timeout;
                raising.spawn(async move { buckets.raise_fence(fence, deadline).await });
            }
            for done in raising.join_all().await {
                fenced.are_raised &= done.is_ok();
                fenced.good_until = fenced.good_until.max(Instant::now() + done.unwrap_or_default());
            }
        }
    }
}

fn with_status(record: &KeyRecord, status: Status) -> Result<Option<KeyRecord>, ConfigError> {
    not_revoked(record)?;
    let mut edited = record.clone();
    edited.lifecycle.status = status;
    Ok((edited != *record).then_some(edited))
}

fn not_revoked(record: &KeyRecord) -> Result<(), ConfigError> {
    if record.lifecycle.status != Status::Revoked {
        return Ok(());
    }
    Err(ConfigError::conflict("the key is revoked, and a revoked key never changes again; make another"))
}
