//! Makes calls: everything that has come up meanwhile goes into the next one.
//!
//! Natural batching: a worker takes what waits, sends it as one call, and takes again when it is
//! answered. So an idle node sends a decision at once, and a busy one sends batches as large as the
//! load; `queue.rs` tells when what waits is enough for a further call.
//!
//! Nobody waits beyond his deadline. A call that takes long is watched: every few milliseconds
//! those whose time is up are answered, in the call and in the queue. And a worker whose call had
//! no answer sends no other one before the server has shown that it answers; so a server that
//! hangs finds a few calls when it wakes, not thousands, each a charge that nobody waits for.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fred::types::Value;
use tokio::time::{Instant, sleep};
use tollgate_gate::ports::{BucketError, Outcome};
use tollgate_telemetry::{Metrics, RedisErrorKind};

use crate::{
    codec::{Answer, Batch, Reply, read_reply},
    connection::{self, By, Connection},
    convert,
    failure::Failure,
    names::Names,
    queue::{Entry, Queue},
    scripts::Script,
    state::Marks,
};

/// How long after its deadline an entry may be answered.
const TICK: Duration = Duration::from_millis(3);
/// How often an entry's records are converted before it is given up.
const CONVERSIONS_MAX: u8 = 3;
/// How long a probe of a server that hangs may take. Its connection is given up earlier.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a slot that is on its way is left alone before the one re-send.
const MOVING_DELAY: Duration = Duration::from_millis(5);

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) names: Names,
    pub(crate) marks: Marks,
    pub(crate) decide: Script,
    /// Connections that were ever made.
    pub(crate) made: Arc<AtomicU64>,
    pub(crate) metrics: Metrics,
}

impl Desk {
    /// Rises whenever a connection is made anew, and whenever a state is found lost or joined anew. It
    /// is a sum of what only rises, so two that are equal were read with nothing in between.
    pub(crate) fn realm(&self) -> u64 {
        self.marks.turns().wrapping_add(self.made.load(Ordering::Acquire))
    }
}

/// One worker: at most one call on its way.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) desk: Arc<Desk>,
    pub(crate) queue: Arc<Queue>,
    /// Its own first; the others for while that one is down.
    pub(crate) connections: Vec<Arc<Connection>>,
    pub(crate) batch_max: usize,
    /// A tag that this worker's calls go to, for probes.
    pub(crate) tag: u8,
}

impl Worker {
    /// Works for ever.
    pub(crate) async fn work(self) {
        let mut entries = Vec::with_capacity(self.batch_max);
        loop {
            self.queue.take(self.batch_max, &mut entries).await;
            self.decide(&mut entries).await;
            entries.clear();
        }
    }

    async fn decide(&self, entries: &mut Vec<Entry>) {
        let marks = self.desk.marks.load();
        let mark = |tag: u8| marks.get(usize::from(tag)).cloned().flatten();
        tell_lost(entries, &mark);
        if entries.is_empty() {
            return;
        }
        let Some(connection) = connection::usable(&self.connections) else { return };
        let on_its_way = self.queue.on_its_way(entries.len());
        let told = self.call(connection, entries, &mark).await;
        drop(on_its_way);
        match told {
            Ok(reply) => self.settle(entries, reply, &mark),
            Err(failure) => {
                let is_silent = failure.kind == RedisErrorKind::TimedOut;
                let error = failure.into_error();
                for entry in entries.iter_mut() {
                    entry.tell(Err(error.clone()));
                }
                if is_silent {
                    self.until_answering(connection).await;
                }
            }
        }
    }

    /// Makes the call, and once more where the first was certainly not carried out.
    async fn call(&self, connection: &Connection, entries: &mut Vec<Entry>, mark: &impl Fn(u8) -> Option<Bytes>) -> Result<Reply, Failure> {
        let failure = match self.attempt(connection, By::Sha, entries, mark).await {
            Err(failure) if failure.is_unsent => failure,
            result => return result,
        };
        match failure.kind {
            RedisErrorKind::NoScript => {}
            RedisErrorKind::Redirected => {
                self.watch(entries, sleep(MOVING_DELAY)).await;
                self.watch(entries, connection.refresh_map()).await;
            }
            _ => self.watch(entries, sleep(MOVING_DELAY)).await,
        }
        let now = Instant::now();
        entries.retain_mut(|entry| !entry.expire(now));
        if entries.is_empty() {
            return Err(failure);
        }
        let by = if failure.kind == RedisErrorKind::NoScript { By::Text } else { By::Sha };
        self.attempt(connection, by, entries, mark).await
    }

    async fn attempt(
        &self,
        connection: &Connection,
        by: By,
        entries: &mut [Entry],
        mark: &impl Fn(u8) -> Option<Bytes>,
    ) -> Result<Reply, Failure> {
        let realm = self.desk.realm();
        for entry in entries.iter_mut() {
            entry.keep_settle_of(realm);
        }
        let requests = entries.iter().map(|entry| &entry.request);
        let batch = Batch::pack(requests, &self.desk.names, |tag| mark(tag).unwrap_or_default());
        let Some(Batch { keys, args }) = batch else { return Err(Failure::other("a cost above a burst")) };
        let args = args.into_iter().map(Value::Bytes).collect();
        let start = Instant::now();
        let deadline = entries.iter().map(|entry| entry.deadline).max().unwrap_or(start);
        let call = connection.run(&self.desk.decide, by, keys, args, deadline.saturating_duration_since(start));
        let told = self.watch(entries, call).await;
        self.desk.metrics.redis_call(entries.len(), start.elapsed());
        let reply = told.and_then(|bytes| {
            let requests = entries.iter().map(|entry| &entry.request);
            read_reply(bytes, requests).map_err(|error| Failure::other(&error.to_string()))
        });
        if let Err(failure) = &reply {
            self.desk.metrics.redis_error(failure.kind);
        }
        reply
    }

    /// Waits, and meanwhile answers those whose time is up, here and in the queue.
    async fn watch<F: Future>(&self, entries: &mut [Entry], what: F) -> F::Output {
        let (mut what, mut tick) = (pin!(what), pin!(sleep(TICK)));
        loop {
            tokio::select! {
                biased;
                output = &mut what => return output,
                () = &mut tick => {
                    let now = Instant::now();
                    for entry in &mut *entries {
                        entry.expire(now);
                    }
                    self.queue.expire(now);
                    tick.as_mut().reset(now + TICK);
                }
            }
        }
    }

    /// Waits until the server answers again, or its connection is known to be lost: then calls
    /// fail at once. Commands of a connection are answered in order, so an answer to this one
    /// means that no earlier call is on its way.
    async fn until_answering(&self, connection: &Connection) {
        let key = self.desk.names.state_id(self.tag);
        if let Err(failure) = self.watch(&mut [], connection.probe(key, PROBE_TIMEOUT)).await {
            tracing::warn!(?failure, "redis does not answer");
        }
    }

    fn settle(&self, entries: &mut Vec<Entry>, reply: Reply, mark: &impl Fn(u8) -> Option<Bytes>) {
        let mut again = Vec::new();
        for (mut entry, answer) in entries.drain(..).zip(reply.answers) {
            match answer {
                Answer::Told(outcome) => {
                    self.note(&outcome, entry.request.tag, mark);
                    // Nobody is there to spend it: the store drops it when it is over.
                    if let Some(Ok(Outcome::Leased(_, grant))) = entry.tell(Ok(outcome)) {
                        self.desk.metrics.lease_taken(grant.tokens);
                        self.desk.metrics.lease_expired(grant.tokens);
                    }
                }
                Answer::Convert(stored) => match convert::swaps(&entry.request, &stored, reply.now_us) {
                    Some(swaps) if entry.conversions < CONVERSIONS_MAX => {
                        entry.conversions += 1;
                        entry.request.swaps = swaps;
                        again.push(entry);
                    }
                    _ => {
                        self.desk.metrics.redis_error(RedisErrorKind::Broken);
                        entry.tell(Ok(Outcome::Broken));
                    }
                },
            }
        }
        self.queue.put_back(again);
    }

    fn note(&self, outcome: &Outcome, tag: u8, mark: &impl Fn(u8) -> Option<Bytes>) {
        match outcome {
            Outcome::Lost => {
                if mark(tag).is_some_and(|mark| self.desk.marks.forget(tag, &mark)) {
                    tracing::debug!(tag, "redis has lost the state of a tag; nothing is decided there until it is joined again");
                }
            }
            Outcome::Broken => self.desk.metrics.redis_error(RedisErrorKind::Broken),
            Outcome::Allowed(_)
            | Outcome::Leased(..)
            | Outcome::Limited(_)
            | Outcome::LimitedForNow(_)
            | Outcome::Stale
            | Outcome::Revoked => {}
        }
    }
}

/// Answers entries of tags that are not joined, without a call.
fn tell_lost(entries: &mut Vec<Entry>, mark: &impl Fn(u8) -> Option<Bytes>) {
    entries.retain_mut(|entry| {
        let is_joined = mark(entry.request.tag).is_some();
        if !is_joined {
            entry.tell(Ok(Outcome::Lost));
        }
        is_joined
    });
}

impl From<Failure> for BucketError {
    fn from(failure: Failure) -> Self {
        failure.into_error()
    }
}
