//! One way of one connection.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Fault;

const CHUNK_BYTES: usize = 16 * 1024;
/// What a delay can hold: beyond it the sender feels back-pressure.
const CHUNKS_MAX: usize = 1024;

/// Some bytes and when they may go on.
type Chunk = (Instant, Vec<u8>);

/// Passes bytes from `reads` to `writes` under the fault of the moment, until the end of the
/// stream, which is passed on too.
pub(super) async fn pump(reads: ReadHalf<'_>, writes: WriteHalf<'_>, fault: watch::Receiver<Fault>, count: &AtomicU64) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(take(reads, sender, fault.clone()), give(writes, receiver, fault, count)).map(|_| ())
}

async fn take(mut reads: ReadHalf<'_>, queue: mpsc::Sender<Chunk>, mut fault: watch::Receiver<Fault>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = reads.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let delay = match *fault.borrow_and_update() {
            Fault::Delay(delay) => delay,
            _ => Duration::ZERO,
        };
        if queue.send((Instant::now() + delay, bytes.to_vec())).await.is_err() {
            return Ok(());
        }
    }
}

async fn give(
    mut writes: WriteHalf<'_>,
    mut queue: mpsc::Receiver<Chunk>,
    mut fault: watch::Receiver<Fault>,
    count: &AtomicU64,
) -> io::Result<()> {
    while let Some((due, bytes)) = queue.recv().await {
        sleep_until(due).await;
        let length = part_bytes(*fault.borrow());
        for part in bytes.chunks(length) {
            let Ok(now) = fault.wait_for(|fault| *fault != Fault::BlackHole).await.map(|fault| *fault) else {
                return Ok(());
            };
            if let Fault::Throttle(per_second) = now {
                sleep(Duration::from_secs(1).mul_f64(fraction(part.len(), per_second))).await;
            }
            writes.write_all(part).await?;
            count.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
    }
    writes.shutdown().await
}

/// A throttle passes ten parts a second, so that it is felt by short messages too.
fn part_bytes(fault: Fault) -> usize {
    match fault {
        Fault::Throttle(per_second) => usize::try_from(per_second / 10).unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES),
        _ => CHUNK_BYTES,
    }
}

fn fraction(bytes: usize, per_second: u32) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / f64::from(per_second.max(1))
}
