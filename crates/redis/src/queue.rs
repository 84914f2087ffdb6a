//! Decisions that wait for the next call.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::yield_now,
    time::{Instant, timeout},
};
use tollgate_gate::ports::{BucketError, Outcome};

use crate::codec::Request;

/// How long entries may wait for company while a call is on its way, about.
const COMPANY_MAX: Duration = Duration::from_millis(1);
/// An entry that has no more time than this left waits for nobody: the wait may take twice [`COMPANY_MAX`].
const HURRY: Duration = Duration::from_millis(5);
/// How often whoever takes lets others go first: once, and what can run now has run; twice, and so has
/// what came over the network meanwhile.
const TURNS: u8 = 2;

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
///
/// A call costs the server and this node about as much as some ten entries do, so where calls are on
/// their way already the next is to be as large as those are: fewer entries wait until so many are
/// there, or a call is answered, or [`COMPANY_MAX`] is over. With none on its way nothing waits.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
    entries_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// Calls on their way, and the entries in them.
    calls: usize,
    sent: usize,
}

/// A call that is on its way.
#[derive(Debug)]
pub(crate) struct OnItsWay<'a> {
    queue: &'a Queue,
    count: usize,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.calls = waiting.calls.saturating_sub(1);
        waiting.sent = waiting.sent.saturating_sub(self.count);
    }
}

impl Waiting {
    /// Entries that make the next call as large as those on their way.
    fn wanted(&self) -> usize {
        self.sent.checked_div(self.calls).unwrap_or(1).max(1)
    }
}

impl Queue {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { waiting: Mutex::default(), more: Notify::new(), entries_max }
    }

    /// Puts an entry last; false where the queue is full.
    pub(crate) fn push(&self, entry: Entry) -> bool {
        let mut waiting = self.lock();
        if waiting.entries.len() >= self.entries_max {
            return false;
        }
        waiting.entries.push_back(entry);
        let count = waiting.entries.len();
        // Whoever takes sees to all that come after the first, and may wait for as many as are wanted.
        let is_news = count == 1 || count == waiting.wanted();
        drop(waiting);
        if is_news {
            self.more.notify_one();
        }
        true
    }

    /// Puts entries that were taken before back to the front, in their order, beyond the bound if
    /// need be.
    pub(crate) fn put_back(&self, again: Vec<Entry>) {
        if !again.is_empty() {
            let mut waiting = self.lock();
            again.into_iter().rev().for_each(|entry| waiting.entries.push_front(entry));
            drop(waiting);
            self.more.notify_one();
        }
    }

    /// Notes a call with so many entries, for as long as what is returned is kept.
    pub(crate) fn on_its_way(&self, count: usize) -> OnItsWay<'_> {
        let mut waiting = self.lock();
        waiting.calls += 1;
        waiting.sent += count;
        OnItsWay { queue: self, count }
    }

    /// Waits for entries and takes up to `count_max` for which there still is time.
    pub(crate) async fn take(&self, count_max: usize, taken: &mut Vec<Entry>) {
        let mut since = None;
        loop {
            if self.lock().entries.is_empty() {
                since = None;
                self.more.notified().await;
                continue;
            }
            self.let_others_go_first(count_max).await;
            let now = Instant::now();
            let patience = COMPANY_MAX.saturating_sub(now.duration_since(*since.get_or_insert(now)));
            if !patience.is_zero() && self.is_too_few(count_max, now) {
                // Over or not: the next turn looks.
                drop(timeout(patience, self.more.notified()).await);
                continue;
            }
            if self.take_ready(count_max, taken) {
                self.more.notify_one();
            }
            if !taken.is_empty() {
                return;
            }
        }
    }

    /// Lets whoever can run put something in as well, unless the next call is full.
    async fn let_others_go_first(&self, count_max: usize) {
        for _ in 0..TURNS {
            if self.lock().entries.len() >= count_max {
                return;
            }
            yield_now().await;
        }
    }

    /// Whether what waits is to wait for more, and has the time.
    fn is_too_few(&self, count_max: usize, now: Instant) -> bool {
        let waiting = self.lock();
        let has_time = waiting.entries.front().is_some_and(|first| first.deadline.saturating_duration_since(now) > HURRY);
        has_time && waiting.entries.len() < waiting.wanted().min(count_max)
    }

    /// True if entries are left over.
    fn take_ready(&self, count_max: usize, taken: &mut Vec<Entry>) -> bool {
        let now = Instant::now();
        let mut waiting = self.lock();
        while taken.len() < count_max
            && let Some(mut entry) = waiting.entries.pop_front()
        {
            if !entry.expire(now) {
                taken.push(entry);
            }
        }
        !waiting.entries.is_empty()
    }

    /// Answers those whose time is up, for while no call can be made.
    pub(crate) fn expire(&self, now: Instant) {
        self.lock().entries.retain_mut(|entry| !entry.expire(now));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
