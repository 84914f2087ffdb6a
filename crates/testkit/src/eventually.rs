//! The one place that polls.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` until it answers `Ok`, at most for `within`; then fails with its last error.
pub async fn eventually<T, F, Answer>(what: &str, within: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Answer,
    Answer: Future<Output = Result<T>>,
{
    let end = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        match tokio::time::timeout_at(end, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if Instant::now() + pause >= end => {
                return Err(error).with_context(|| format!("not within {within:?}: {what}"));
            }
            Ok(Err(_)) => sleep(pause).await,
            Err(_) => anyhow::bail!("no answer within {within:?}: {what}"),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_good_answer_is_returned() {
        let mut asked = 0;
        let answer = eventually("three", Duration::from_secs(5), || {
            asked += 1;
            let now = asked;
            async move {
                anyhow::ensure!(now >= 3, "only {now}");
                Ok(now)
            }
        });
        assert_eq!(answer.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_failure_carries_the_last_error() {
        let answer = eventually("never", Duration::from_millis(20), async || anyhow::bail!("still no")).await;
        let error: anyhow::Error = match answer {
            Ok(()) => panic!("must fail"),
            Err(error) => error,
        };
        assert!(format!("{error:#}").contains("still no"));
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_cut_off() {
        let answer = eventually("silence", Duration::from_millis(20), std::future::pending::<Result<()>>).await;
        assert!(answer.is_err());
    }
}
