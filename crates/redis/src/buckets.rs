//! The store of buckets, as the gate sees it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fred::types::{FromValue, Value};
use futures_util::future;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep},
};
use tollgate_gate::ports::{
    BoxFuture, BucketError, BucketStore, BucketsHealth, Decision, Fence, Leasing, LogId, Outcome, PendingOutcome, StoreLook, SubjectKind,
};
use tollgate_limits::LeaseAsk;
use tollgate_telemetry::{Metrics, RedisErrorKind, Step};

use crate::{
    codec::{ENTRIES_MAX, Request},
    connection::{self, By, Connection},
    failure::Failure,
    look::Watch,
    names::{Names, NamesError},
    options::Options,
    queue::{Entry, Queue},
    scripts::{self, Script},
    state::{Marks, StateMark},
    wire::Wire,
    worker::{Desk, Worker},
};

/// How long one call of [`BucketStore::join`] or [`BucketStore::health`] may take.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one attempt at a fence may take, and the pause before the next.
const FENCE_ATTEMPT: Duration = Duration::from_millis(500);
const FENCE_PAUSE: Duration = Duration::from_millis(10);
/// No slice is good for longer, whatever a server says.
const SLICE_LIFE: Duration = Duration::from_micros(2 * tollgate_limits::EPOCH_US);
/// How long a reset is remembered at least: longer than any node makes one good.
const RESET_TTL_MIN: Duration = Duration::from_mins(45);

/// Buckets and fences in Redis. Everything it started ends with it.
#[derive(Debug)]
pub struct RedisBuckets {
    desk: Arc<Desk>,
    /// One on a single server, one per tag on a Cluster: a call must stay within a slot.
    queues: Vec<Arc<Queue>>,
    pub(crate) connections: Vec<Arc<Connection>>,
    pub(crate) made: Arc<AtomicU64>,
    fence: Script,
    join: Script,
    nodes: Script,
    usage: Script,
    top: Script,
    probes: AtomicUsize,
    fence_ttl: Duration,
    joined: Mutex<Joined>,
    pub(crate) watch: Mutex<Watch>,
    /// How often the state was found lost.
    losses: AtomicU64,
    _tasks: JoinSet<()>,
}

/// What came of the last attempt to join.
#[derive(Debug, Default)]
struct Joined {
    log: Option<LogId>,
    unusable: Option<Arc<str>>,
}

/// Settings that cannot be used. Redis itself may be away: that is no error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OptionsError {
    /// The URL is none that the client knows. It may hold a password, so it is not shown.
    #[error("redis.url cannot be used: {0}")]
    Url(&'static str),
    /// The file of certificate authorities, and what is wrong with it.
    #[error("redis.ca_file {0}")]
    Authorities(Arc<str>),
    /// The prefix or the number of tags.
    #[error(transparent)]
    Names(#[from] NamesError),
}

impl OptionsError {
    pub(crate) const URL: Self = Self::Url("it must be like redis://user:password@host:6379/0");
}

impl RedisBuckets {
    /// Starts to connect, in the background: neither waits for Redis nor fails without it.
    ///
    /// Must be called within a Tokio runtime.
    pub fn connect(options: &Options, metrics: Metrics) -> Result<Self, OptionsError> {
        let names = Names::new(&options.prefix, options.tags)?;
        let made = Arc::new(AtomicU64::new(0));
        let connection = || Connection::new(options, Arc::clone(&made)).map(Arc::new);
        let connections: Result<Vec<_>, _> = (0..options.pool_size.max(1)).map(|_| connection()).collect();
        let connections = connections?;
        let is_clustered = connections.iter().any(|connection| connection.is_clustered());
        let queue = |_| Arc::new(Queue::new(options.queue_max.max(1)));
        let queues: Vec<_> = (0..if is_clustered { options.tags } else { 1 }).map(queue).collect();
        let marks = Marks::none(options.tags);
        let desk = Arc::new(Desk { names, marks, decide: Script::new(scripts::DECIDE), made: Arc::clone(&made), metrics });
        let mut tasks = JoinSet::new();
        for connection in &connections {
            tasks.spawn(Arc::clone(connection).keep());
        }
        for worker in workers(options, &desk, &queues, &connections) {
            tasks.spawn(worker.work());
        }
        let (fence, join, nodes) = (Script::new(scripts::FENCE), Script::new(scripts::JOIN), Script::new(scripts::NODES));
        let (usage, top) = (Script::new(scripts::USAGE), Script::new(scripts::TOP));
        let (joined, watch, losses) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        let (probes, fence_ttl) = (AtomicUsize::new(0), options.fence_ttl);
        Ok(Self {
            desk,
            queues,
            connections,
            made,
            fence,
            join,
            nodes,
            usage,
            top,
            probes,
            fence_ttl,
            joined,
            watch,
            losses,
            _tasks: tasks,
        })
    }

    pub(crate) fn names(&self) -> &Names {
        &self.desk.names
    }

    pub(crate) fn connections(&self) -> &[Arc<Connection>] {
        &self.connections
    }

    fn queue(&self, tag: u8) -> Option<&Arc<Queue>> {
        self.queues.get(usize::from(tag)).or(self.queues.first())
    }

    pub(crate) fn nodes_script(&self) -> &Script {
        &self.nodes
    }

    pub(crate) fn usage_script(&self) -> &Script {
        &self.usage
    }

    pub(crate) fn top_script(&self) -> &Script {
        &self.top
    }

    /// Whether a tag's state is this deployment's, as far as is known: where not, nothing is written.
    pub(crate) fn is_joined(&self, tag: u8) -> bool {
        self.desk.marks.is_joined(tag)
    }

    /// Whether the tags are on several servers, so that a call must keep to one of them.
    pub(crate) fn is_sharded(&self) -> bool {
        self.queues.len() > 1
    }

    /// Runs a script that is safe to repeat.
    pub(crate) async fn run(&self, script: &Script, keys: Vec<Bytes>, args: Vec<Value>, timeout: Duration) -> Result<Bytes, Failure> {
        let Some(connection) = connection::usable(&self.connections) else { return Err(Failure::other("no connection")) };
        let result = connection.run(script, By::Sha, keys.clone(), args.clone(), timeout).await;
        let failure = match result {
            Err(failure) if failure.is_unsent => failure,
            result => return result,
        };
        if failure.kind == RedisErrorKind::Redirected {
            connection.refresh_map().await;
        }
        connection.run(script, By::Text, keys, args, timeout).await
    }

    /// The state id of a tag, made where there is none.
    async fn take_up(&self, tag: u8, log: &LogId, timeout: Duration) -> Result<Bytes, BucketError> {
        let names = &self.desk.names;
        let proposed = StateMark { state_id: random_id()?, log_id: log.0.as_ref().to_owned(), tags: names.tags() };
        let stored = self.run(&self.join, vec![names.state_id(tag)], vec![Wire(proposed.clone()).into()], timeout).await;
        let stored = stored.map_err(|failure| self.not_joined(failure))?;
        let mark = Wire::<StateMark>::from_value(Value::Bytes(stored.clone())).map_err(|_| self.foreign())?.0;
        if mark.tags != proposed.tags {
            let text = format!(
                "this redis was set up with redis.tags = {} under the prefix \"{}\", but the setting is {}: set it to {0}, or use another redis.prefix",
                mark.tags,
                names.prefix(),
                proposed.tags
            );
            return Err(BucketError::Unusable(text.into()));
        }
        if mark.log_id != proposed.log_id {
            let text = format!(
                "the buckets under the prefix \"{}\" of this redis belong to another change log, that is to another postgres: use another redis.prefix, or delete them if that postgres is gone",
                names.prefix()
            );
            return Err(BucketError::Unusable(text.into()));
        }
        Ok(stored)
    }

    fn not_joined(&self, failure: Failure) -> BucketError {
        if failure.is_wrong_type() { self.foreign() } else { failure.into() }
    }

    fn foreign(&self) -> BucketError {
        let text = format!(
            "the state id under the prefix \"{}\" of this redis is none of Tollgate's: use another redis.prefix",
            self.desk.names.prefix()
        );
        BucketError::Unusable(text.into())
    }

    /// Joins all tags, within `patience`; tags that do not answer are left out where each of them
    /// stands for itself.
    async fn join_all(&self, log: &LogId, patience: Duration) -> Result<Vec<usize>, BucketError> {
        // All at once: one after the other they would take as many round trips as there are tags.
        let tags = (0..self.desk.names.tags()).map(|tag| async move {
            let taken_up = tokio::time::timeout(patience, self.take_up(tag, log, patience)).await;
            taken_up.unwrap_or(Err(BucketError::Deadline))
        });
        let (taken_up, demoted) = future::join(future::join_all(tags), self.refuse_demoted()).await;
        demoted?;
        let marks = marks_of(taken_up, self.queues.len() > 1)?;
        let left_out = marks.iter().enumerate().filter(|(_, mark)| mark.is_none()).map(|(tag, _)| tag).collect();
        if self.desk.marks.join(marks) {
            self.losses.fetch_add(1, Ordering::AcqRel);
            self.desk.metrics.redis_state_lost();
            tracing::warn!("redis has another state than the one that this node had joined: that one is lost");
        }
        Ok(left_out)
    }

    async fn join_and_note(&self, log: LogId, patience: Duration) -> Result<Vec<usize>, BucketError> {
        let result = self.join_all(&log, patience).await;
        let mut joined = self.joined();
        joined.unusable = match &result {
            Err(BucketError::Unusable(why)) => Some(Arc::clone(why)),
            _ => None,
        };
        if result.is_ok() {
            joined.log = Some(log);
        }
        result
    }

    /// One attempt. Where the state is lost the fence is raised in the new one, but decisions stay
    /// `Lost` until the gate has joined: what it holds is older than the loss.
    async fn try_fence(&self, fence: &Fence, timeout: Duration) -> Result<Duration, BucketError> {
        let tag = self.desk.names.tag_of(&fence.placed_by);
        let log = self.joined().log.clone();
        let (mark, is_joined) = match (self.desk.marks.of(tag), log) {
            (Some(mark), _) => (mark, true),
            (None, Some(log)) => (self.take_up(tag, &log, timeout).await?, false),
            (None, None) => return Err(BucketError::Unreachable("the buckets have not been joined yet".into())),
        };
        let names = &self.desk.names;
        let owners = names.record(tag, SubjectKind::Owner, &fence.placed_by);
        let keys = vec![names.state_id(tag), names.record(tag, fence.kind, &fence.id), names.reset(tag, fence.kind, &fence.id), owners];
        let ttl = if fence.reset { self.fence_ttl.max(RESET_TTL_MIN) } else { self.fence_ttl };
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let numbers = [fence.generation, u64::from(fence.revoked), u64::from(fence.reset), ttl_ms];
        let args = std::iter::once(mark.clone()).chain(numbers.map(|number| number.to_string().into())).map(Value::Bytes).collect();
        let told = self.run(&self.fence, keys, args, timeout).await?;
        if let Some(good_for) = good_for(&told) {
            return Ok(good_for);
        }
        if is_joined {
            self.desk.marks.forget(tag, &mark);
        }
        Err(BucketError::Unreachable("redis has lost its state".into()))
    }

    fn joined(&self) -> std::sync::MutexGuard<'_, Joined> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BucketStore for RedisBuckets {
    fn decide(&self, decision: Decision, deadline: Instant) -> PendingOutcome {
        self.decide_leased(decision, Leasing::default(), deadline)
    }

    fn decide_leased(&self, decision: Decision, leasing: Leasing, deadline: Instant) -> PendingOutcome {
        let bursts = decision.subjects.iter().filter_map(|subject| subject.limits.burst_min());
        if bursts.min().is_some_and(|burst| burst < decision.cost.tokens()) {
            // No bucket can say anything to that; the gate refuses it before.
            return Ok(Outcome::Broken).into();
        }
        // Askers of a named thing bring limits of their own under one generation: a slice of one list
        // would be missing from the other.
        let lease = if decision.subjects.first.kind == SubjectKind::Named { LeaseAsk::default() } else { leasing.ask };
        let request = Request { lease, ..Request::new(decision, &self.desk.names) };
        if !self.desk.marks.is_joined(request.tag) {
            let left_out = self.desk.marks.is_left_out(request.tag);
            return if left_out { Err(left_out_now()) } else { Ok(Outcome::Lost) }.into();
        }
        let (asker, told) = oneshot::channel();
        let Some(queue) = self.queue(request.tag) else { return Err(BucketError::QueueFull).into() };
        let mut entry = Entry::new(request, deadline, asker, leasing.realm);
        entry.keep_settle_of(self.desk.realm());
        if queue.push(entry) {
            return PendingOutcome::Waiting(told);
        }
        self.desk.metrics.redis_error(RedisErrorKind::QueueFull);
        Err(BucketError::QueueFull).into()
    }

    fn raise_fence(&self, fence: Fence, deadline: Instant) -> BoxFuture<'_, Result<Duration, BucketError>> {
        Box::pin(async move {
            let timing = Step::RedisFence.begin();
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(BucketError::Deadline);
                }
                let error = match self.try_fence(&fence, left.min(FENCE_ATTEMPT)).await {
                    Ok(good_for) => {
                        timing.end(true);
                        return Ok(good_for);
                    }
                    Err(error) => error,
                };
                if matches!(error, BucketError::Unusable(_)) || Instant::now() + FENCE_PAUSE >= deadline {
                    return Err(error);
                }
                sleep(FENCE_PAUSE).await;
            }
        })
    }

    fn join(&self, log: LogId) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async move {
            let left_out = self.join_and_note(log, UPKEEP_TIMEOUT).await?;
            if left_out.is_empty() { Ok(()) } else { Err(left_out_now()) }
        })
    }

    fn join_within(&self, log: LogId, patience: Duration) -> BoxFuture<'_, Result<Vec<usize>, BucketError>> {
        Box::pin(self.join_and_note(log, patience.min(UPKEEP_TIMEOUT)))
    }

    fn connection_count(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    fn realm(&self) -> u64 {
        self.desk.realm()
    }

    fn look(&self) -> BoxFuture<'_, Result<StoreLook, BucketError>> {
        Box::pin(self.look_at_servers())
    }

    fn lanes(&self) -> usize {
        self.queues.len()
    }

    fn lane(&self, placed_by: &str) -> usize {
        if self.queues.len() == 1 { 0 } else { self.desk.names.tag_of(placed_by).into() }
    }

    fn probe(&self, lane: usize) -> BoxFuture<'_, Result<(), BucketError>> {
        let key = self.desk.names.state_id(u8::try_from(lane).unwrap_or(0));
        // Each time by the next of the connections that are up: one may hang while others answer.
        let turn = self.probes.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let connection = connection::usable_in_turn(&self.connections, turn);
            let connection = connection.ok_or_else(|| BucketError::Unreachable("no connection".into()))?;
            connection.probe(key, UPKEEP_TIMEOUT).await.map_err(Failure::into_error)
        })
    }

    fn health(&self) -> BoxFuture<'_, BucketsHealth> {
        Box::pin(async move {
            if let Some(why) = &self.joined().unusable {
                return BucketsHealth::Down(why.to_string());
            }
            let Some(connection) = connection::usable(&self.connections) else { return BucketsHealth::Down("no connection".into()) };
            match connection.probe(self.desk.names.state_id(0), UPKEEP_TIMEOUT).await {
                Ok(()) => BucketsHealth::Ok,
                Err(failure) => {
                    let why = connection.trouble().map_or_else(|| failure.into_error().to_string(), |why| why.to_string());
                    BucketsHealth::Down(why)
                }
            }
        })
    }
}

fn workers<'a>(
    options: &'a Options,
    desk: &'a Arc<Desk>,
    queues: &'a [Arc<Queue>],
    connections: &'a [Arc<Connection>],
) -> impl Iterator<Item = Worker> + 'a {
    let batch_max = options.batch_max.clamp(1, ENTRIES_MAX);
    let places = queues.iter().zip(0..=u8::MAX).flat_map(|place| (0..options.calls_in_flight.max(1)).map(move |_| place));
    places.zip((0..connections.len()).cycle()).map(move |((queue, tag), first)| Worker {
        desk: Arc::clone(desk),
        queue: Arc::clone(queue),
        connections: connections.iter().cycle().skip(first).take(connections.len()).cloned().collect(),
        batch_max,
        tag,
    })
}

/// The state ids of all tags. What waiting does not mend is told before what it may; of parts that
/// stand for themselves, some may be missing.
fn marks_of(taken_up: Vec<Result<Bytes, BucketError>>, stand_alone: bool) -> Result<Vec<Option<Bytes>>, BucketError> {
    let is_unusable = |result: &&Result<Bytes, BucketError>| matches!(result, Err(BucketError::Unusable(_)));
    let worst = taken_up.iter().find(is_unusable).or_else(|| taken_up.iter().find(|result| result.is_err()));
    let may_miss = stand_alone && taken_up.iter().any(Result::is_ok);
    match worst {
        Some(Err(error)) if !may_miss || matches!(error, BucketError::Unusable(_)) => Err(error.clone()),
        _ => Ok(taken_up.into_iter().map(Result::ok).collect()),
    }
}

fn left_out_now() -> BucketError {
    BucketError::Unreachable("its part of redis has not been joined".into())
}

/// How long slices from before a fence are good, as the script tells it (`A` and microseconds); `None` where it tells
/// anything else.
fn good_for(told: &[u8]) -> Option<Duration> {
    let us = std::str::from_utf8(told).ok()?.strip_prefix('A')?.parse().ok()?;
    Some(Duration::from_micros(us).min(SLICE_LIFE))
}

/// 128 random bits in hex.
fn random_id() -> Result<String, BucketError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| BucketError::Unreachable("the system gives no random bits".into()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_change_waits_for_longer_than_a_slice_lives_whatever_a_server_says() {
        assert_eq!(good_for(b"A0"), Some(Duration::ZERO));
        assert_eq!(good_for(b"A399999"), Some(Duration::from_micros(399_999)));
        assert_eq!(good_for(b"A18446744073709551615"), Some(Duration::from_millis(400)));
        for other in [&b"X"[..], b"A", b"A-1", b"A18446744073709551616", b"\xff"] {
            assert_eq!(good_for(other), None, "{other:?}");
        }
    }

    #[test]
    fn of_several_errors_the_one_that_waiting_does_not_mend_is_told() {
        let away = || Err(BucketError::Unreachable("away".into()));
        let foreign = || Err(BucketError::Unusable("foreign".into()));
        let mark = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        assert_eq!(marks_of(vec![mark("a"), mark("b")], false).expect("no error"), [Some("a".into()), Some("b".into())]);
        assert!(matches!(marks_of(vec![mark("a"), away()], false), Err(BucketError::Unreachable(_))));
        assert_eq!(marks_of(vec![mark("a"), away()], true).expect("one is there"), [Some("a".into()), None]);
        assert!(matches!(marks_of(vec![away(), away()], true), Err(BucketError::Unreachable(_))));
        for stand_alone in [false, true] {
            assert!(matches!(marks_of(vec![away(), foreign(), mark("a")], stand_alone), Err(BucketError::Unusable(_))));
        }
    }
}
