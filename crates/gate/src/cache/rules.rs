//! What many keys have in common, held once: their rules and their owners.
//!
//! Shared by what they say, not by who says it: a key whose rules become those of another key has
//! that one's from then on. What no held key has any more is forgotten at the next sweep.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tollgate_keys::{OwnerName, Scopes};
use tollgate_limits::{NamedLimit, RateLimits};

use crate::{OutageMode, record::OwnerRules};

/// So many are held before anybody looks whether all of them are in use.
const UNSWEPT_MIN: usize = 1024;

/// What a key may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) scopes: Scopes,
    pub(crate) limits: RateLimits,
    pub(crate) outage_mode: Option<OutageMode>,
}

/// The tenant that holds a key, as he was when it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeldOwner {
    pub(crate) name: OwnerName,
    /// The name, for decisions.
    pub(crate) id: Arc<str>,
    pub(crate) rules: OwnerRules,
}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scopes.iter().for_each(|scope| scope.hash(state));
        hash_limits(&self.limits, state);
    }
}

impl Hash for HeldOwner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.rules.generation).hash(state);
        hash_limits(&self.rules.limits, state);
    }
}

fn hash_limits<H: Hasher>(limits: &RateLimits, state: &mut H) {
    limits.as_slice().iter().for_each(|NamedLimit { name, limit }| (name, limit).hash(state));
}

/// Values that are held once, however many have them.
#[derive(Debug)]
pub(crate) struct Pool<T>(Mutex<Pooled<T>>);

#[derive(Debug)]
struct Pooled<T> {
    values: HashSet<Arc<T>>,
    /// Swept when there are so many: twice as many as were in use at the last sweep.
    sweep_at: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Pooled { values: HashSet::new(), sweep_at: UNSWEPT_MIN }))
    }
}

impl<T: Eq + Hash> Pool<T> {
    /// The value that is held like this one, or this one from now on.
    pub(crate) fn share(&self, value: T) -> Arc<T> {
        let mut pooled = self.pooled();
        if let Some(held) = pooled.values.get(&value) {
            return held.clone();
        }
        if pooled.values.len() >= pooled.sweep_at {
            pooled.sweep();
        }
        let value = Arc::new(value);
        pooled.values.insert(value.clone());
        value
    }

    /// Forgets what nobody has.
    pub(crate) fn sweep(&self) {
        self.pooled().sweep();
    }

    fn pooled(&self) -> MutexGuard<'_, Pooled<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Eq + Hash> Pooled<T> {
    fn sweep(&mut self) {
        // Nobody can come to have one meanwhile: that is done under the same lock.
        self.values.retain(|value| Arc::strong_count(value) > 1);
        self.sweep_at = (self.values.len() * 2).max(UNSWEPT_MIN);
        self.values.shrink_to(self.sweep_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_held_once() {
        let pool = Pool::default();
        let (one, other) = (pool.share("one".to_owned()), pool.share("other".to_owned()));
        assert!(Arc::ptr_eq(&one, &pool.share("one".to_owned())) && !Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        let pool = Pool::default();
        let kept: Vec<_> = (0..100).map(|number| pool.share(number)).collect();
        for number in 0..100_000 {
            pool.share(number);
            assert!(pool.pooled().values.len() <= UNSWEPT_MIN, "{number}");
        }
        pool.sweep();
        assert_eq!(pool.pooled().values.len(), kept.len());
        assert!(kept.iter().all(|number| Arc::ptr_eq(number, &pool.share(**number))));
    }

    #[test]
    fn there_are_no_more_than_twice_as_many_as_are_in_use() {
        let pool = Pool::default();
        let kept: Vec<_> = (0..10_000).map(|number| pool.share(number)).collect();
        for number in 10_000..100_000 {
            pool.share(number);
            assert!(pool.pooled().values.len() <= kept.len() * 2, "{number}");
        }
    }
}
