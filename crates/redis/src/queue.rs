//! Decisions that wait for the next call.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tollgate_gate::ports::{BucketError, Outcome};

use crate::codec::Request;

/// One decision and who waits for it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) request: Request,
    pub(crate) deadline: Instant,
    /// How often its records were handed back to be converted.
    pub(crate) conversions: u8,
    /// What a slice that is handed back is of: the states and connections of then.
    realm: u64,
    asker: Option<oneshot::Sender<Result<Outcome, BucketError>>>,
}

impl Entry {
    pub(crate) fn new(request: Request, deadline: Instant, asker: oneshot::Sender<Result<Outcome, BucketError>>, realm: u64) -> Self {
        Self { request, deadline, conversions: 0, realm, asker: Some(asker) }
    }

    /// Hands no slice back to another state than the one it is of, or over another connection:
    /// behind that there may be a server that has never given it.
    pub(crate) fn keep_settle_of(&mut self, realm: u64) {
        if self.realm != realm {
            self.request.lease.settle = None;
        }
    }

    /// Tells the asker, once. An answer that nobody takes comes back: who has gone away needs none.
    pub(crate) fn tell(&mut self, result: Result<Outcome, BucketError>) -> Option<Result<Outcome, BucketError>> {
        match self.asker.take() {
            Some(asker) => asker.send(result).err(),
            None => Some(result),
        }
    }

    /// Tells the asker that time is up, if it is. True if nobody waits any more.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        if self.deadline <= now {
            self.tell(Err(BucketError::Deadline));
        }
        self.is_settled()
    }

    /// Whether nobody waits any more: told, or gone away.
    pub(crate) fn is_settled(&self) -> bool {
        self.asker.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// A bounded queue, first in, first out. Nobody ever waits to put something in.
#[derive(Debug)]
pub(crate) struct Queue {
    entries: Mutex<VecDeque<Entry>>,
    more: Notify,
    entries_max: usize,
}

impl Queue {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries: Mutex::default(), more: Notify::new(), entries_max }
    }

    /// Puts an entry last; false where the queue is full.
    pub(crate) fn push(&self, entry: Entry) -> bool {
        let mut entries = self.lock();
        if entries.len() >= self.entries_max {
            return false;
        }
        entries.push_back(entry);
        drop(entries);
        self.more.notify_one();
        true
    }

    /// Puts entries that were taken before back to the front, in their order, beyond the bound if
    /// need be.
    pub(crate) fn put_back(&self, again: Vec<Entry>) {
        if !again.is_empty() {
            let mut entries = self.lock();
            again.into_iter().rev().for_each(|entry| entries.push_front(entry));
            drop(entries);
            self.more.notify_one();
        }
    }

    /// Waits for entries and takes up to `count_max` for which there still is time.
    pub(crate) async fn take(&self, count_max: usize, taken: &mut Vec<Entry>) {
        loop {
            if self.take_ready(count_max, taken) {
                self.more.notify_one();
            }
            if !taken.is_empty() {
                return;
            }
            self.more.notified().await;
        }
    }

    /// True if entries are left over.
    fn take_ready(&self, count_max: usize, taken: &mut Vec<Entry>) -> bool {
        let now = Instant::now();
        let mut entries = self.lock();
        while taken.len() < count_max
            && let Some(mut entry) = entries.pop_front()
        {
            if !entry.expire(now) {
                taken.push(entry);
            }
        }
        !entries.is_empty()
    }

    /// Answers those whose time is up, for while no call can be made.
    pub(crate) fn expire(&self, now: Instant) {
        self.lock().retain_mut(|entry| !entry.expire(now));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_gate::ports::{Decision, Subject, SubjectKind, Subjects};
    use tollgate_limits::{Cost, LeaseAsk, RateLimits, Settle, Stamp};

    use super::*;
    use crate::names::Names;

    fn entry(realm: u64) -> Entry {
        let first = Subject { kind: SubjectKind::Key, id: "a".into(), generation: 1, limits: RateLimits::unlimited() };
        let decision = Decision { subjects: Subjects { first, owner: None }, cost: Cost::ONE, peek: true };
        let settle = Settle { granted: 5, unused: 2, stamp: Stamp { epoch: 1, series: [1, 0] } };
        let lease = LeaseAsk { want: 7, settle: Some(settle) };
        let request = Request { lease, ..Request::new(decision, &Names::new("tg:", 1).expect("good names")) };
        Entry::new(request, Instant::now(), oneshot::channel().0, realm)
    }

    #[test]
    fn a_slice_is_handed_back_to_the_state_and_over_the_connections_that_it_is_of() {
        for (of, now) in [(3, 3), (3, 4), (4, 3)] {
            let mut entry = entry(of);
            entry.keep_settle_of(now);
            assert_eq!(entry.request.lease.settle.is_some(), of == now, "{of} {now}");
            assert_eq!(entry.request.lease.want, 7, "a new slice may be asked for all the same");
        }
    }
}
