//! What every store must do, whatever it is made of: one suite for buckets, one for keys, one for usage.
//!
//! The suites are plain async functions over the ports of the gate, so a store runs all of one in
//! two lines of a test of its own (`tests/conformance.rs`), on a multi-threaded runtime:
//!
//! ```ignore
//! #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
//! async fn keeps_the_contract_of_buckets() {
//!     let store: Arc<dyn BucketStore> = Arc::new(my_store().await); // not joined yet
//!     conformance::buckets::all(&store).await;
//! }
//!
//! #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
//! async fn keeps_the_contract_of_keys() {
//!     let store: Arc<dyn KeyStore> = Arc::new(my_store().await); // nothing in it
//!     conformance::keys::all(&store).await;
//! }
//! ```
//!
//! Every function says for itself what it expects and can be run alone; unless it says otherwise it
//! does with a store that others use at the same time, because it makes its own subjects, keys and
//! owners. Nothing waits: limits are so slow that no token comes back during a test, or the test
//! allows for what the time that it measured can have brought. What a store does after a time
//! (fences that end, logs that are cleared away) is for its own tests with its own clock.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a suite of tests fails by panicking")]

pub mod buckets;
pub mod keys;
pub mod usage;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// An id that no other call gave, in this process or another: fit for a key, an owner or a thing.
fn fresh() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    // 64 bits of nanoseconds last until 2554; the form is that of a named thing, 32 hex digits.
    format!("{nanos:016x}{process:08x}{count:08x}", process = std::process::id(), count = COUNT.fetch_add(1, Ordering::Relaxed))
}
