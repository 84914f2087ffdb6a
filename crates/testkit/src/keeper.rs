//! The thread that starts everything.
//!
//! The kernel ends a child when the *thread* that started it ends (see [`crate::process`]), and
//! a test's thread ends with the test. So children and containers are started by one thread that
//! lives as long as the process.

use std::sync::{OnceLock, mpsc};

use anyhow::{Context, Result};
use tokio::runtime::Handle;

static KEEPER: OnceLock<Handle> = OnceLock::new();

/// Runs `work` on the keeper's thread and waits for it without an async context.
///
/// Usable in `Drop`; the work must not wait for anything on the calling thread.
pub(crate) fn run_blocking<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    handle()?.spawn(async move { sender.send(work.await).ok() });
    receiver.recv().context("the keeper's thread is gone")
}

/// Runs `work` on the keeper's thread.
pub(crate) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    handle()?.spawn(work).await.context("the keeper's thread is gone")
}

fn handle() -> Result<&'static Handle> {
    if let Some(handle) = KEEPER.get() {
        return Ok(handle);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // Two threads may come here at once; the loser's keeper then idles, which hurts nobody.
    std::thread::Builder::new().name("keeper".into()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(KEEPER.get_or_init(|| handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_on_one_thread_that_is_not_the_callers() {
        let first = run(async { std::thread::current().id() }).await.unwrap();
        let second = run_blocking(async { std::thread::current().id() }).unwrap();
        assert_eq!(first, second);
        assert_ne!(first, std::thread::current().id());
    }
}
