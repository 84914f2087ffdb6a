//! A bucket store that does as it is told, and as buckets in memory do where it is told nothing.
//!
//! Each node has its own, before one server: a node that has joined a state that is gone is told
//! so, whoever has made a new one.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tollgate_embedded::{MemoryBuckets, MemoryBucketsBounds, MicrosClock};
use tollgate_gate::ports::{
    BoxFuture, BucketError, BucketStore, BucketsHealth, Decision, Fence, Leasing, LogId, Outcome, PendingOutcome, StoreLook,
};

use tollgate_limits::LeaseAsk;

use super::{lock, within};

/// What the next decision comes to.
#[derive(Debug)]
pub(crate) enum Script {
    /// What the buckets say.
    Pass,
    /// This.
    Tell(Result<Outcome, BucketError>),
    /// What the test will say.
    Later(oneshot::Receiver<Result<Outcome, BucketError>>),
}

#[derive(Debug)]
pub(crate) struct FakeBuckets {
    clock: MicrosClock,
    server: Arc<Mutex<Arc<MemoryBuckets>>>,
    joined: Mutex<Option<Arc<MemoryBuckets>>>,
    script: Mutex<VecDeque<Script>>,
    down: Mutex<Option<BucketError>>,
    connections: AtomicU64,
    joins: AtomicUsize,
    joins_hang: AtomicBool,
    lanes: usize,
    /// Lanes that do not answer, and those that did not when the others were joined.
    silent: Mutex<BTreeSet<usize>>,
    left_out: Mutex<BTreeSet<usize>>,
    decisions: Mutex<Vec<Decision>>,
    /// What was asked for along with each of them.
    leasings: Mutex<Vec<Leasing>>,
    fences: Mutex<Vec<Fence>>,
    arrivals: watch::Sender<usize>,
    look: Mutex<StoreLook>,
    losses: AtomicU64,
}

pub(crate) fn memory(clock: MicrosClock) -> MemoryBuckets {
    MemoryBuckets::new(MemoryBucketsBounds { subjects_max: 100_000, fence_ttl: Duration::from_mins(70) }, clock)
}

impl FakeBuckets {
    pub(crate) fn new(clock: MicrosClock) -> Self {
        let server = Arc::new(Mutex::new(Arc::new(memory(clock.clone()))));
        Self::before(server, clock)
    }

    /// Another node's way to the same server.
    pub(crate) fn beside(&self) -> Self {
        Self::before(self.server.clone(), self.clock.clone())
    }

    fn before(server: Arc<Mutex<Arc<MemoryBuckets>>>, clock: MicrosClock) -> Self {
        Self {
            server,
            clock,
            joined: Mutex::default(),
            script: Mutex::default(),
            down: Mutex::default(),
            connections: AtomicU64::new(0),
            joins: AtomicUsize::new(0),
            joins_hang: AtomicBool::new(false),
            lanes: 1,
            silent: Mutex::default(),
            left_out: Mutex::default(),
            decisions: Mutex::default(),
            leasings: Mutex::default(),
            fences: Mutex::default(),
            arrivals: watch::Sender::new(0),
            look: Mutex::default(),
            losses: AtomicU64::new(0),
        }
    }

    /// In so many parts.
    pub(crate) fn in_lanes(self, lanes: usize) -> Self {
        Self { lanes, ..self }
    }

    /// From now on a part has no answer, or has one again.
    pub(crate) fn silence(&self, lane: usize, silent: bool) {
        let mut lanes = lock(&self.silent);
        if silent {
            lanes.insert(lane);
        } else {
            lanes.remove(&lane);
        }
    }

    /// Scripts the next decisions, in order.
    pub(crate) fn script(&self, scripts: impl IntoIterator<Item = Script>) {
        lock(&self.script).extend(scripts);
    }

    /// The next decisions get these answers.
    pub(crate) fn tell(&self, answers: impl IntoIterator<Item = Outcome>) {
        self.script(answers.into_iter().map(|answer| Script::Tell(Ok(answer))));
    }

    /// The next decision waits until the test has said what comes of it.
    pub(crate) fn tell_later(&self) -> oneshot::Sender<Result<Outcome, BucketError>> {
        let (sender, receiver) = oneshot::channel();
        self.script([Script::Later(receiver)]);
        sender
    }

    /// From now on every call fails so, or works again.
    pub(crate) fn set_down(&self, error: Option<BucketError>) {
        *lock(&self.down) = error;
    }

    pub(crate) fn go_down(&self) {
        self.set_down(Some(BucketError::Unreachable("no route".into())));
    }

    /// All state is gone, as after a flush: every decision is `Lost` until the store is joined.
    pub(crate) fn lose_state(&self) {
        *lock(&self.server) = Arc::new(memory(self.clock.clone()));
    }

    /// Another server answers, with another state.
    pub(crate) fn fail_over(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    /// What the servers say of themselves from now on.
    pub(crate) fn says(&self, look: StoreLook) {
        *lock(&self.look) = look;
    }

    /// From now on joining has no answer, or has one again.
    pub(crate) fn hang_joins(&self, hang: bool) {
        self.joins_hang.store(hang, Ordering::SeqCst);
    }

    pub(crate) fn joins(&self) -> usize {
        self.joins.load(Ordering::SeqCst)
    }

    /// Every decision that was asked for, peeks too.
    pub(crate) fn decisions(&self) -> Vec<Decision> {
        lock(&self.decisions).clone()
    }

    pub(crate) fn asked(&self) -> usize {
        lock(&self.decisions).len()
    }

    pub(crate) fn peeks(&self) -> usize {
        lock(&self.decisions).iter().filter(|decision| decision.peek).count()
    }

    /// Every fence that was raised.
    pub(crate) fn fences(&self) -> Vec<Fence> {
        lock(&self.fences).clone()
    }

    /// Waits until so many decisions have been asked for, ever.
    pub(crate) async fn until_asked(&self, count: usize) {
        let mut arrivals = self.arrivals.subscribe();
        within(arrivals.wait_for(|asked| *asked >= count)).await.expect("the sender lives");
    }

    /// The server's state, if it is the one that this node has joined.
    fn state(&self) -> Option<Arc<MemoryBuckets>> {
        let (server, joined) = (lock(&self.server).clone(), lock(&self.joined).clone());
        joined.filter(|joined| Arc::ptr_eq(joined, &server))
    }

    /// What was asked for along with each decision.
    pub(crate) fn leasings(&self) -> Vec<Leasing> {
        lock(&self.leasings).clone()
    }

    /// As the store does: no slice is handed back to another state.
    fn kept(&self, leasing: Leasing) -> Leasing {
        let settle = leasing.ask.settle.filter(|_| leasing.realm == self.realm());
        Leasing { ask: LeaseAsk { settle, ..leasing.ask }, ..leasing }
    }

    fn is_up(&self) -> Result<(), BucketError> {
        lock(&self.down).clone().map_or(Ok(()), Err)
    }
}

impl BucketStore for FakeBuckets {
    fn decide(&self, decision: Decision, deadline: Instant) -> PendingOutcome {
        self.decide_leased(decision, Leasing::default(), deadline)
    }

    fn decide_leased(&self, decision: Decision, leasing: Leasing, deadline: Instant) -> PendingOutcome {
        lock(&self.leasings).push(leasing);
        lock(&self.decisions).push(decision.clone());
        self.arrivals.send_modify(|asked| *asked += 1);
        if let Err(error) = self.is_up() {
            return Err(error).into();
        }
        let lane = self.lane(decision.subjects.placed_by());
        if lock(&self.silent).contains(&lane) {
            return Err(BucketError::Deadline).into();
        }
        if lock(&self.left_out).contains(&lane) {
            return Err(BucketError::Unreachable("left out".into())).into();
        }
        let scripted = lock(&self.script).pop_front();
        match scripted.unwrap_or(Script::Pass) {
            Script::Pass => {
                self.state().map_or(Ok(Outcome::Lost).into(), |state| state.decide_leased(decision, self.kept(leasing), deadline))
            }
            Script::Tell(answer) => answer.into(),
            Script::Later(answer) => PendingOutcome::Waiting(answer),
        }
    }

    fn raise_fence(&self, fence: Fence, deadline: Instant) -> BoxFuture<'_, Result<Duration, BucketError>> {
        Box::pin(async move {
            self.is_up()?;
            let lost = || BucketError::Unusable("the state is lost".into());
            let good_for = self.state().ok_or_else(lost)?.raise_fence(fence.clone(), deadline).await?;
            lock(&self.fences).push(fence);
            Ok(good_for)
        })
    }

    fn join(&self, log: LogId) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async move {
            self.is_up()?;
            if self.joins_hang.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            self.joins.fetch_add(1, Ordering::SeqCst);
            let state = lock(&self.server).clone();
            // A new state is of whatever log its first node follows; tests that change logs go on with the old.
            drop(state.join(log).await);
            let before = lock(&self.joined).replace(state.clone());
            self.losses.fetch_add(u64::from(before.is_some_and(|before| !Arc::ptr_eq(&before, &state))), Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(())
        })
    }

    fn join_within(&self, log: LogId, patience: Duration) -> BoxFuture<'_, Result<Vec<usize>, BucketError>> {
        Box::pin(async move {
            let joined = tokio::time::timeout(patience, self.join(log)).await;
            joined.unwrap_or(Err(BucketError::Deadline))?;
            let silent = lock(&self.silent).clone();
            if !silent.is_empty() {
                tokio::time::sleep(patience).await;
            }
            lock(&self.left_out).clone_from(&silent);
            Ok(silent.into_iter().collect())
        })
    }

    fn lanes(&self) -> usize {
        self.lanes
    }

    fn lane(&self, placed_by: &str) -> usize {
        placed_by.bytes().map(usize::from).sum::<usize>() % self.lanes
    }

    fn probe(&self, lane: usize) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async move {
            self.is_up()?;
            if lock(&self.silent).contains(&lane) { Err(BucketError::Deadline) } else { Ok(()) }
        })
    }

    fn connection_count(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    fn look(&self) -> BoxFuture<'_, Result<StoreLook, BucketError>> {
        Box::pin(async { self.is_up().map(|()| lock(&self.look).clone()) })
    }

    fn health(&self) -> BoxFuture<'_, BucketsHealth> {
        Box::pin(async { self.is_up().map_or_else(|error| BucketsHealth::Down(error.to_string()), |()| BucketsHealth::Ok) })
    }
}
