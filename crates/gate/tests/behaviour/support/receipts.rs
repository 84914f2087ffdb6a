//! Receipts in memory, which a test may read, change, lose and cut off.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tollgate_gate::ports::{BoxFuture, ReceiptError, ReceiptName, ReceiptStore, StoredReceipts};

use super::lock;

/// A receipt and its end.
type Stored = (Box<[u8]>, Instant);

#[derive(Debug, Default)]
pub(crate) struct FakeReceipts {
    stored: Mutex<HashMap<ReceiptName, Stored>>,
    finds: AtomicUsize,
    hangs: AtomicBool,
}

impl FakeReceipts {
    /// What lies there and is still good.
    pub(crate) fn all(&self) -> Vec<(ReceiptName, Box<[u8]>)> {
        let now = Instant::now();
        let stored = lock(&self.stored);
        stored.iter().filter(|(_, (_, end))| *end > now).map(|(name, (receipt, _))| (name.clone(), receipt.clone())).collect()
    }

    /// Whoever can write there can do this.
    pub(crate) fn put(&self, name: ReceiptName, receipt: &[u8]) {
        lock(&self.stored).insert(name, (receipt.into(), Instant::now() + Duration::from_hours(1)));
    }

    pub(crate) fn clear(&self) {
        lock(&self.stored).clear();
    }

    /// How often somebody looked.
    pub(crate) fn finds(&self) -> usize {
        self.finds.load(Ordering::SeqCst)
    }

    /// From now on nothing is answered before its deadline.
    pub(crate) fn hang(&self) {
        self.hangs.store(true, Ordering::SeqCst);
    }

    async fn until_answering(&self, deadline: Instant) -> Result<(), ReceiptError> {
        if self.hangs.load(Ordering::SeqCst) {
            tokio::time::sleep_until(deadline).await;
            return Err(ReceiptError("no answer".into()));
        }
        Ok(())
    }
}

impl ReceiptStore for FakeReceipts {
    fn find(&self, names: Vec<ReceiptName>, deadline: Instant) -> BoxFuture<'_, Result<StoredReceipts, ReceiptError>> {
        Box::pin(async move {
            self.finds.fetch_add(1, Ordering::SeqCst);
            self.until_answering(deadline).await?;
            let all: HashMap<_, _> = self.all().into_iter().collect();
            Ok(names.iter().map(|name| all.get(name).cloned()).collect())
        })
    }

    fn leave(&self, name: ReceiptName, receipt: [u8; 32], ttl: Duration, deadline: Instant) -> BoxFuture<'_, Result<(), ReceiptError>> {
        Box::pin(async move {
            self.until_answering(deadline).await?;
            lock(&self.stored).insert(name, (receipt.into(), Instant::now() + ttl));
            Ok(())
        })
    }
}
