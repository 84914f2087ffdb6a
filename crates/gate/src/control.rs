//! The control plane: what operators and tenants may do to keys and owners.
//!
//! Every change goes the same way: checked rules, one transaction in the key store, then the
//! fence, then the answer. So a change holds everywhere as soon as it has answered.

mod audit;
mod rotate;
mod states;
mod usage;

pub use audit::ListAudit;
pub(crate) use states::Revoking;
pub use usage::{ListTop, TOP_MAX};

use tokio::time::{Instant, sleep_until};
use tollgate_api::{AuthContext, CreateKeyBody, CreatedKey, Key, KeyKindName, KeyPage, Owner, PatchKeyBody, PutOwnerBody, RevokeKeyBody};
use tollgate_keys::{KeyId, OwnerName, RandomPart, SecretKind, Status};

use crate::{
    Gate,
    config::{ConfigError, ConfigErrorKind, ConfigService, KeyChanges},
    gate::GateShared,
    hashing::HashingError,
    mint::{MintError, mint_hashed},
    once::{IdempotencyKey, once_of},
    ports::{ChangeContext, ChangeKind, CreateGuard, Fence, KeyEdit, KeyListQuery, KeyStoreError, SubjectKind},
    record::{KeyRecord, OwnerRecord, Revocation},
    verdict::Identity,
    view::{key_view, owner_view},
};

/// The most keys of one page.
pub const PAGE_SIZE_MAX: u32 = 1000;
const PAGE_SIZE_DEFAULT: u32 = 100;

/// Why a call of the control plane came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The input is refused; the error's kind tells whether it is invalid, forbidden, a conflict.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// No such key or owner for this caller.
    #[error("not found")]
    NotFound,
    /// The key store cannot be reached; the change may or may not stand.
    #[error("{0}")]
    Unavailable(String),
}

/// A caller of the control plane and the id of his request.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Who; his scopes have been checked against the call.
    pub identity: Identity,
    /// For the audit row.
    pub request_id: String,
    /// What he names a call by that is to act once. Makings and rotations heed it.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Operator {
    /// Who calls, as it is told outside: the same type that a client is given.
    pub fn auth_context(&self) -> AuthContext {
        let Identity { key_id, owner, scopes, .. } = &self.identity;
        AuthContext {
            key_id: key_id.as_str().to_owned(),
            owner: owner.as_ref().map(|owner| owner.as_str().to_owned()),
            scopes: scopes.to_string().split_whitespace().map(str::to_owned).collect(),
            request_id: self.request_id.clone(),
        }
    }
}

/// Filters of a listing, as they are written.
#[derive(Debug, Clone, Default)]
pub struct ListKeys {
    /// Only this owner's.
    pub owner: Option<String>,
    /// Only this status.
    pub status: Option<tollgate_api::KeyStatus>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// 1 to [`PAGE_SIZE_MAX`]; 100 where absent.
    pub page_size: Option<u32>,
}

impl Gate {
    /// Makes a key and tells its secret this once.
    pub async fn create_key(&self, operator: &Operator, body: CreateKeyBody) -> Result<CreatedKey, ControlError> {
        let shared = &*self.shared;
        let once = once_of(operator, "keys.create", "", &body)?;
        if let Some(before) = shared.done_before(once).await? {
            return Ok(shared.replayed(&before, None));
        }
        let context = ChangeContext { once, ..shared.context(operator, "keys.create") };
        let kind = secret_kind(body.kind)?;
        let rules = shared.config.create_key(&operator.identity, body, context.now_ms)?;
        let random = RandomPart::generate().map_err(|error| ControlError::Unavailable(error.to_string()))?;
        let hashed = shared.hashing.hash(random).await?;
        let made = mint_hashed(&*shared.keys, &shared.signing.ring(), (rules, kind), hashed, (CreateGuard::None, context)).await;
        if let Err(MintError::Store(KeyStoreError::Repeated)) = made {
            let before = shared.done_before(once).await?.ok_or(KeyStoreError::Repeated)?;
            return Ok(shared.replayed(&before, None));
        }
        let minted = made?.ok_or_else(|| ControlError::Unavailable("the key was not made".to_owned()))?;
        shared.filter.learn(&minted.record.key_id);
        shared.leave_receipt(&minted.record.key_id, &minted.record.secrets.current, &minted.api_key.secret).await;
        let propagated = shared.announce_key(ChangeKind::Created, &minted.record).await;
        let key = key_view(&minted.record, shared.clock.unix_ms(), Some(propagated));
        Ok(CreatedKey { api_key: Some(minted.api_key.expose().to_string()), replayed: false, key })
    }

    /// One page of keys, in order of their ids. A tenant sees his own.
    pub async fn list_keys(&self, operator: &Operator, query: ListKeys) -> Result<KeyPage, ControlError> {
        let now_ms = self.shared.clock.unix_ms();
        let query = list_query(&operator.identity, query, now_ms)?;
        let Some(query) = query else { return Ok(KeyPage { keys: Vec::new(), next_cursor: None }) };
        let full = usize::try_from(query.count_max).unwrap_or(usize::MAX);
        let records = self.shared.keys.list(query.clone()).await?;
        let last = records.last().filter(|_| records.len() >= full).map(|record| record.key_id.clone());
        let next_cursor = match last {
            Some(last) if self.shared.has_keys_after(&last, query).await? => Some(last.to_string()),
            _ => None,
        };
        Ok(KeyPage { keys: records.iter().map(|record| key_view(record, now_ms, None)).collect(), next_cursor })
    }

    /// One key.
    pub async fn key(&self, operator: &Operator, key_id: &str) -> Result<Key, ControlError> {
        let found = self.shared.keys.find(known_id(key_id)?).await?.ok_or(ControlError::NotFound)?;
        if operator.identity.owner.is_some() && operator.identity.owner != found.key.owner {
            return Err(ControlError::NotFound);
        }
        Ok(key_view(&found.key, self.shared.clock.unix_ms(), None))
    }

    /// Changes a key. `if_generation` is the generation that `If-Match` names.
    pub async fn patch_key(
        &self,
        operator: &Operator,
        key_id: &str,
        if_generation: Option<u64>,
        body: PatchKeyBody,
    ) -> Result<Key, ControlError> {
        let editor = operator.identity.clone();
        let changes = self.shared.config.patch_key(&editor, body, self.shared.clock.unix_ms())?;
        let edit = move |record: &KeyRecord| {
            matches_generation(record, if_generation)?;
            apply(&editor, record, changes)
        };
        self.shared.change(operator, (key_id, "keys.update"), ChangeKind::Updated, Box::new(edit)).await
    }

    /// Revokes a key for ever; once more is no change.
    pub async fn revoke_key(&self, operator: &Operator, key_id: &str, body: RevokeKeyBody) -> Result<Key, ControlError> {
        let reason = self.shared.config.revocation_reason(body)?;
        let at_ms = self.shared.clock.unix_ms();
        let edit = move |record: &KeyRecord| {
            if record.lifecycle.status == Status::Revoked {
                return Ok(None);
            }
            let mut revoked = record.clone();
            revoked.lifecycle.status = Status::Revoked;
            revoked.revoked = Some(Revocation { at_ms, reason });
            Ok(Some(revoked))
        };
        self.shared.change(operator, (key_id, "keys.revoke"), ChangeKind::Revoked, Box::new(edit)).await
    }

    /// One owner. A tenant sees himself.
    pub async fn owner(&self, operator: &Operator, owner: &str) -> Result<Owner, ControlError> {
        let owner = OwnerName::parse(owner).map_err(|_| ControlError::NotFound)?;
        if operator.identity.owner.as_ref().is_some_and(|own| *own != owner) {
            return Err(ControlError::NotFound);
        }
        let record = self.shared.keys.owner(owner).await?.ok_or(ControlError::NotFound)?;
        Ok(owner_view(&record, None))
    }

    /// Sets an owner's limit.
    pub async fn put_owner(&self, operator: &Operator, owner: &str, body: PutOwnerBody) -> Result<Owner, ControlError> {
        let shared = &*self.shared;
        let owner = OwnerName::parse(owner).map_err(|error| ConfigError::invalid("/owner", error.to_string()))?;
        let limits = shared.config.put_owner(&body)?;
        let record = shared.keys.put_owner(owner, limits, shared.context(operator, "owners.put")).await?;
        let propagated = shared.raise(fence_of_owner(&record)).await;
        Ok(owner_view(&record, Some(propagated)))
    }
}

impl GateShared {
    fn context(&self, operator: &Operator, action: &'static str) -> ChangeContext {
        let actor = operator.identity.key_id.to_string();
        ChangeContext { actor, request_id: operator.request_id.clone(), action, now_ms: self.clock.unix_ms(), once: None }
    }

    async fn change(
        &self,
        operator: &Operator,
        (key_id, action): (&str, &'static str),
        kind: ChangeKind,
        edit: KeyEdit,
    ) -> Result<Key, ControlError> {
        let key_id = known_id(key_id)?;
        let tenant = operator.identity.owner.clone();
        let changed = self.keys.change(key_id.clone(), tenant, kind, edit, self.context(operator, action)).await?;
        // Also where nothing changed: a repeated call makes good a fence that could not be raised.
        let propagated = self.raise_as(kind, fence_of_key(&changed.record)).await;
        self.cache.forget(&key_id);
        Ok(key_view(&changed.record, self.clock.unix_ms(), Some(propagated)))
    }

    async fn has_keys_after(&self, last: &KeyId, query: KeyListQuery) -> Result<bool, KeyStoreError> {
        let next = self.keys.list(KeyListQuery { after: Some(last.clone()), count_max: 1, ..query }).await?;
        Ok(!next.is_empty())
    }

    /// Raises the fence of a change that has just been written; false where nodes must learn of
    /// it from the log.
    async fn raise(&self, fence: Fence) -> bool {
        let kind = match fence.kind {
            SubjectKind::Owner => ChangeKind::OwnerUpdated,
            SubjectKind::Key | SubjectKind::Named if fence.revoked => ChangeKind::Revoked,
            SubjectKind::Key | SubjectKind::Named => ChangeKind::Updated,
        };
        self.raise_as(kind, fence).await
    }

    /// The same for a change of this kind; then tells the other nodes of it, fence or no fence.
    async fn raise_as(&self, kind: ChangeKind, fence: Fence) -> bool {
        let deadline = Instant::now() + self.follower.options().fence_timeout;
        let raised = self.buckets.raise_fence(fence.clone(), deadline).await;
        let (is_raised, at) = (raised.is_ok(), Instant::now());
        if let Err(error) = &raised {
            tracing::warn!(%error, "a change stands, but its fence could not be raised; nodes learn of it from the change log");
        }
        self.announce_fenced(kind, &fence).await;
        // Most nodes have dropped what they took ahead by now, but one that did not hear of the change
        // spends it to its end.
        if let Some(good_for) = raised.ok().filter(|good_for| !good_for.is_zero()) {
            sleep_until(at + good_for).await;
        }
        is_raised
    }
}

fn fence_of_key(record: &KeyRecord) -> Fence {
    let id: std::sync::Arc<str> = record.key_id.as_str().into();
    Fence {
        kind: SubjectKind::Key,
        placed_by: record.owner.as_ref().map_or_else(|| id.clone(), |owner| owner.as_str().into()),
        id,
        generation: record.generation,
        revoked: record.lifecycle.status == Status::Revoked,
        reset: false,
    }
}

fn fence_of_owner(record: &OwnerRecord) -> Fence {
    let id: std::sync::Arc<str> = record.owner.as_str().into();
    Fence { kind: SubjectKind::Owner, placed_by: id.clone(), id, generation: record.rules.generation, revoked: false, reset: false }
}

fn known_id(key_id: &str) -> Result<KeyId, ControlError> {
    KeyId::parse(key_id).map_err(|_| ControlError::NotFound)
}

fn secret_kind(kind: Option<KeyKindName>) -> Result<SecretKind, ConfigError> {
    match kind {
        None | Some(KeyKindName::Signed) => Ok(SecretKind::Signed),
        Some(KeyKindName::Unsigned) => Ok(SecretKind::Unsigned),
        Some(KeyKindName::Imported) => Err(ConfigError::invalid("/kind", "kind is signed or unsigned; a key made elsewhere is imported")),
    }
}

fn matches_generation(record: &KeyRecord, wanted: Option<u64>) -> Result<(), ConfigError> {
    match wanted.filter(|wanted| *wanted != record.generation) {
        None => Ok(()),
        Some(wanted) => Err(ConfigError {
            kind: ConfigErrorKind::GenerationMismatch,
            pointer: String::new(),
            detail: format!("the key's generation is {}, not {wanted}: read it again before you change it", record.generation),
        }),
    }
}

/// The record with the changes, or `None` where they change nothing.
fn apply(editor: &Identity, record: &KeyRecord, changes: KeyChanges) -> Result<Option<KeyRecord>, ConfigError> {
    if record.lifecycle.status == Status::Revoked {
        return Err(ConfigError::conflict("the key is revoked, and a revoked key never changes again; make another"));
    }
    let mut edited = record.clone();
    let KeyChanges { name, scopes, limits, expires_at_ms, metadata, outage_mode } = changes;
    if let Some(scopes) = scopes {
        ConfigService::may_change_scopes(editor, record.owner.as_ref(), &record.scopes, &scopes)?;
        edited.scopes = scopes;
    }
    edited.name = name.unwrap_or(edited.name);
    edited.limits = limits.unwrap_or(edited.limits);
    edited.lifecycle.expires_at_ms = expires_at_ms.unwrap_or(edited.lifecycle.expires_at_ms);
    edited.metadata = metadata.unwrap_or(edited.metadata);
    edited.outage_mode = outage_mode.unwrap_or(edited.outage_mode);
    Ok((edited != *record).then_some(edited))
}

/// `None` where a tenant asks for somebody else's keys: he has none there.
fn list_query(identity: &Identity, query: ListKeys, now_ms: u64) -> Result<Option<KeyListQuery>, ConfigError> {
    let ListKeys { owner, status, cursor, page_size } = query;
    let asked = owner.as_deref().map(OwnerName::parse).transpose();
    let asked = asked.map_err(|error| ConfigError::invalid("/owner", error.to_string()))?;
    if let (Some(own), Some(asked)) = (&identity.owner, &asked)
        && own != asked
    {
        return Ok(None);
    }
    let after = cursor.as_deref().map(KeyId::parse).transpose();
    let after = after.map_err(|_| ConfigError::invalid("/cursor", "cursor is what next_cursor gave"))?;
    let count_max = page_size.unwrap_or(PAGE_SIZE_DEFAULT);
    if !(1..=PAGE_SIZE_MAX).contains(&count_max) {
        return Err(ConfigError::invalid("/page_size", format!("page_size is 1 to {PAGE_SIZE_MAX}")));
    }
    Ok(Some(KeyListQuery { owner: identity.owner.clone().or(asked), status, revoked_since_ms: None, after, count_max, now_ms }))
}

impl From<KeyStoreError> for ControlError {
    fn from(error: KeyStoreError) -> Self {
        match error {
            KeyStoreError::NotFound => Self::NotFound,
            KeyStoreError::Refused(refused) => Self::Refused(refused),
            KeyStoreError::Repeated => Self::Refused(ConfigError::conflict(error.to_string())),
            KeyStoreError::Exists(what) => Self::Refused(ConfigError::conflict(format!("{what} exists already"))),
            KeyStoreError::Unreachable(_) | KeyStoreError::Unusable(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<MintError> for ControlError {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Store(error) => error.into(),
            MintError::Signing(_) | MintError::Randomness(_) | MintError::Hashing(_) | MintError::NothingSigns | MintError::SignsSoon => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

impl From<HashingError> for ControlError {
    fn from(error: HashingError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
