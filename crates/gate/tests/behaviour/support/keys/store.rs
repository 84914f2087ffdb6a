//! The fake as the gate sees it.

use std::sync::atomic::Ordering;

use tollgate_api::KeyStatus;
use tollgate_gate::{
    ports::{
        AuditQuery, AuditRows, BoxFuture, Change, ChangeContext, ChangeKind, Changed, CreateGuard, DoneOnce, FoundKey, ImportBatch,
        Imported, KeyDraft, KeyEdit, KeyIdStream, KeyListQuery, KeyStore, KeyStoreError, LogHead, LogId, OwnerRevocation, StoredSigningKey,
        StreamTurn,
    },
    record::{KeyRecord, OwnerRecord, OwnerRules},
};
use tollgate_keys::{KeyId, Lifecycle, OwnerName, PreviousHash, Scope, Scopes, SecretHash, SecretHashes, Status, Unusable};
use tollgate_limits::{LimitName, NamedLimit, RateLimits};

use super::{FakeKeys, State, lock, pass};

fn status_at(lifecycle: Lifecycle, now_ms: u64) -> KeyStatus {
    match lifecycle.usable(now_ms) {
        Ok(()) => KeyStatus::Active,
        Err(Unusable::Suspended) => KeyStatus::Suspended,
        Err(Unusable::Revoked) => KeyStatus::Revoked,
        Err(Unusable::Expired) => KeyStatus::Expired,
    }
}

/// A record that shares no text with the one that is stored, as no row of a database does.
fn read_anew(stored: &KeyRecord) -> KeyRecord {
    let hash = |hash: &SecretHash| SecretHash::parse(hash.as_str()).expect("a hash");
    let previous = stored.secrets.previous.as_ref();
    let previous = previous.map(|previous| PreviousHash { hash: hash(&previous.hash), ..previous.clone() });
    KeyRecord {
        key_id: KeyId::parse(stored.key_id.as_str()).expect("an id"),
        owner: stored.owner.as_ref().map(|owner| OwnerName::parse(owner.as_str()).expect("an owner")),
        secrets: SecretHashes { current: hash(&stored.secrets.current), previous },
        scopes: Scopes::parse(stored.scopes.iter().map(Scope::as_str)).expect("scopes"),
        limits: RateLimits::new(stored.limits.as_slice().iter().map(anew).collect()).expect("limits"),
        ..stored.clone()
    }
}

fn anew(stored: &NamedLimit) -> NamedLimit {
    NamedLimit { name: LimitName::new(stored.name.as_str()).expect("a name"), limit: stored.limit }
}

impl State {
    fn rules(&self, owner: &OwnerName) -> OwnerRules {
        self.owners.get(owner).cloned().unwrap_or(OwnerRules { limits: RateLimits::unlimited(), generation: 0 })
    }

    fn find(&self, key_id: &KeyId) -> Option<FoundKey> {
        let key = read_anew(self.keys.get(key_id)?);
        let owner = key.owner.as_ref().map(|owner| self.rules(owner));
        Some(FoundKey { key, owner })
    }

    fn change(&mut self, key_id: &KeyId, tenant: Option<&OwnerName>, kind: ChangeKind, edit: KeyEdit) -> Result<Changed, KeyStoreError> {
        let found = self.keys.get(key_id).filter(|record| tenant.is_none() || record.owner.as_ref() == tenant);
        let current = found.ok_or(KeyStoreError::NotFound)?.clone();
        let Some(mut record) = edit(&current)? else { return Ok(Changed { record: current, changed: false }) };
        self.draw(0);
        record.generation = self.log(kind, Some(&record), None);
        self.keys.insert(key_id.clone(), record.clone());
        Ok(Changed { record, changed: true })
    }
}

impl KeyStore for FakeKeys {
    fn find(&self, key_id: KeyId) -> BoxFuture<'_, Result<Option<FoundKey>, KeyStoreError>> {
        Box::pin(async move {
            self.finds.fetch_add(1, Ordering::SeqCst);
            // Others get their turn, as they would until a real store is found to be down.
            tokio::task::yield_now().await;
            self.is_up()?;
            if lock(&self.changes_with_reads).as_ref() == Some(&key_id) {
                self.edit(&key_id, ChangeKind::Updated, |_| {});
            }
            let found = lock(&self.state).find(&key_id);
            pass(&self.held_find).await;
            // Others get their turn, as they would while a real store is asked.
            tokio::task::yield_now().await;
            Ok(found)
        })
    }

    fn list(&self, query: KeyListQuery) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let state = lock(&self.state);
            let wanted = |record: &&KeyRecord| {
                query.owner.as_ref().is_none_or(|owner| record.owner.as_ref() == Some(owner))
                    && query.after.as_ref().is_none_or(|after| record.key_id > *after)
                    && query.revoked_since_ms.is_none_or(|since| record.revoked.as_ref().is_some_and(|revoked| revoked.at_ms >= since))
                    && query.status.is_none_or(|status| status == status_at(record.lifecycle, query.now_ms))
            };
            Ok(state.keys.values().filter(wanted).take(query.count_max.clamp(1, 1000) as usize).cloned().collect())
        })
    }

    fn key_ids(&self, turn: StreamTurn) -> BoxFuture<'_, Result<Option<Box<dyn KeyIdStream>>, KeyStoreError>> {
        Box::pin(async move { self.open_stream(turn) })
    }

    fn create(
        &self,
        draft: KeyDraft,
        _guard: CreateGuard,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Option<KeyRecord>, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let mut state = lock(&self.state);
            let mut record = draft.record;
            record.key_id = KeyId::from_parts(state.draw(context.now_ms), draft.id_entropy);
            state.take_name(context.once, &record.key_id)?;
            record.generation = state.log(ChangeKind::Created, Some(&record), None);
            state.keys.insert(record.key_id.clone(), record.clone());
            Ok(Some(record))
        })
    }

    fn change(
        &self,
        key_id: KeyId,
        tenant: Option<OwnerName>,
        kind: ChangeKind,
        edit: KeyEdit,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Changed, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let mut state = lock(&self.state);
            state.take_name(context.once, &key_id)?;
            state.change(&key_id, tenant.as_ref(), kind, edit)
        })
    }

    fn done_once(&self, name: [u8; 32], _now_ms: u64) -> BoxFuture<'_, Result<Option<DoneOnce>, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            Ok(lock(&self.state).done_once.get(&name).cloned())
        })
    }

    fn owner(&self, owner: OwnerName) -> BoxFuture<'_, Result<Option<OwnerRecord>, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let state = lock(&self.state);
            let known = state.owners.contains_key(&owner) || state.keys.values().any(|key| key.owner.as_ref() == Some(&owner));
            let rules = state.rules(&owner);
            Ok(known.then_some(OwnerRecord { owner, rules }))
        })
    }

    fn put_owner(
        &self,
        owner: OwnerName,
        limits: RateLimits,
        _context: ChangeContext,
    ) -> BoxFuture<'_, Result<OwnerRecord, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            self.edit_owner(&owner, limits);
            let rules = lock(&self.state).rules(&owner);
            Ok(OwnerRecord { owner, rules })
        })
    }

    fn owners(&self, after: Option<OwnerName>, count_max: u32) -> BoxFuture<'_, Result<Vec<OwnerRecord>, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let state = lock(&self.state);
            let later = state.owners.iter().filter(|(owner, _)| after.as_ref().is_none_or(|after| *owner > after));
            Ok(later.take(count_max as usize).map(|(owner, rules)| OwnerRecord { owner: owner.clone(), rules: rules.clone() }).collect())
        })
    }

    fn revoke_keys(&self, next: OwnerRevocation, _context: ChangeContext) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let mut state = lock(&self.state);
            let due = |record: &&KeyRecord| {
                record.owner.as_ref() == Some(&next.owner)
                    && record.lifecycle.status != Status::Revoked
                    && next.after.as_ref().is_none_or(|after| record.key_id > *after)
            };
            let mut records: Vec<KeyRecord> = state.keys.values().filter(due).take(next.count_max as usize).cloned().collect();
            for record in &mut records {
                record.lifecycle.status = Status::Revoked;
                record.revoked = Some(next.revocation.clone());
                record.generation = state.log(ChangeKind::Revoked, Some(record), None);
                state.keys.insert(record.key_id.clone(), record.clone());
            }
            Ok(records)
        })
    }

    fn import(&self, batch: ImportBatch, _context: ChangeContext) -> BoxFuture<'_, Result<Imported, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let mut state = lock(&self.state);
            let mut imported = Imported::default();
            for OwnerRecord { owner, rules } in batch.owners {
                if !state.owners.contains_key(&owner) {
                    let generation = state.log(ChangeKind::OwnerUpdated, None, Some(&owner));
                    state.owners.insert(owner, OwnerRules { generation, ..rules });
                    imported.owners_made += 1;
                }
            }
            for mut record in batch.keys {
                if let Some(kept) = state.keys.get(&record.key_id) {
                    imported.keys_kept.push(kept.clone());
                    continue;
                }
                record.generation = state.log(ChangeKind::Created, Some(&record), None);
                state.keys.insert(record.key_id.clone(), record);
                imported.keys_made += 1;
            }
            Ok(imported)
        })
    }

    fn record_uses(&self, uses: Vec<(KeyId, u64)>) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(async move {
            pass(&self.held_uses).await;
            self.is_up()?;
            let mut state = lock(&self.state);
            for (key_id, at_ms) in uses {
                if let Some(record) = state.keys.get_mut(&key_id) {
                    record.last_used_at_ms = record.last_used_at_ms.max(Some(at_ms));
                }
            }
            Ok(Vec::new())
        })
    }

    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<StoredSigningKey>, KeyStoreError>> {
        Box::pin(async move {
            self.signing_reads.fetch_add(1, Ordering::SeqCst);
            self.is_up()?;
            let keys = lock(&self.state).signing.clone();
            pass(&self.held_signing).await;
            Ok(keys)
        })
    }

    fn add_signing_key(&self, key: StoredSigningKey, only_first: bool) -> BoxFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let mut state = lock(&self.state);
            if !only_first || state.signing.is_empty() {
                state.signing.push(key);
            }
            Ok(())
        })
    }

    fn retire_signing_key(&self, ring: char, now_ms: u64) -> BoxFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let mut state = lock(&self.state);
            let found = state.signing.iter_mut().find(|key| key.ring == ring).ok_or(KeyStoreError::NotFound)?;
            found.retired_at_ms = Some(now_ms);
            Ok(())
        })
    }

    fn time_of_day(&self) -> BoxFuture<'_, Result<Option<u64>, KeyStoreError>> {
        Box::pin(async move {
            self.times_asked.fetch_add(1, Ordering::SeqCst);
            self.is_up()?;
            Ok(*lock(&self.time_of_day))
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<LogHead, KeyStoreError>> {
        Box::pin(async move {
            self.heads.fetch_add(1, Ordering::SeqCst);
            self.is_up()?;
            let head = {
                let state = lock(&self.state);
                LogHead { log: LogId(state.log.as_str().into()), position: state.position, oldest: state.oldest }
            };
            pass(&self.held_head).await;
            tokio::task::yield_now().await;
            Ok(head)
        })
    }

    /// No test of the gate reads it: stores and surface do.
    fn audit(&self, _query: AuditQuery) -> BoxFuture<'_, Result<AuditRows, KeyStoreError>> {
        Box::pin(async { Ok(AuditRows::default()) })
    }

    fn reset_log(&self, _context: ChangeContext) -> BoxFuture<'_, Result<LogHead, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let mut state = lock(&self.state);
            let position = LogHead::reset_from(state.position);
            (state.position, state.oldest) = (position, position + 1);
            state.changes.clear();
            state.keys.values_mut().for_each(|key| key.generation = position);
            // Every owner of a key has a row, whether it has rules or not.
            let owners: Vec<_> = state.keys.values().filter_map(|key| key.owner.clone()).collect();
            for owner in owners {
                let rules = state.rules(&owner);
                state.owners.insert(owner, rules);
            }
            state.owners.values_mut().for_each(|owner| owner.generation = position);
            Ok(LogHead { log: LogId(state.log.as_str().into()), position, oldest: position + 1 })
        })
    }

    fn changes(&self, after: u64, count_max: u32) -> BoxFuture<'_, Result<Vec<Change>, KeyStoreError>> {
        Box::pin(async move {
            self.is_up()?;
            let state = lock(&self.state);
            Ok(state.changes.iter().filter(|change| change.position > after).take(count_max as usize).cloned().collect())
        })
    }
}
