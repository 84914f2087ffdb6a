//! The store of receipts: proof for other nodes that a secret was verified.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::BoxFuture;

/// Where the receipt of one stored hash of a key lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReceiptName {
    /// The id of the key.
    pub key_id: Arc<str>,
    /// The first 64 bits of the SHA-256 of its stored hash, so that the receipts of a key's two
    /// secrets do not replace each other.
    pub fingerprint: u64,
}

/// The receipts cannot be reached. Nobody needs them: the secret is hashed instead.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the receipts cannot be reached: {0}")]
pub struct ReceiptError(pub Arc<str>);

/// What lies under each of several names, in their order.
pub type StoredReceipts = Vec<Option<Box<[u8]>>>;

/// Receipts by name. Whoever can write here can forge none, so nothing found is believed.
pub trait ReceiptStore: Send + Sync + fmt::Debug + 'static {
    /// What lies under each of `names`, all of one key. Answers no later than shortly after `deadline`.
    fn find(&self, names: Vec<ReceiptName>, deadline: Instant) -> BoxFuture<'_, Result<StoredReceipts, ReceiptError>>;

    /// Leaves a receipt for `ttl`, in place of an older one.
    fn leave(&self, name: ReceiptName, receipt: [u8; 32], ttl: Duration, deadline: Instant) -> BoxFuture<'_, Result<(), ReceiptError>>;
}
