//! Makes keys: the one place where a secret comes into being.

use tollgate_keys::{
    ApiKey, HashParams, KeyId, Lifecycle, RandomPart, RandomnessError, Secret, SecretHash, SecretHashes, SecretKind, SigningRing,
    random_bytes,
};

use crate::{
    config::KeyRules,
    hashing::hash_blocking,
    ports::{ChangeContext, CreateGuard, KeyDraft, KeyStore, KeyStoreError},
    record::KeyRecord,
    signing::{MasterKey, SigningError, ring_to_mint_with},
};

/// Why no key was made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MintError {
    /// The key store.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// The signing keys.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The system gives no random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The secret could not be hashed.
    #[error("the secret could not be hashed: {0}")]
    Hashing(String),
    /// There is no signing key to sign with.
    #[error("every signing key is retired: add one with `tollgate signing-keys add`")]
    NothingSigns,
    /// The only signing key that is not retired is not known to all nodes yet.
    #[error("the signing key was added a moment ago, and nodes are still learning of it: try again in a few seconds")]
    SignsSoon,
}

/// A key and the api key that is told this once.
#[derive(Debug)]
pub struct Minted {
    /// The key as it is stored.
    pub record: KeyRecord,
    /// What its holder will show.
    pub api_key: ApiKey,
}

/// Makes a key without a gate: for bootstrap and for the first start. `None` where the guard
/// forbids it.
pub async fn mint_key(
    store: &dyn KeyStore,
    master: Option<&MasterKey>,
    params: HashParams,
    (rules, guard): (KeyRules, CreateGuard),
    context: ChangeContext,
) -> Result<Option<Minted>, MintError> {
    let ring = ring_to_mint_with(store, master, context.now_ms).await?;
    let random = RandomPart::generate()?;
    let (random, hash) = hash_blocking(params, random).await.map_err(MintError::Hashing)?;
    mint_hashed(store, &ring, (rules, SecretKind::Signed), (random, hash), (guard, context)).await
}

/// The rest of it, once the secret is hashed: the id is the log's, so the signature comes last.
pub(crate) async fn mint_hashed(
    store: &dyn KeyStore,
    ring: &SigningRing,
    (rules, kind): (KeyRules, SecretKind),
    (random, hash): (RandomPart, SecretHash),
    (guard, context): (CreateGuard, ChangeContext),
) -> Result<Option<Minted>, MintError> {
    if kind == SecretKind::Signed {
        check_signer(ring)?;
    }
    let id_entropy = random_bytes()?;
    let draft = KeyDraft { record: draft_of(rules, kind, hash, context.now_ms), id_entropy, own_id: false };
    let Some(record) = store.create(draft, guard, context).await? else { return Ok(None) };
    let secret = match kind {
        SecretKind::Signed => ring.sign(&record.key_id, &random).ok_or(MintError::NothingSigns)?,
        SecretKind::Unsigned | SecretKind::Imported => Secret::unsigned(&random),
    };
    let api_key = ApiKey { key_id: record.key_id.clone(), secret };
    Ok(Some(Minted { record, api_key }))
}

/// Whether the ring can sign now.
pub(crate) fn check_signer(ring: &SigningRing) -> Result<(), MintError> {
    match ring.signer() {
        Some(_) => Ok(()),
        None if ring.will_sign() => Err(MintError::SignsSoon),
        None => Err(MintError::NothingSigns),
    }
}

fn draft_of(rules: KeyRules, kind: SecretKind, hash: SecretHash, now_ms: u64) -> KeyRecord {
    let KeyRules { name, owner, scopes, limits, expires_at_ms, metadata, outage_mode } = rules;
    KeyRecord {
        key_id: KeyId::from_parts(now_ms, [0; 10]),
        owner,
        name,
        kind,
        secrets: SecretHashes::only(hash),
        scopes,
        limits,
        lifecycle: Lifecycle::active(expires_at_ms),
        created_at_ms: now_ms,
        revoked: None,
        metadata,
        outage_mode,
        generation: 0,
        last_used_at_ms: None,
    }
}
