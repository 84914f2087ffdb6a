//! The ids of all keys that may be used now or some day, for the filter.

use std::fmt;

use tollgate_keys::KeyId;

use super::{BoxFuture, KeyStoreError};

/// Whether others may read the stream at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamTurn {
    /// Whoever wants to: nodes that start must not wait for each other.
    Any,
    /// One node at a time of all that share the store.
    Alone,
}

/// A stream of ids, each key's once or, if it changes meanwhile, perhaps twice or not at all.
///
/// Every page shows the store as it is when the page is read, not when the stream was opened. So
/// whoever takes up changes from before the first page, reads to the end, and then the change log to
/// its head, knows every key that is not revoked.
/// No more than a page is in memory at a time, and nothing is locked. Ends when dropped.
pub trait KeyIdStream: Send + fmt::Debug {
    /// The instant of the last change before the stream began, in milliseconds since 1970; 0 where
    /// there was none.
    fn last_change_ms(&self) -> u64;

    /// How many keys are not revoked, as far as can be told without holding anything up.
    fn count(&mut self) -> BoxFuture<'_, Result<u64, KeyStoreError>>;

    /// The next ids, at most `count_max` (at least 1); none at the end.
    fn next_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>>;

    /// The same for the revoked ones, which have a place of their own.
    fn next_revoked_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>>;
}
