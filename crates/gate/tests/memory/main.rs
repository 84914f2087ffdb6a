//! What a node allocates for each key in use: alone in this program, as everything else in it
//! allocates too.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "../behaviour"]
mod behaviour {
    #[allow(dead_code, unused_imports, reason = "the other tests need the rest")]
    pub(crate) mod support;
}
mod crowd;

use std::alloc::System;

use cap::Cap;
use crowd::Crowd;

/// Counts what it gives.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Keys that are used before anything is measured: what is made once is made by then.
const BEFORE: usize = 2_000;
const MEASURED: usize = 10_000;
/// What is held of it, and what waits to be told of its use: the latter a third.
const BYTES_MAX: usize = 280;

#[tokio::test(start_paused = true)]
async fn a_key_in_use_takes_few_bytes() {
    let crowd = Crowd::new(BEFORE + MEASURED).await;
    crowd.use_each(0..BEFORE).await;
    let bytes = crowd.bytes_each(BEFORE..BEFORE + MEASURED, || ALLOCATOR.allocated()).await;
    assert_eq!(usize::try_from(crowd.hashes()).expect("few"), crowd.len(), "each was verified here");
    assert!(bytes <= BYTES_MAX, "{bytes} bytes each");
}
