//! What the gate needs from the stores under it. Redis, Postgres and the embedded store implement
//! these; the gate knows no other way to them.

mod buckets;
mod bus;
mod key_ids;
mod keys;
mod nodes;
mod receipts;
mod usage;

pub use buckets::{
    BucketError, BucketStore, BucketsHealth, Decision, Fence, Leasing, Outcome, PendingOutcome, StoreLook, Subject, SubjectKind,
    SubjectStanding, Subjects,
};
pub use bus::{Bus, BusError, Heard};
pub use key_ids::{KeyIdStream, StreamTurn};
pub use keys::{
    AuditQuery, AuditRow, AuditRows, Change, ChangeContext, ChangeKind, Changed, CreateGuard, DoneOnce, FoundKey, ImportBatch, Imported,
    KeyDraft, KeyEdit, KeyListQuery, KeyStore, KeyStoreError, LogHead, LogId, Once, OwnerRevocation, StoredSigningKey,
};
pub use nodes::{Alone, NodeId, NodeRegistry};
pub use receipts::{ReceiptError, ReceiptName, ReceiptStore, StoredReceipts};
pub use usage::{
    TopName, TopSpan, TopSummaries, USAGE_HOURS, USAGE_MINUTES, USAGE_ROWS_MAX, UsageBatch, UsageCounts, UsageError, UsageRecord, UsageRow,
    UsageStore,
};

use std::{future::Future, pin::Pin};

/// A boxed future, so that a store can stand behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
