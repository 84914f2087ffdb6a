//! Argon2 off the request path: a few blocking threads, and a queue that has an end.
//!
//! What finds no place, or waits too long, is shed: nobody can say then, which is no refusal.
//! Hashes of new secrets have a lane of their own, so that guesses never keep operators from
//! making keys.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tollgate_keys::{HashError, HashParams, RandomPart, SecretHash, Slot, hash_random_part, verify_secret};
use tollgate_telemetry::{Metrics, Step};

use crate::request::SharedKey;

/// New secrets hashed at a time, beside the hashes that are checked.
const NEW_SECRETS_THREADS: usize = 1;

/// How much hashing may go on and wait.
#[derive(Debug, Clone, Copy)]
pub struct HashingOptions {
    /// Cost of a hash made here.
    pub params: HashParams,
    /// Hashes checked at a time.
    pub threads: usize,
    /// Hashes waiting for their turn, beyond which one is shed.
    pub queue_max: usize,
    /// The longest that one may wait for its turn before it is shed.
    pub wait_max: Duration,
}

/// Computes and checks hashes, a bounded number at a time.
#[derive(Debug, Clone)]
pub(crate) struct HashingPool {
    params: HashParams,
    wait_max: Duration,
    checks: Lane,
    new_secrets: Lane,
    /// Held while the depth of the queue is told, so that the last who tells it tells the newest.
    telling: Arc<Mutex<()>>,
    metrics: Metrics,
}

/// Threads and the queue before them.
#[derive(Debug, Clone)]
struct Lane {
    threads: usize,
    places_count: usize,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// A turn and the place in the queue that led to it. They go with the work, so a caller who leaves
/// does not let another one in.
#[derive(Debug)]
struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

/// Why no hash came.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum HashingError {
    #[error("too many secrets wait to be hashed")]
    QueueFull,
    #[error("no secret could be hashed in time")]
    TooLate,
    #[error("a stored hash cannot be used: {0}")]
    Hash(#[from] HashError),
    #[error("the hashing pool has stopped")]
    Stopped,
}

/// Hashes one secret where there is no pool: at the command line and at the first start.
pub(crate) async fn hash_blocking(params: HashParams, random: RandomPart) -> Result<(RandomPart, SecretHash), String> {
    let done = tokio::task::spawn_blocking(move || hash_random_part(&params, &random).map(|hash| (random, hash))).await;
    done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

impl Lane {
    fn new(threads: usize, queue_max: usize) -> Self {
        let places_count = threads + queue_max;
        Self { threads, places_count, turns: Arc::new(Semaphore::new(threads)), places: Arc::new(Semaphore::new(places_count)) }
    }

    fn waiting(&self) -> usize {
        let at_work = self.threads - self.turns.available_permits();
        (self.places_count - self.places.available_permits()).saturating_sub(at_work)
    }
}

impl HashingPool {
    pub(crate) fn new(options: HashingOptions, metrics: Metrics) -> Self {
        let HashingOptions { params, threads, queue_max, wait_max } = options;
        let (checks, new_secrets) = (Lane::new(threads.max(1), queue_max), Lane::new(NEW_SECRETS_THREADS, queue_max));
        Self { params, wait_max, checks, new_secrets, telling: Arc::default(), metrics }
    }

    /// Which of these hashes this is the secret of, if any.
    pub(crate) async fn verify(&self, hashes: Vec<(Slot, SecretHash)>, api_key: &SharedKey) -> Result<Option<Slot>, HashingError> {
        let api_key = api_key.clone();
        let check = move || {
            for (slot, hash) in hashes {
                if verify_secret(&hash, &api_key.secret)? {
                    return Ok(Some(slot));
                }
            }
            Ok(None)
        };
        self.run(&self.checks, check).await
    }

    /// The hash of a new secret.
    pub(crate) async fn hash(&self, random: RandomPart) -> Result<(RandomPart, SecretHash), HashingError> {
        let params = self.params;
        self.run(&self.new_secrets, move || hash_random_part(&params, &random).map(|hash| (random, hash))).await
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: &Lane,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let timing = Step::Argon2.begin();
        let turn = self.turn(lane).await;
        self.tell_queue();
        let (turn, pool) = (turn?, self.clone());
        let done = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let result = work();
            pool.metrics.argon2_took(started.elapsed());
            drop(turn);
            pool.tell_queue();
            result
        });
        let hashed = done.await.map_err(|_| HashingError::Stopped)?;
        timing.end(hashed.is_ok());
        hashed.map_err(HashingError::from)
    }

    async fn turn(&self, lane: &Lane) -> Result<Turn, HashingError> {
        let place = lane.places.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => HashingError::QueueFull,
            TryAcquireError::Closed => HashingError::Stopped,
        })?;
        self.tell_queue();
        let turn = tokio::time::timeout(self.wait_max, lane.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| HashingError::TooLate)?.map_err(|_| HashingError::Stopped)?;
        Ok(Turn { _turn: turn, _place: place })
    }

    fn tell_queue(&self) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        self.metrics.argon2_queue_depth(self.checks.waiting() + self.new_secrets.waiting());
    }
}
