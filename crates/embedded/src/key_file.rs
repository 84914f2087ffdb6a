//! Keys, owners, signing keys, change log and audit in one crash-safe file.
//!
//! A change is one transaction, on disk before it is answered; a process killed at any instant
//! leaves the file as of its last answered change, or as of one that was about to be. One process
//! has the file at a time. Reads and writes block, so they run on tokio's blocking threads, writes
//! one at a time.

mod bulk;
mod change;
mod error;
mod key_ids;
mod log;
mod once;
mod open;
mod read;
mod reset;
mod signing;
mod tables;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::{sync::Mutex, task::spawn_blocking};
use tollgate_gate::{
    ports::{
        AuditQuery, AuditRows, BoxFuture, Change, ChangeContext, ChangeKind, Changed, CreateGuard, DoneOnce, FoundKey, ImportBatch,
        Imported, KeyDraft, KeyEdit, KeyIdStream, KeyListQuery, KeyStore, KeyStoreError, LogHead, OwnerRevocation, StoredSigningKey,
        StreamTurn,
    },
    record::{KeyRecord, OwnerRecord},
};
use tollgate_keys::{KeyId, OwnerName};
use tollgate_limits::RateLimits;

pub use self::error::KeyFileError;

/// How long rows are kept that nobody needs for a decision.
#[derive(Debug, Clone, Copy)]
pub struct KeyFileRetention {
    /// Of the change log: a reader that is further behind starts over.
    pub change_log: Duration,
    /// Of the audit log.
    pub audit: Duration,
}

impl Default for KeyFileRetention {
    /// 7 days of changes, 400 of audit.
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self { change_log: days(7), audit: days(400) }
    }
}

/// The key store of one node: `keys.redb` in the data directory.
pub struct KeyFile {
    path: PathBuf,
    retention: KeyFileRetention,
    database: Arc<Database>,
    /// Held by the one write that is under way, so that others wait without a thread each.
    writer: Arc<Mutex<()>>,
}

/// What becomes of a write transaction that did not fail.
enum Wrote<T> {
    /// It is made to last.
    Kept(T),
    /// There was nothing to change.
    Nothing(T),
}

type Fallible<T> = Result<T, KeyFileError>;

impl KeyFile {
    /// Opens the file in `data_dir`, and makes both where they are not there (modes 0600 and
    /// 0700). Blocks; after a crash for as long as it takes to read the file once.
    pub fn open(data_dir: &Path, retention: KeyFileRetention) -> Result<Self, KeyFileError> {
        let (path, database) = open::open(data_dir)?;
        Ok(Self { path, retention, database: Arc::new(database), writer: Arc::default() })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn read<T, J>(&self, job: J) -> Result<T, KeyStoreError>
    where
        T: Send + 'static,
        J: FnOnce(&ReadTransaction) -> Fallible<T> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        blocking(move || job(&database.begin_read()?)).await
    }

    /// Runs `job` in a transaction that nobody else writes beside. A caller that gives up waiting
    /// does not stop it.
    async fn write<T, J>(&self, job: J) -> Result<T, KeyStoreError>
    where
        T: Send + 'static,
        J: FnOnce(&WriteTransaction) -> Fallible<Wrote<T>> + Send + 'static,
    {
        let (database, turn) = (Arc::clone(&self.database), Arc::clone(&self.writer).lock_owned().await);
        let in_turn = move || {
            let _turn = turn;
            let transaction = database.begin_write()?;
            match job(&transaction)? {
                Wrote::Kept(value) => transaction.commit().map(|()| value).map_err(KeyFileError::from),
                Wrote::Nothing(value) => transaction.abort().map(|()| value).map_err(KeyFileError::from),
            }
        };
        blocking(in_turn).await
    }
}

async fn blocking<T: Send + 'static>(job: impl FnOnce() -> Fallible<T> + Send + 'static) -> Result<T, KeyStoreError> {
    let ended = |_| KeyStoreError::Unreachable("the task that reads or writes the key file has ended early".into());
    spawn_blocking(job).await.map_err(ended)?.map_err(KeyStoreError::from)
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).field("retention", &self.retention).finish_non_exhaustive()
    }
}

impl KeyStore for KeyFile {
    fn find(&self, key_id: KeyId) -> BoxFuture<'_, Result<Option<FoundKey>, KeyStoreError>> {
        Box::pin(self.read(move |transaction| read::find(transaction, &key_id)))
    }

    fn list(&self, query: KeyListQuery) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        Box::pin(self.read(move |transaction| read::list(transaction, &query)))
    }

    fn key_ids(&self, _turn: StreamTurn) -> BoxFuture<'_, Result<Option<Box<dyn KeyIdStream>>, KeyStoreError>> {
        Box::pin(async move { key_ids::open(Arc::clone(&self.database)).await.map(Some) })
    }

    fn create(
        &self,
        draft: KeyDraft,
        guard: CreateGuard,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Option<KeyRecord>, KeyStoreError>> {
        let retention = self.retention;
        Box::pin(self.write(move |transaction| change::create(transaction, draft, guard, &context, retention)))
    }

    fn change(
        &self,
        key_id: KeyId,
        tenant: Option<OwnerName>,
        kind: ChangeKind,
        edit: KeyEdit,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Changed, KeyStoreError>> {
        let (retention, whose) = (self.retention, change::Whose { key_id, tenant });
        Box::pin(self.write(move |transaction| change::change(transaction, &whose, (kind, edit), &context, retention)))
    }

    fn done_once(&self, name: [u8; 32], now_ms: u64) -> BoxFuture<'_, Result<Option<DoneOnce>, KeyStoreError>> {
        Box::pin(self.read(move |transaction| once::done(transaction, name, now_ms)))
    }

    fn owner(&self, owner: OwnerName) -> BoxFuture<'_, Result<Option<OwnerRecord>, KeyStoreError>> {
        Box::pin(self.read(move |transaction| read::owner(transaction, owner)))
    }

    fn put_owner(&self, owner: OwnerName, limits: RateLimits, context: ChangeContext) -> BoxFuture<'_, Result<OwnerRecord, KeyStoreError>> {
        let retention = self.retention;
        Box::pin(self.write(move |transaction| change::put_owner(transaction, owner, limits, &context, retention)))
    }

    fn owners(&self, after: Option<OwnerName>, count_max: u32) -> BoxFuture<'_, Result<Vec<OwnerRecord>, KeyStoreError>> {
        Box::pin(self.read(move |transaction| bulk::owners(transaction, after.as_ref(), count_max)))
    }

    fn revoke_keys(&self, next: OwnerRevocation, context: ChangeContext) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        let retention = self.retention;
        Box::pin(self.write(move |transaction| bulk::revoke_keys(transaction, &next, &context, retention)))
    }

    fn import(&self, batch: ImportBatch, context: ChangeContext) -> BoxFuture<'_, Result<Imported, KeyStoreError>> {
        let retention = self.retention;
        Box::pin(self.write(move |transaction| bulk::import(transaction, batch, &context, retention)))
    }

    fn record_uses(&self, uses: Vec<(KeyId, u64)>) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(self.write(move |transaction| bulk::record_uses(transaction, &uses)))
    }

    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<StoredSigningKey>, KeyStoreError>> {
        Box::pin(self.read(signing::all))
    }

    fn add_signing_key(&self, key: StoredSigningKey, only_first: bool) -> BoxFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.write(move |transaction| signing::add(transaction, &key, only_first)))
    }

    fn retire_signing_key(&self, ring: char, now_ms: u64) -> BoxFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.write(move |transaction| signing::retire(transaction, ring, now_ms)))
    }

    fn audit(&self, query: AuditQuery) -> BoxFuture<'_, Result<AuditRows, KeyStoreError>> {
        Box::pin(self.read(move |transaction| log::read_audit(transaction, &query)))
    }

    fn head(&self) -> BoxFuture<'_, Result<LogHead, KeyStoreError>> {
        Box::pin(self.read(log::head))
    }

    fn reset_log(&self, context: ChangeContext) -> BoxFuture<'_, Result<LogHead, KeyStoreError>> {
        Box::pin(self.write(move |transaction| reset::reset_log(transaction, &context)))
    }

    fn changes(&self, after: u64, count_max: u32) -> BoxFuture<'_, Result<Vec<Change>, KeyStoreError>> {
        Box::pin(self.read(move |transaction| log::changes(transaction, after, count_max)))
    }
}

#[cfg(test)]
mod tests;
