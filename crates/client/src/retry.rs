//! When a call that came to nothing is sent again, and after how long.
//!
//! Nothing is sent again that may have been carried out, unless sending it twice does no harm.
//! Nobody waits for less than a node asked for; who would have to wait for too long is told so at
//! once instead.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

/// Bounds of sending again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a call is sent at most, the first time included; 1 for once.
    pub attempts_max: u32,
    /// The wait before the second time where no node said how long; it doubles from time to time.
    pub first_wait: Duration,
    /// The longest wait. Where a node asks for a longer one, its refusal is the result.
    pub wait_max: Duration,
    /// Whether a decision is sent again although it may have been made and charged. The caller then
    /// pays up to `attempts_max` times for one request.
    pub resend_charges: bool,
}

impl Default for RetryPolicy {
    /// Four times; 100 ms before the second, at most 10 s; no decision that may have been charged.
    fn default() -> Self {
        Self { attempts_max: 4, first_wait: Duration::from_millis(100), wait_max: Duration::from_secs(10), resend_charges: false }
    }
}

impl RetryPolicy {
    /// Each call is sent once.
    pub const fn never() -> Self {
        Self { attempts_max: 1, first_wait: Duration::ZERO, wait_max: Duration::ZERO, resend_charges: false }
    }

    fn may_resend(&self, call: Repeat, failed: &Failed) -> bool {
        match call {
            Repeat::Once => false,
            Repeat::Harmless => true,
            Repeat::Charges => self.resend_charges || failed.is_undone,
            Repeat::Changes => failed.is_undone,
        }
    }

    /// How long to wait after the attempt of this number (the first is 1); none to give up.
    fn wait(&self, attempt: u32, told: Option<Duration>, random: u64) -> Option<Duration> {
        let grown = self.first_wait.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        match told {
            Some(told) if told > self.wait_max => None,
            // Never less than was asked for; a quarter more at most, as others were told the same.
            Some(told) => Some(self.wait_max.min(told.saturating_add(part_of(told / 4, random)))),
            None => {
                let half = self.wait_max.min(grown) / 2;
                (self.wait_max > Duration::ZERO).then(|| half + part_of(half, random))
            }
        }
    }
}

/// What it would do to send a call again that may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// No more than to cost another token.
    Harmless,
    /// To charge a second time.
    Charges,
    /// To change a second time.
    Changes,
    /// Nothing that the caller wants: what comes first is his answer.
    Once,
}

/// How an attempt came to nothing that another may mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Whether it is certain that nothing was carried out.
    pub(crate) is_undone: bool,
    /// Whether another node may do better.
    pub(crate) is_of_node: bool,
    /// How long to wait, where the node said so.
    pub(crate) retry_after: Option<Duration>,
}

/// Where the jitter comes from.
#[derive(Clone)]
pub struct Randomness(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Randomness {
    /// Numbers of the caller's, such as a test's.
    pub fn new(next: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(next))
    }

    pub(crate) fn next(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Randomness {
    /// The system's; zero where it has none to give, which only loses the jitter.
    fn default() -> Self {
        Self::new(|| tollgate_keys::random_bytes().map_or(0, u64::from_be_bytes))
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}

/// One call with all its attempts.
#[derive(Debug)]
pub(crate) struct Retries<'a> {
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) random: &'a Randomness,
    pub(crate) call: Repeat,
    /// How many nodes there are to ask.
    pub(crate) nodes: u32,
    /// When the call must have ended.
    pub(crate) until: Instant,
}

impl Retries<'_> {
    /// Makes attempts until one need not or must not be followed by another, and returns what that
    /// one came to. `attempt` is told how much time is left; `failed` looks at its result.
    pub(crate) async fn run<T, F: Future<Output = T>>(
        &self,
        mut attempt: impl FnMut(Duration) -> F,
        failed: impl Fn(&T) -> Option<Failed>,
    ) -> T {
        let mut number = 1;
        loop {
            let result = attempt(self.until.saturating_duration_since(Instant::now())).await;
            let Some(wait) = failed(&result).and_then(|failed| self.wait(number, &failed)) else { return result };
            if wait >= self.until.saturating_duration_since(Instant::now()) {
                return result;
            }
            sleep(wait).await;
            number += 1;
        }
    }

    fn wait(&self, number: u32, failed: &Failed) -> Option<Duration> {
        if number >= self.policy.attempts_max || !self.policy.may_resend(self.call, failed) {
            return None;
        }
        // Nodes that were not asked yet are asked at once.
        if failed.is_of_node && number < self.nodes {
            return Some(Duration::ZERO);
        }
        self.policy.wait(number, failed.retry_after, self.random.next())
    }
}

/// A random part of a time, to the microsecond.
fn part_of(time: Duration, random: u64) -> Duration {
    let most_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % most_us.saturating_add(1))
}

#[cfg(test)]
mod tests;
