//! What the tests stand on: scripted stores, a clock that is told the time, nodes over both.

mod buckets;
mod bus;
mod clock;
mod fleet;
mod keys;
mod node;
mod nodes;
mod receipts;

pub(crate) use buckets::{FakeBuckets, Script};
pub(crate) use bus::{FakeBus, Fate, Hub};
pub(crate) use clock::TestClock;
pub(crate) use fleet::RunningFleet;
pub(crate) use keys::FakeKeys;
pub(crate) use node::{Ask, Node, Outcomes, World, limits, mint, operator, options, preauth, rules};
pub(crate) use nodes::FakeNodes;
pub(crate) use receipts::FakeReceipts;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What must happen: time is paused, so a minute of it has passed as soon as nothing else can.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), what).await.expect("nothing more can happen")
}

/// The lock, also after another test thread has panicked under it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
