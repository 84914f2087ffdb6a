//! What a node needs for each key in use, by how its process grows: alone in this program, as
//! everything else in it grows too.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "../behaviour"]
mod behaviour {
    #[allow(dead_code, unused_imports, reason = "the other tests need the rest")]
    pub(crate) mod support;
}
mod crowd;

use crowd::Crowd;

/// The node's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keys that are used before anything is measured: what is made once is made by then.
const BEFORE: usize = 5_000;
const MEASURED: usize = 20_000;
/// With room for what the allocator does as it likes.
const BYTES_MAX: usize = 600;

#[tokio::test(start_paused = true)]
async fn a_key_in_use_takes_few_bytes() {
    let crowd = Crowd::new(BEFORE + MEASURED).await;
    crowd.use_each(0..BEFORE).await;
    let bytes = crowd.bytes_each(BEFORE..BEFORE + MEASURED).await;
    assert_eq!(usize::try_from(crowd.hashes()).expect("few"), crowd.len(), "each was verified here");
    assert!(bytes <= BYTES_MAX, "{bytes} bytes each");
}
