//! The key store over a pool of connections.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Semaphore, SemaphorePermit};
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
use tollgate_telemetry::Step;

use crate::{
    Options, PostgresError, SchemaState, audit_log, bulk, key_ids, keys,
    log::{self, Retention},
    once, owners, schema, signing,
};

/// Keys, owners, signing keys and the change log in Postgres.
pub struct PostgresKeys {
    pool: PgPool,
    pool_size: u32,
    /// How connections beside the pool are opened.
    session: PgConnectOptions,
    /// Look-ups at a time: the rest of the pool is for changes, lists, health and the change log.
    lookups: Semaphore,
    /// Changes at a time: they wait for each other anyhow, and need not do so with all of the rest.
    changes: Semaphore,
    acquire_timeout: Duration,
    /// The end of a call whose server does not even say that its own time-outs have passed.
    call_timeout: Duration,
    retention: Retention,
    /// Whether the schema was found to be ours since a statement last missed something in it.
    schema_known: AtomicBool,
}

/// The connections of a pool, for its gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Open and in use.
    pub used: u32,
    /// Open and free.
    pub idle: u32,
    /// The most that may be open.
    pub max: u32,
}

impl PostgresKeys {
    /// A store that connects when it is first used: an absent Postgres is an error of calls, not
    /// of this. Fails only where the URL is none. Must be called within a tokio runtime.
    pub fn connect(options: &Options) -> Result<Self, PostgresError> {
        let pool_size = options.pool_size.max(1);
        let session = options.session()?;
        let pool =
            PgPoolOptions::new().max_connections(pool_size).acquire_timeout(options.acquire_timeout).connect_lazy_with(session.clone());
        let lookups = options.lookups_in_flight.clamp(1, pool_size);
        let changes = pool_size.saturating_sub(lookups + 1).max(1);
        Ok(Self {
            pool,
            pool_size,
            session,
            lookups: Semaphore::new(lookups as usize),
            changes: Semaphore::new(changes as usize),
            acquire_timeout: options.acquire_timeout,
            call_timeout: options.call_timeout(),
            retention: Retention { log: options.log_retention, audit: options.audit_retention },
            schema_known: AtomicBool::new(false),
        })
    }

    /// The connections as they are now.
    pub fn pool_status(&self) -> PoolStatus {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        PoolStatus { used: self.pool.size().saturating_sub(idle), idle, max: self.pool_size }
    }

    /// Closes all connections, after the calls in progress.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Compares the schema, whatever was found before.
    pub async fn schema_state(&self) -> Result<SchemaState, PostgresError> {
        let mut connection = self.pool.acquire().await?;
        schema::state_of(&mut connection).await
    }

    /// The pool, once the schema behind it is known to be ours. Asked once; a node that runs
    /// goes on when a newer version migrates, and looks again when something is missing.
    async fn ready(&self) -> Result<&PgPool, PostgresError> {
        if !self.schema_known.load(Ordering::Relaxed) {
            match self.schema_state().await? {
                state if state.is_usable() => self.schema_known.store(true, Ordering::Relaxed),
                other => return Err(PostgresError::Schema(other)),
            }
        }
        Ok(&self.pool)
    }

    /// A place among the look-ups or the changes, waited for no longer than a connection.
    async fn turn<'a>(&self, share: &'a Semaphore) -> Result<SemaphorePermit<'a>, PostgresError> {
        let refused = || PostgresError::Unreachable("too many calls at a time".into());
        tokio::time::timeout(self.acquire_timeout, share.acquire()).await.map_err(|_| refused())?.map_err(|_| refused())
    }

    /// Bounds a call, and turns its error into what the gate is told.
    async fn call<T>(&self, work: impl Future<Output = Result<T, PostgresError>>) -> Result<T, KeyStoreError> {
        let timing = Step::Postgres.begin();
        let overdue = |_| PostgresError::Unreachable("no answer in time".into());
        let result = tokio::time::timeout(self.call_timeout, work).await.map_err(overdue).flatten();
        if let Err(PostgresError::Schema(_)) = &result {
            self.schema_known.store(false, Ordering::Relaxed);
        }
        // That there is no such row is an answer like any other.
        timing.end(!matches!(result, Err(PostgresError::Unreachable(_) | PostgresError::Unusable(_) | PostgresError::Schema(_))));
        result.map_err(KeyStoreError::from)
    }
}

impl fmt::Debug for PostgresKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresKeys").field("pool", &self.pool_status()).finish_non_exhaustive()
    }
}

impl KeyStore for PostgresKeys {
    fn find(&self, key_id: KeyId) -> BoxFuture<'_, Result<Option<FoundKey>, KeyStoreError>> {
        Box::pin(self.call(async move {
            let _turn = self.turn(&self.lookups).await?;
            keys::find(self.ready().await?, &key_id).await
        }))
    }

    fn list(&self, query: KeyListQuery) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        Box::pin(self.call(async move { keys::list(self.ready().await?, &query).await }))
    }

    fn unlimited_keys(&self, now_ms: u64, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(self.call(async move { keys::unlimited(self.ready().await?, now_ms, count_max).await }))
    }

    fn key_ids(&self, turn: StreamTurn) -> BoxFuture<'_, Result<Option<Box<dyn KeyIdStream>>, KeyStoreError>> {
        Box::pin(self.call(key_ids::open(&self.session, self.call_timeout, turn)))
    }

    fn create(
        &self,
        draft: KeyDraft,
        guard: CreateGuard,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Option<KeyRecord>, KeyStoreError>> {
        Box::pin(self.call(async move {
            let _turn = self.turn(&self.changes).await?;
            keys::create(self.ready().await?, draft, guard, &context, self.retention).await
        }))
    }

    fn change(
        &self,
        key_id: KeyId,
        tenant: Option<OwnerName>,
        kind: ChangeKind,
        edit: KeyEdit,
        context: ChangeContext,
    ) -> BoxFuture<'_, Result<Changed, KeyStoreError>> {
        Box::pin(self.call(async move {
            let _turn = self.turn(&self.changes).await?;
            keys::change(self.ready().await?, &key_id, tenant.as_ref(), (kind, edit), &context, self.retention).await
        }))
    }

    fn done_once(&self, name: [u8; 32], now_ms: u64) -> BoxFuture<'_, Result<Option<DoneOnce>, KeyStoreError>> {
        Box::pin(self.call(async move { once::done(self.ready().await?, name, now_ms).await }))
    }

    fn owner(&self, owner: OwnerName) -> BoxFuture<'_, Result<Option<OwnerRecord>, KeyStoreError>> {
        Box::pin(self.call(async move { owners::find(self.ready().await?, owner).await }))
    }

    fn put_owner(&self, owner: OwnerName, limits: RateLimits, context: ChangeContext) -> BoxFuture<'_, Result<OwnerRecord, KeyStoreError>> {
        Box::pin(self.call(async move {
            let _turn = self.turn(&self.changes).await?;
            owners::put(self.ready().await?, owner, limits, &context, self.retention).await
        }))
    }

    fn owners(&self, after: Option<OwnerName>, count_max: u32) -> BoxFuture<'_, Result<Vec<OwnerRecord>, KeyStoreError>> {
        Box::pin(self.call(async move { bulk::owners(self.ready().await?, after.as_ref(), count_max).await }))
    }

    fn revoke_keys(&self, next: OwnerRevocation, context: ChangeContext) -> BoxFuture<'_, Result<Vec<KeyRecord>, KeyStoreError>> {
        Box::pin(self.call(async move {
            let _turn = self.turn(&self.changes).await?;
            bulk::revoke_keys(self.ready().await?, next, &context, self.retention).await
        }))
    }

    fn import(&self, batch: ImportBatch, context: ChangeContext) -> BoxFuture<'_, Result<Imported, KeyStoreError>> {
        Box::pin(self.call(async move {
            let _turn = self.turn(&self.changes).await?;
            bulk::import(self.ready().await?, batch, &context, self.retention).await
        }))
    }

    fn record_uses(&self, uses: Vec<(KeyId, u64)>) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(self.call(async move {
            let _turn = self.turn(&self.changes).await?;
            bulk::record_uses(self.ready().await?, &uses).await
        }))
    }

    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<StoredSigningKey>, KeyStoreError>> {
        Box::pin(self.call(async move { signing::all(self.ready().await?).await }))
    }

    fn add_signing_key(&self, key: StoredSigningKey, only_first: bool) -> BoxFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.call(async move { signing::add(self.ready().await?, &key, only_first).await }))
    }

    fn retire_signing_key(&self, ring: char, now_ms: u64) -> BoxFuture<'_, Result<(), KeyStoreError>> {
        Box::pin(self.call(async move { signing::retire(self.ready().await?, ring, now_ms).await }))
    }

    fn audit(&self, query: AuditQuery) -> BoxFuture<'_, Result<AuditRows, KeyStoreError>> {
        Box::pin(self.call(async move { audit_log::read(self.ready().await?, &query).await }))
    }

    fn time_of_day(&self) -> BoxFuture<'_, Result<Option<u64>, KeyStoreError>> {
        Box::pin(self.call(async move { log::time_of_day(self.ready().await?).await.map(Some) }))
    }

    fn head(&self) -> BoxFuture<'_, Result<LogHead, KeyStoreError>> {
        Box::pin(self.call(async move { log::head(self.ready().await?).await }))
    }

    fn reset_log(&self, context: ChangeContext) -> BoxFuture<'_, Result<LogHead, KeyStoreError>> {
        // Without the bound of other calls: it writes every key.
        Box::pin(async move { Ok(log::reset(self.ready().await?, &context).await?) })
    }

    fn changes(&self, after: u64, count_max: u32) -> BoxFuture<'_, Result<Vec<Change>, KeyStoreError>> {
        Box::pin(self.call(async move { log::changes(self.ready().await?, after, count_max).await }))
    }
}
