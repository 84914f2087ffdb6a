//! This node's shares of limits, in its own memory: made by the first outage, kept to the next.
//!
//! A subject of which nothing is spent is not kept; the sweep that forgets such subjects is a few
//! steps with every one that is added. Nothing else ever fills a bucket but time.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::time::Instant;
use tollgate_limits::{BUCKETS_PER_RECORD_MAX, Cost, NamedLimit, Share, ShareBucket};

use crate::ports::{Decision, Subject, SubjectKind, SubjectStanding};

/// Locks that the subjects are spread over.
const SHARDS: usize = 16;
/// Subjects of a shard that are looked at with every one that is added, and when there is no room.
const SWEEP_STEPS: usize = 2;
const FULL_SWEEP_STEPS: usize = 32;

type SubjectKey = (SubjectKind, Arc<str>);

#[derive(Debug)]
pub(crate) struct LocalBuckets {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    taken: AtomicUsize,
    subjects_max: usize,
    started: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    subjects: HashMap<SubjectKey, Kept>,
    /// The keys of `subjects`, each once, in the order in which the sweep comes to them.
    round: VecDeque<SubjectKey>,
}

#[derive(Debug, Default, Clone)]
struct Kept {
    /// The newest of those who asked.
    generation: u64,
    /// By the short form of the limit's name.
    buckets: Vec<(u32, ShareBucket)>,
}

/// What this node decides alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Locally {
    Allowed(Vec<SubjectStanding>),
    Limited(Vec<SubjectStanding>),
    /// Somebody has asked by newer rules.
    Stale,
    /// No more subjects can be kept.
    Full,
}

/// One limit of a decision under way.
struct Asked<'a> {
    kind: SubjectKind,
    named: &'a NamedLimit,
    bucket: ShareBucket,
    holds: bool,
}

impl LocalBuckets {
    pub(crate) fn new(subjects_max: usize) -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
            taken: AtomicUsize::new(0),
            subjects_max,
            started: Instant::now(),
        }
    }

    /// Decides; `share_of` tells what this node holds of a limit.
    pub(crate) fn decide(&self, decision: &Decision, share_of: impl Fn(&Subject, &NamedLimit) -> Share) -> Locally {
        let place = self.place(decision.subjects.placed_by());
        let Some(shard) = self.shards.get(place) else { return Locally::Full };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let (now_us, cost) = (self.now_us(), decision.cost);
        let mut asked = Vec::new();
        for subject in decision.subjects.iter() {
            let kept = shard.subjects.get(&key_of(subject));
            if kept.is_some_and(|kept| kept.generation > subject.generation) {
                return Locally::Stale;
            }
            for named in subject.limits.as_slice() {
                let held = share_of(subject, named);
                let before = kept.and_then(|kept| kept.bucket(named.name.id()));
                let bucket = before.unwrap_or_else(|| ShareBucket::full(held)).settled(held, now_us);
                asked.push(Asked { kind: subject.kind, named, bucket, holds: bucket.holds(cost, now_us) });
            }
        }
        let allowed = asked.iter().all(|asked| asked.holds);
        if allowed && !decision.peek {
            if !self.has_room(&mut shard, decision, now_us) {
                return Locally::Full;
            }
            for asked in &mut asked {
                asked.bucket = asked.bucket.after(cost);
            }
            self.keep(&mut shard, decision, &asked, now_us);
        }
        let standings = asked.iter().map(|asked| asked.standing(cost, now_us)).collect();
        if allowed { Locally::Allowed(standings) } else { Locally::Limited(standings) }
    }

    /// Takes room for the subjects of a decision that are new; forgets others where there is none.
    fn has_room(&self, shard: &mut Shard, decision: &Decision, now_us: u64) -> bool {
        let take = |shard: &Shard| {
            let new = new_subjects(shard, decision);
            let take = |taken: usize| taken.checked_add(new).filter(|taken| *taken <= self.subjects_max);
            new == 0 || self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        };
        take(shard) || {
            self.sweep(shard, FULL_SWEEP_STEPS, now_us);
            take(shard)
        }
    }

    fn keep(&self, shard: &mut Shard, decision: &Decision, asked: &[Asked<'_>], now_us: u64) {
        let (mut rest, mut steps) = (asked, 0);
        for subject in decision.subjects.iter() {
            let (of_subject, others) = rest.split_at_checked(subject.limits.as_slice().len()).unwrap_or((rest, &[]));
            rest = others;
            if of_subject.is_empty() {
                continue;
            }
            let key = key_of(subject);
            if !shard.subjects.contains_key(&key) {
                shard.round.push_back(key.clone());
                steps += SWEEP_STEPS;
            }
            let kept = shard.subjects.entry(key).or_default();
            kept.generation = subject.generation;
            for asked in of_subject {
                kept.set(asked.named.name.id(), asked.bucket, now_us);
            }
        }
        self.sweep(shard, steps, now_us);
    }

    /// Looks at the next subjects of a shard and forgets those of which nothing is spent.
    fn sweep(&self, shard: &mut Shard, steps: usize, now_us: u64) {
        for _ in 0..steps.min(shard.round.len()) {
            let Some(key) = shard.round.pop_front() else { return };
            let is_spent = |kept: &Kept| kept.buckets.iter().any(|(_, bucket)| !bucket.is_full(now_us));
            if shard.subjects.get(&key).is_some_and(is_spent) {
                shard.round.push_back(key);
            } else {
                shard.subjects.remove(&key);
                self.taken.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    #[allow(clippy::cast_possible_truncation, reason = "any bits of a hash are as good as all of them")]
    fn place(&self, placed_by: &str) -> usize {
        self.hasher.hash_one(placed_by) as usize % SHARDS
    }
}

impl Kept {
    fn bucket(&self, name_id: u32) -> Option<ShareBucket> {
        self.buckets.iter().find(|(id, _)| *id == name_id).map(|(_, bucket)| *bucket)
    }

    /// Sets one bucket. Those of names that are not asked for any more stay while they refill, as
    /// many as a record in Redis keeps.
    fn set(&mut self, name_id: u32, bucket: ShareBucket, now_us: u64) {
        self.buckets.retain(|(id, kept)| *id != name_id && !kept.is_full(now_us));
        self.buckets.insert(0, (name_id, bucket));
        self.buckets.truncate(BUCKETS_PER_RECORD_MAX);
    }
}

impl Asked<'_> {
    fn standing(&self, cost: Cost, now_us: u64) -> SubjectStanding {
        let standing = self.bucket.standing((!self.holds).then_some(cost), now_us);
        SubjectStanding { kind: self.kind, named: self.named.clone(), standing }
    }
}

fn key_of(subject: &Subject) -> SubjectKey {
    (subject.kind, Arc::clone(&subject.id))
}

/// Subjects that something would have to be kept of, and nothing is yet.
fn new_subjects(shard: &Shard, decision: &Decision) -> usize {
    let is_new = |subject: &&Subject| !subject.limits.is_unlimited() && !shard.subjects.contains_key(&key_of(subject));
    decision.subjects.iter().filter(is_new).count()
}

#[cfg(test)]
mod tests;
