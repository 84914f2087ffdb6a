//! What the tests stand on: scripted stores, a clock that is told the time, nodes over both.

mod buckets;
mod bus;
mod clock;
mod fleet;
mod keys;
mod node;
mod nodes;
mod receipts;
mod usage;

pub(crate) use buckets::{FakeBuckets, Script};
pub(crate) use bus::{FakeBus, Fate, Hub};
pub(crate) use clock::TestClock;
pub(crate) use fleet::RunningFleet;
pub(crate) use keys::FakeKeys;
pub(crate) use node::{Ask, Node, Outcomes, World, limits, mint, operator, options, preauth, rules};
pub(crate) use nodes::FakeNodes;
pub(crate) use receipts::FakeReceipts;
pub(crate) use usage::FakeUsage;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Runs a test where one thread does all that blocks, so that it can be kept busy.
pub(crate) fn with_one_hashing_thread(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).max_blocking_threads(1).build().expect("a runtime").block_on(test);
}

/// Keeps that thread busy until what comes back is dropped: no hash is done before.
pub(crate) fn keep_hashing_busy() -> std::sync::mpsc::Sender<()> {
    let (busy, until) = std::sync::mpsc::channel();
    drop(tokio::task::spawn_blocking(move || until.recv().ok()));
    busy
}

/// Lets all that is spawned go on until it waits.
pub(crate) async fn let_others_go_on() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// What must happen: time is paused, so a minute of it has passed as soon as nothing else can.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), what).await.expect("nothing more can happen")
}

/// The lock, also after another test thread has panicked under it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
