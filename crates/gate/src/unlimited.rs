//! Guard rail: keys without a rate limit of their own.
//!
//! It is on while there is any such key that may be used. The set is read from the key store, so
//! every node finds the same, and however many keys come and go it does not flap.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_keys::KeyId;

use crate::gate::GateShared;

/// Keys that are counted and named at most.
const NAMED_MAX: u32 = 100;
/// How long a set that was read is taken for the set: keys end by time, too, without a change.
const GOOD_FOR: Duration = Duration::from_mins(1);
/// A reading is followed by a pause of so many times what it took: a store without an index reads
/// every key.
const PAUSE_FACTOR: u32 = 20;
/// How long one reading may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct UnlimitedKeys {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    keys: Vec<KeyId>,
    read: Option<Read>,
}

/// The last reading.
#[derive(Debug, Clone, Copy)]
struct Read {
    /// The place in the log when it began; none if it failed.
    position: Option<u64>,
    began: Instant,
    took: Duration,
}

impl Seen {
    fn is_due(&self, position: u64, now: Instant) -> bool {
        self.read.is_none_or(|read| {
            let age = now.duration_since(read.began);
            let pause = read.took * PAUSE_FACTOR;
            match read.position {
                Some(read_at) => age >= pause && (read_at != position || age >= GOOD_FOR),
                None => age >= pause.min(GOOD_FOR),
            }
        })
    }
}

impl UnlimitedKeys {
    /// Why the guard rail is on, if it is. Names no key: anybody may see it.
    pub(crate) fn reason(&self) -> Option<String> {
        let count = self.with_seen(|seen| seen.keys.len());
        let counted = match count {
            0 => return None,
            1 => "1 key has".to_owned(),
            many if many >= NAMED_MAX as usize => format!("{many} keys or more have"),
            many => format!("{many} keys have"),
        };
        Some(format!("{counted} no rate limit: give each one by `tollgate keys update`, or know that nothing holds it back"))
    }

    /// Which they are, at most 100 of them.
    pub(crate) fn keys(&self) -> Vec<KeyId> {
        self.with_seen(|seen| seen.keys.clone())
    }

    fn with_seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl GateShared {
    /// Keeps the set true, for ever.
    pub(crate) async fn follow_unlimited(&self) {
        let mut ticks = tokio::time::interval(self.follower.options().poll_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.keep_unlimited().await;
        }
    }

    /// Reads the set anew where it may be another. What cannot be read stays as it was.
    async fn keep_unlimited(&self) {
        let (position, began) = (self.cache.position(), Instant::now());
        if !self.unlimited.with_seen(|seen| seen.is_due(position, began)) {
            return;
        }
        let read = tokio::time::timeout(READ_TIMEOUT, self.keys.unlimited_keys(self.clock.unix_ms(), NAMED_MAX)).await;
        let read_of = |position| Some(Read { position, began, took: began.elapsed() });
        match read {
            Ok(Ok(keys)) => return self.unlimited.with_seen(|seen| *seen = Seen { keys, read: read_of(Some(position)) }),
            Ok(Err(error)) => tracing::debug!(%error, "keys without a limit cannot be read"),
            Err(_) => tracing::debug!("keys without a limit are not read in time"),
        }
        self.unlimited.with_seen(|seen| seen.read = read_of(None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_when_the_log_moved_or_a_minute_passed_and_never_in_a_hurry() {
        let (start, took) = (Instant::now(), Duration::from_secs(1));
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(Seen::default().is_due(0, start));
        let seen = |position| Seen { keys: Vec::new(), read: Some(Read { position, began: start, took }) };
        assert!(!seen(Some(7)).is_due(7, after(59)) && seen(Some(7)).is_due(7, after(60)));
        assert!(!seen(Some(7)).is_due(8, after(19)) && seen(Some(7)).is_due(8, after(20)));
        assert!(!seen(None).is_due(7, after(19)) && seen(None).is_due(7, after(20)), "one that failed is tried again, not at once");
    }

    #[test]
    fn the_reason_counts_and_names_nobody() {
        let keys = UnlimitedKeys::default();
        assert_eq!(keys.reason(), None);
        for (count, words) in [(1_usize, "1 key has"), (7, "7 keys have"), (100, "100 keys or more have")] {
            keys.with_seen(|seen| seen.keys = vec![KeyId::from_parts(0, [0; 10]); count]);
            let reason = keys.reason().expect("on");
            assert!(reason.starts_with(words) && !reason.contains("tk_"), "{reason}");
        }
    }
}
