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
    after: Option<KeyId>,
}

/// Opens a stream: one node alone has the file, so it is always its turn.
pub(super) async fn open(database: Arc<Database>) -> Result<Box<dyn KeyIdStream>, KeyStoreError> {
    let read = Arc::clone(&database);
    let head = blocking(move || tables::read_head(&read.begin_read()?)).await?;
    Ok(Box::new(FileKeyIds { database, last_change_ms: head.last_ms, after: None }))
}

impl FileKeyIds {
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ReadTransaction) -> Fallible<T> + Send + 'static,
    ) -> Result<T, KeyStoreError> {
        let database = Arc::clone(&self.database);
        blocking(move || job(&database.begin_read()?)).await
    }
}

impl KeyIdStream for FileKeyIds {
    fn last_change_ms(&self) -> u64 {
        self.last_change_ms
    }

    fn count(&mut self) -> BoxFuture<'_, Result<u64, KeyStoreError>> {
        Box::pin(self.read(|transaction| usable(transaction, None, u32::MAX, |_| ())))
    }

    fn next_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(async move {
            let after = self.after.clone();
            let ids = self.read(move |transaction| {
                let mut ids = Vec::new();
                usable(transaction, after.as_ref(), count_max.max(1), |id| ids.push(id))?;
                Ok(ids)
            });
            let ids = ids.await?;
            self.after = ids.last().cloned().or(self.after.take());
            Ok(ids)
        })
    }
}

/// Gives up to `count_max` ids after one, and says how many.
fn usable(transaction: &ReadTransaction, after: Option<&KeyId>, count_max: u32, mut take: impl FnMut(KeyId)) -> Fallible<u64> {
    let table = transaction.open_table(KEYS)?;
    let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
    let mut count = 0;
    for row in table.range::<&str>((from, Bound::Unbounded))? {
        if count >= u64::from(count_max) {
            break;
        }
        let (key_id, json) = row?;
        let record = tables::key_from_json(key_id.value(), json.value())?;
        if record.lifecycle.status != Status::Revoked {
            take(record.key_id);
            count += 1;
        }
    }
    Ok(count)
}
