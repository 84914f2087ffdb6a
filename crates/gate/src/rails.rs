//! Guard rails: what operators must hear of though every request is answered.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tollgate_api::Component;

use crate::{gate::GateShared, ports::StoreLook};

/// How long one look at the bucket store's servers may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a look that came to nothing, as the first may while the node connects.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How far this node's clock may be from the bucket store's before that is told, and how near it
/// must come again: ends of keys are judged by it.
const SKEW_MAX_MS: u64 = 5_000;
const SKEW_MENDED_MS: u64 = 4_000;

const STATE_LOST: &str = "redis has lost its state, so buckets began full again: was it flushed, restarted without appendonly, \
     or replaced by a replica that lagged?";
const REWOUND: &str = "the key store has lost changes that were answered for (a restored backup, or a failover): revoke again what was \
     revoked since, then run `tollgate log reset`";

/// What the last look at the servers found.
#[derive(Debug, Default)]
pub(crate) struct Rails {
    found: Mutex<Found>,
    /// Losses of state that are known so far.
    losses: AtomicU64,
}

#[derive(Debug, Default, Clone)]
struct Found {
    eviction: Option<String>,
    skew: Option<String>,
}

impl GateShared {
    /// Looks at the bucket store's servers. While they do not answer, what was found last holds.
    /// Gives the time until the next look.
    pub(crate) async fn keep_looking(&self) -> Duration {
        let before_ms = self.clock.unix_ms();
        let looked = tokio::time::timeout(LOOK_TIMEOUT, self.buckets.look()).await;
        let is_over = matches!(looked, Ok(Ok(_)));
        match looked {
            Ok(Ok(look)) => self.rails.take(look, (before_ms, self.clock.unix_ms())),
            Ok(Err(error)) => tracing::debug!(%error, "redis cannot be looked at"),
            Err(_) => tracing::debug!("redis does not answer to a look at it"),
        }
        self.tell_health();
        if is_over { self.options.look_interval } else { LOOK_AGAIN.min(self.options.look_interval) }
    }

    /// Has the store been found with another state than before?
    pub(crate) fn note_losses(&self) {
        let losses = self.buckets.losses();
        if self.rails.losses.swap(losses, Ordering::AcqRel) < losses {
            self.marks.state_lost();
        }
    }

    /// Every guard rail of this node, and why it is on, if it is.
    pub(crate) fn guard_rails(&self) -> Vec<(Component, Option<String>)> {
        let found = self.rails.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rewound = self.is_rewound().then(|| REWOUND.to_owned());
        let lost = self.marks.is_state_lost().then(|| STATE_LOST.to_owned());
        let forwarder = self.marks.untrusted_forwarder().map(ToOwned::to_owned);
        vec![
            (Component::UnlimitedKeys, self.unlimited.reason()),
            (Component::RedisEviction, found.eviction),
            (Component::RedisStateLost, lost),
            (Component::ChangeLogRewound, rewound),
            (Component::UntrustedForwarder, forwarder),
            (Component::ClockSkew, found.skew),
        ]
    }
}

impl Rails {
    fn take(&self, look: StoreLook, asked_ms: (u64, u64)) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let skew = skew(&look.clocks_us, asked_ms, found.skew.is_some());
        *found = Found { eviction: look.eviction.or(look.unseen), skew };
    }
}

/// Why this node's clock is wrong, if it is: by the clock that agrees with it best, and by no more
/// than the question took.
fn skew(clocks_us: &[u64], (before_ms, after_ms): (u64, u64), was_on: bool) -> Option<String> {
    let off = |clock_us: &u64| {
        let clock_ms = clock_us / 1000;
        (before_ms.saturating_sub(clock_ms), clock_ms.saturating_sub(after_ms))
    };
    let (ahead_ms, behind_ms) = clocks_us.iter().map(off).min_by_key(|(ahead, behind)| *ahead.max(behind))?;
    let most_ms = if was_on { SKEW_MENDED_MS } else { SKEW_MAX_MS };
    let (by_ms, way) = if ahead_ms > behind_ms { (ahead_ms, "ahead of") } else { (behind_ms, "behind") };
    (by_ms > most_ms).then(|| {
        let seconds = by_ms / 1000;
        format!("this node's clock is {seconds} s {way} that of redis, and keys end by it: see that both machines keep time (NTP)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn at(told_ms: &[u64], was_on: bool) -> Option<String> {
        let clocks_us: Vec<u64> = told_ms.iter().map(|told| told * 1000).collect();
        skew(&clocks_us, (NOW_MS, NOW_MS + 100), was_on)
    }

    #[test]
    fn a_clock_is_wrong_by_more_than_the_question_took() {
        assert_eq!(at(&[], false), None);
        for right in [NOW_MS, NOW_MS + 100, NOW_MS - 5_000, NOW_MS + 5_100] {
            assert_eq!(at(&[right], false), None, "{right}");
        }
        assert!(at(&[NOW_MS - 5_001], false).is_some_and(|why| why.contains("5 s ahead of")));
        assert!(at(&[NOW_MS + 105_101], false).is_some_and(|why| why.contains("105 s behind")));
    }

    #[test]
    fn a_clock_that_wavers_about_the_bound_does_not_flap() {
        assert!(at(&[NOW_MS - 4_500], true).is_some());
        assert_eq!(at(&[NOW_MS - 4_000], true), None);
        assert_eq!(at(&[NOW_MS - 4_500], false), None);
    }

    #[test]
    fn one_server_with_a_wrong_clock_is_not_this_nodes_fault() {
        assert_eq!(at(&[NOW_MS - 3_600_000, NOW_MS + 50, NOW_MS + 3_600_000], true), None);
    }
}
