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
/// What is held of a key, and that its last use is to be written.
const HELD_MAX: usize = 225;
/// What waits besides to be told of decisions on it, until that was told.
const WAITING_MAX: usize = 100;

#[tokio::test(start_paused = true)]
async fn a_key_in_use_takes_few_bytes() {
    let crowd = Crowd::new(BEFORE + MEASURED).await;
    crowd.use_each(0..BEFORE).await;
    let measured = BEFORE..BEFORE + MEASURED;
    let allocated = || ALLOCATOR.allocated();
    let held = crowd.bytes_each(MEASURED, crowd.peek_at_each(measured.clone()), allocated).await;
    let waiting = crowd.bytes_each(MEASURED, crowd.use_each(measured), allocated).await;
    assert_eq!(usize::try_from(crowd.hashes()).expect("few"), crowd.len(), "each was verified here, once");
    println!("held: {held} bytes each, waiting to be told: {waiting}");
    assert!((100..=HELD_MAX).contains(&held) && (1..=WAITING_MAX).contains(&waiting), "{held} and {waiting} bytes each");
}
