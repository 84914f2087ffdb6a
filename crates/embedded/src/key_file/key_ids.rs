//! The ids of all keys that are not revoked, page by page.

use std::{ops::Bound, sync::Arc};

use redb::{Database, ReadTransaction, ReadableDatabase};
use tollgate_gate::ports::{BoxFuture, KeyIdStream, KeyStoreError};
use tollgate_keys::{KeyId, Status};

use super::{
    Fallible, blocking,
    tables::{self, KEYS},
};

/// A walk over the file: every page is a look at its own instant, so no old state is kept alive.
#[derive(Debug)]
pub(super) struct FileKeyIds {
    database: Arc<Database>,
    last_change_ms: u64,
    usable_after: Option<KeyId>,
    revoked_after: Option<KeyId>,
}

/// Opens a stream: one node alone has the file, so it is always its turn.
pub(super) async fn open(database: Arc<Database>) -> Result<Box<dyn KeyIdStream>, KeyStoreError> {
    let read = Arc::clone(&database);
    let head = blocking(move || tables::read_head(&read.begin_read()?)).await?;
    Ok(Box::new(FileKeyIds { database, last_change_ms: head.last_ms, usable_after: None, revoked_after: None }))
}

impl FileKeyIds {
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ReadTransaction) -> Fallible<T> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let database = Arc::clone(&self.database);
        blocking(move || job(&database.begin_read()?)).await
    }

    async fn page(
        &self,
        after: Option<KeyId>,
        count_max: u32,
        wanted: impl Fn(Status) -> bool + Send + 'static,
    ) -> Result<Vec<KeyId>, KeyStoreError> {
        let read = self.read(move |transaction| {
            let mut ids = Vec::new();
            walk(transaction, after.as_ref(), count_max.max(1), wanted, |id| ids.push(id))?;
            Ok(ids)
        });
        read.await
    }
}

impl KeyIdStream for FileKeyIds {
    fn last_change_ms(&self) -> u64 {
        self.last_change_ms
    }

    fn count(&mut self) -> BoxFuture<'_, Result<u64, KeyStoreError>> {
        Box::pin(self.read(|transaction| walk(transaction, None, u32::MAX, is_usable, |_| ())))
    }

    fn next_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(async move {
            let ids = self.page(self.usable_after.clone(), count_max, is_usable).await?;
            self.usable_after = ids.last().cloned().or(self.usable_after.take());
            Ok(ids)
        })
    }

    fn next_revoked_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(async move {
            let ids = self.page(self.revoked_after.clone(), count_max, |status| !is_usable(status)).await?;
            self.revoked_after = ids.last().cloned().or(self.revoked_after.take());
            Ok(ids)
        })
    }
}

/// Now or some day.
fn is_usable(status: Status) -> bool {
    status != Status::Revoked
}

/// Gives up to `count_max` ids of keys in the wanted states after one, and says how many.
fn walk(
    transaction: &ReadTransaction,
    after: Option<&KeyId>,
    count_max: u32,
    wanted: impl Fn(Status) -> bool,
    mut take: impl FnMut(KeyId),
) -> Fallible<u64> {
    let table = transaction.open_table(KEYS)?;
    let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
    let mut count = 0;
    for row in table.range::<&str>((from, Bound::Unbounded))? {
        if count >= u64::from(count_max) {
            break;
        }
        let (key_id, json) = row?;
        let record = tables::key_from_json(key_id.value(), json.value())?;
        if wanted(record.lifecycle.status) {
            take(record.key_id);
            count += 1;
        }
    }
    Ok(count)
}
