//! What a node needs for each key in use, and how long it takes to let one pass that it knows, before
//! buckets that allow everything at once: what is measured is the gate.
//!
//! ```text
//! KEYS="10000 100000" cargo bench -p tollgate-gate --bench keys
//! ```
#![allow(clippy::print_stdout, reason = "a table on standard output is what a bench is for")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a bench fails by a panic")]

#[path = "../tests/behaviour"]
mod behaviour {
    #[allow(dead_code, unused_imports, reason = "the tests need the rest")]
    pub(crate) mod support;
}
#[path = "../tests/memory/crowd.rs"]
mod crowd;

use crowd::Crowd;

/// The node's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: u32 = 7;

fn main() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
    println!("{:>9} {:>12} {:>18} {:>18}", "keys", "bytes each", "ns for each, all", "ns for each, few");
    let counts = std::env::var("KEYS").unwrap_or_else(|_| "10000 100000".to_owned());
    for count in counts.split_whitespace().map(|count| count.parse().expect("KEYS is a list of whole numbers")) {
        runtime.block_on(cost(count));
    }
}

async fn cost(count: usize) {
    let before = count / 4;
    let crowd = Crowd::new(before + count).await;
    crowd.use_each(0..before).await;
    let bytes = crowd.bytes_each(count, crowd.use_each(before..crowd.len()), resident_bytes).await;
    let (all, few) = (nanoseconds(&crowd, crowd.len()).await, nanoseconds(&crowd, 100).await);
    assert_eq!(usize::try_from(crowd.hashes()).expect("few"), crowd.len(), "each was verified once");
    println!("{count:>9} {bytes:>12} {all:>18} {few:>18}");
}

/// What this process holds of the machine's memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux machine");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
    line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).expect("a number of kB") * 1024
}

/// The shortest of a few rounds over so many keys, for each of about as many requests.
async fn nanoseconds(crowd: &Crowd, keys: usize) -> u128 {
    let again = (100_000 / keys).max(1);
    let mut best = u128::MAX;
    for _ in 0..ROUNDS {
        let begun = std::time::Instant::now();
        for _ in 0..again {
            crowd.use_each(0..keys).await;
        }
        best = best.min(begun.elapsed().as_nanos() / (keys * again) as u128);
    }
    best
}
