//! The store of keys, owners and the change log.

use std::{fmt, sync::Arc};

use tollgate_keys::{KeyId, OwnerName};
use tollgate_limits::RateLimits;

use super::{BoxFuture, KeyIdStream, StreamTurn};
use crate::record::{KeyRecord, OwnerRecord, OwnerRules, Revocation};

/// The random identity of a change log: positions of different logs must never be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogId(pub Arc<str>);

/// Where the change log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// Which log.
    pub log: LogId,
    /// The position of the last change; 0 where there is none.
    pub position: u64,
    /// The oldest position that is still kept; a reader behind it must start over.
    pub oldest: u64,
}

impl LogHead {
    /// Where a log that ended at `position` goes on after a reset: at the next multiple of 2³²,
    /// which no number of lost changes reaches. Room for two million resets below 2⁵³.
    pub fn reset_from(position: u64) -> u64 {
        ((position >> 32) + 1) << 32
    }
}

/// What a change was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A key was made.
    Created,
    /// A key's rules, name or state changed.
    Updated,
    /// A key has another secret.
    Rotated,
    /// A key was revoked.
    Revoked,
    /// A key's buckets are to be full.
    Reset,
    /// An owner's rules changed.
    OwnerUpdated,
}

impl ChangeKind {
    /// Its name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Reset => "reset",
            Self::OwnerUpdated => "owner_updated",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Created, Self::Updated, Self::Rotated, Self::Revoked, Self::Reset, Self::OwnerUpdated];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One row of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place: 1, 2, 3 … without a hole, in order of commits.
    pub position: u64,
    /// When, in milliseconds since 1970; strictly rising.
    pub at_ms: u64,
    /// What.
    pub kind: ChangeKind,
    /// The key that changed; none for an owner's change.
    pub key_id: Option<KeyId>,
    /// The key's owner, or the owner that changed.
    pub owner: Option<OwnerName>,
}

/// A key with the rules of its owner, as of one instant of the log.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// The key.
    pub key: KeyRecord,
    /// Its owner's rules; generation 0 where none were ever written. None for a key without owner.
    pub owner: Option<OwnerRules>,
}

/// Who makes a change, for the audit row.
#[derive(Debug, Clone)]
pub struct ChangeContext {
    /// The key id of the caller, or `bootstrap`, `import` for the command line.
    pub actor: String,
    /// The id of the request.
    pub request_id: String,
    /// What was asked for, in a word: `keys.create`, `keys.update`, `keys.revoke`, `owners.put` …
    pub action: &'static str,
    /// Now, in milliseconds since 1970 (the log moves on even where this does not).
    pub now_ms: u64,
    /// Where the change is to be made once, however often it is asked for. Of makings and changes of
    /// one key alone.
    pub once: Option<Once>,
}

/// A name for a change that is made once within [`Once::KEPT_MS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Who asks, and what he calls it: a hash of both.
    pub name: [u8; 32],
    /// What he asks for: a hash of all of it.
    pub request: [u8; 32],
}

impl Once {
    /// How long a name is remembered, in milliseconds: a day.
    pub const KEPT_MS: u64 = 86_400_000;
}

/// A change that was made under the name of a [`Once`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneOnce {
    /// What was asked for.
    pub request: [u8; 32],
    /// The key that it made or changed.
    pub key_id: KeyId,
}

/// A key that is to be made: all but what only the log can say (its id's instant, its generation).
///
/// The store sets `record.key_id` from the log's millisecond and `id_entropy`, unless `own_id`;
/// and `record.generation`, `record.created_at_ms` from the log's row.
#[derive(Debug, Clone)]
pub struct KeyDraft {
    /// The record, with a placeholder id.
    pub record: KeyRecord,
    /// 80 random bits of the id.
    pub id_entropy: [u8; 10],
    /// Keep the id that the record has (imports).
    pub own_id: bool,
}

/// A condition under which a key is made, checked in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateGuard {
    /// Always.
    None,
    /// Only where no usable key with scope `admin` and without an owner exists yet.
    NoAdminYet,
}

/// A pure change of a record, run inside the store's transaction on the current record: the new
/// record, or `None` where nothing is to change (so that a repeated revoke is no change), or the
/// reason why not. The store sets the generation of what comes back.
pub type KeyEdit = Box<dyn FnOnce(&KeyRecord) -> Result<Option<KeyRecord>, crate::config::ConfigError> + Send>;

/// What came of a change.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The record as it stands now.
    pub record: KeyRecord,
    /// Whether anything changed; its generation is then the change's position.
    pub changed: bool,
}

/// Keys of one owner that are to be revoked together: the next ones in order of ids.
#[derive(Debug, Clone)]
pub struct OwnerRevocation {
    /// Whose keys.
    pub owner: OwnerName,
    /// Only ids after this one.
    pub after: Option<KeyId>,
    /// At most so many, 1 to 500.
    pub count_max: u32,
    /// When and why.
    pub revocation: Revocation,
}

/// Keys and owners from elsewhere, for one transaction: at most 500 in all.
#[derive(Debug, Clone, Default)]
pub struct ImportBatch {
    /// Owners with rules.
    pub owners: Vec<OwnerRecord>,
    /// Keys, each under the id that it has, no id twice.
    pub keys: Vec<KeyRecord>,
}

/// What came of an import: what was there already was left as it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// Owners whose rules were taken over.
    pub owners_made: u64,
    /// Keys that were made.
    pub keys_made: u64,
    /// Keys of those ids that were there, as they are.
    pub keys_kept: Vec<KeyRecord>,
}

/// Which keys to list, in order of ids.
#[derive(Debug, Clone)]
pub struct KeyListQuery {
    /// Only this owner's keys.
    pub owner: Option<OwnerName>,
    /// Only keys of this state, as of `now_ms`.
    pub status: Option<tollgate_api::KeyStatus>,
    /// Only keys that were revoked at this instant or later, in milliseconds since 1970.
    pub revoked_since_ms: Option<u64>,
    /// Only ids after this one.
    pub after: Option<KeyId>,
    /// At most so many, 1 to 1000.
    pub count_max: u32,
    /// The instant that tells an expired key from an active one.
    pub now_ms: u64,
}

/// Which rows of the audit log to read, newest first.
#[derive(Debug, Clone)]
pub struct AuditQuery {
    /// Only of this owner and its keys.
    pub owner: Option<OwnerName>,
    /// Only of this key.
    pub key_id: Option<KeyId>,
    /// Only positions below this one.
    pub before: Option<u64>,
    /// At most so many, 1 to 1000.
    pub count_max: u32,
}

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Position of the change in the change log.
    pub position: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// [`ChangeContext::actor`].
    pub actor: String,
    /// [`ChangeContext::action`].
    pub action: String,
    /// The key that changed.
    pub key_id: Option<String>,
    /// Its owner, or the owner that changed.
    pub owner: Option<String>,
    /// [`ChangeContext::request_id`].
    pub request_id: String,
    /// Which fields became what, where the store keeps it; never a secret, a hash or metadata.
    pub detail: serde_json::Map<String, serde_json::Value>,
}

/// Some rows of the audit log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditRows {
    /// Newest first.
    pub rows: Vec<AuditRow>,
    /// Where to read on, as [`AuditQuery::before`]; none at the end. There may be more though the
    /// page is not full: a store bounds how far it looks.
    pub next_before: Option<u64>,
}

/// A signing key as it is stored: its bytes may be wrapped by a master key.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSigningKey {
    /// The ring character, `0-9A-Za-z`.
    pub ring: char,
    /// Empty for a key of this store; else the id of the log of the store that it was brought from.
    /// No two keys share both character and origin.
    pub origin: String,
    /// The key, wrapped or plain (`keys` of the gate can tell).
    pub sealed: Vec<u8>,
    /// When it was added, in milliseconds since 1970. The newest that is not retired signs.
    pub added_at_ms: u64,
    /// When it was retired.
    pub retired_at_ms: Option<u64>,
}

impl fmt::Debug for StoredSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ring, origin, sealed: _, added_at_ms, retired_at_ms } = self;
        let mut out = f.debug_struct("StoredSigningKey");
        out.field("ring", ring)
            .field("origin", origin)
            .field("added_at_ms", added_at_ms)
            .field("retired_at_ms", retired_at_ms)
            .finish_non_exhaustive()
    }
}

/// Why a call on the key store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyStoreError {
    /// Cannot be reached, or did not answer in time. The change may or may not stand.
    #[error("the key store cannot be reached: {0}")]
    Unreachable(Arc<str>),
    /// It is there, but must not be used (not migrated, other version, unreadable row).
    #[error("{0}")]
    Unusable(Arc<str>),
    /// No such key or owner for this caller.
    #[error("no such key")]
    NotFound,
    /// The change is refused.
    #[error(transparent)]
    Refused(#[from] crate::config::ConfigError),
    /// That id, ring character or owner is there already.
    #[error("{0} exists already")]
    Exists(Arc<str>),
    /// The change was made before, under the name of its [`Once`]: nothing was changed.
    #[error("this change was made before")]
    Repeated,
}

/// Keys looked at in one go by a store that has no index of those without a limit.
const SCAN_PAGE: u32 = 1000;

/// Keys, owners, signing keys and the change log. Every change writes record, log and audit row
/// in one transaction, and draws its position last, so that order of positions is order of commits.
pub trait KeyStore: Send + Sync + fmt::Debug + 'static {
    /// The key of that id in any state, with its owner's rules, read at one instant.
    fn find(&self, key_id: KeyId) -> BoxFuture<'_, Result<Option<FoundKey>, KeyStoreError>>;

    /// One page of keys in order of ids.
    fn list(&self, query: KeyListQuery) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>>;

    /// The first of the keys that may be used now and have no rate limit of their own, in order of
    /// ids, at most `count_max`.
    fn unlimited_keys(&self, now_ms: u64, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(async move {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let query = KeyListQuery {
                    owner: None,
                    status: Some(tollgate_api::KeyStatus::Active),
                    revoked_since_ms: None,
                    after,
                    count_max: SCAN_PAGE,
                    now_ms,
                };
                let page = self.list(query).await?;
                after = page.last().map(|last| last.key_id.clone());
                found.extend(page.into_iter().filter(|key| key.limits.is_unlimited()).map(|key| key.key_id));
                if after.is_none() || found.len() >= count_max as usize {
                    found.truncate(count_max as usize);
                    return Ok(found);
                }
            }
        })
    }

    /// Opens the stream of the ids of all keys that are not revoked; `None` where it is another
    /// node's turn.
    fn key_ids(&self, turn: StreamTurn) -> BoxFuture<'_, Result<Option<Box<dyn KeyIdStream>>, KeyStoreError>>;

    /// Makes a key; `None` where the guard forbids it.
    fn create(
        &self,
        draft: KeyDraft,
        guard: CreateGuard,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Option<KeyRecord>, KeyStoreError>>;

    /// Changes a key. Where `tenant` is given, a key of another owner (or of none) is not found.
    fn change(
        &self,
        key_id: KeyId,
        tenant: Option<OwnerName>,
        kind: ChangeKind,
        edit: KeyEdit,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Changed, KeyStoreError>>;

    /// The change that was made under this name of a [`Once`], in the time before `now_ms` for which
    /// names are kept.
    fn done_once(&self, name: [u8; 32], now_ms: u64) -> BoxFuture<'_, Result<Option<DoneOnce>, KeyStoreError>>;

    /// An owner that has keys or rules.
    fn owner(&self, owner: OwnerName) -> BoxFuture<'_, Result<Option<OwnerRecord>, KeyStoreError>>;

    /// Sets an owner's rules; `None` for no limit. Making an owner that has no keys is fine.
    fn put_owner(&self, owner: OwnerName, limits: RateLimits, context: ChangeContext) -> BoxFuture<'_, Result<OwnerRecord, KeyStoreError>>;

    /// Owners with rules, in order of names, after a name, at most `count_max`.
    fn owners(&self, after: Option<OwnerName>, count_max: u32) -> BoxFuture<'_, Result<Vec<OwnerRecord>, KeyStoreError>>;

    /// Revokes the next keys of an owner that are not revoked yet, and gives them back as they are
    /// now, in order of ids. None means that there is none after that id.
    fn revoke_keys(&self, next: OwnerRevocation, context: ChangeContext) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>>;

    /// Takes over keys and owners. A key whose id is there, and an owner that has rules, stays as it
    /// is. A key keeps what its record says, but for the generation.
    fn import(&self, batch: ImportBatch, context: ChangeContext) -> BoxFuture<'_, Result<Imported, KeyStoreError>>;

    /// Notes last uses (milliseconds since 1970) beside the log; an older one than is known changes
    /// nothing. At most 500. Gives back the keys that somebody else was changing: not noted, to be
    /// tried again.
    fn record_uses(&self, uses: Vec<(KeyId, u64)>) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>>;

    /// All signing keys, retired ones too.
    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<StoredSigningKey>, KeyStoreError>>;

    /// Adds a signing key. `only_first`: do nothing where one of this store exists (start-up race).
    fn add_signing_key(&self, key: StoredSigningKey, only_first: bool) -> BoxFuture<'_, Result<(), KeyStoreError>>;

    /// Retires every signing key of that ring character.
    fn retire_signing_key(&self, ring: char, now_ms: u64) -> BoxFuture<'_, Result<(), KeyStoreError>>;

    /// One page of the audit log.
    fn audit(&self, query: AuditQuery) -> BoxFuture<'_, Result<AuditRows, KeyStoreError>>;

    /// The time of day by the store's own clock, in milliseconds since 1970; none where that is the
    /// clock of this machine.
    fn time_of_day(&self) -> BoxFuture<'_, Result<Option<u64>, KeyStoreError>> {
        Box::pin(async { Ok(None) })
    }

    /// Where the log ends.
    fn head(&self) -> BoxFuture<'_, Result<LogHead, KeyStoreError>>;

    /// Says that the store as it is now is right, whatever was answered for before: the log goes on
    /// far beyond any position that it can have had, without the rows from before, and every key and
    /// owner is of that generation. So all nodes start over, and no fence is ahead any more.
    fn reset_log(&self, context: ChangeContext) -> BoxFuture<'_, Result<LogHead, KeyStoreError>>;

    /// Changes after a position, in order, at most `count_max`.
    fn changes(&self, after: u64, count_max: u32) -> BoxFuture<'_, Result<Vec<Change>, KeyStoreError>>;
}
