//! Argon2 off the request path: a few blocking threads, and a queue that has an end.

use std::sync::Arc;

use tokio::sync::{Semaphore, TryAcquireError};
use tollgate_keys::{HashError, HashParams, RandomPart, SecretHash, Slot, hash_random_part, verify_secret};
use tollgate_telemetry::Metrics;

use crate::{record::KeyRecord, request::SharedKey};

/// How much hashing may go on and wait.
#[derive(Debug, Clone, Copy)]
pub struct HashingOptions {
    /// Cost of a hash made here.
    pub params: HashParams,
    /// Hashes computed at a time.
    pub threads: usize,
    /// Hashes waiting for their turn, beyond which one is refused.
    pub queue_max: usize,
}

/// Computes and checks hashes, a bounded number at a time.
#[derive(Debug, Clone)]
pub(crate) struct HashingPool {
    params: HashParams,
    threads: usize,
    places_count: usize,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    metrics: Metrics,
}

/// Why no hash came.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum HashingError {
    #[error("too many secrets wait to be hashed")]
    QueueFull,
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

impl HashingPool {
    pub(crate) fn new(options: HashingOptions, metrics: Metrics) -> Self {
        let HashingOptions { params, threads, queue_max } = options;
        let (threads, places_count) = (threads.max(1), threads.max(1) + queue_max);
        Self {
            params,
            threads,
            places_count,
            turns: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(places_count)),
            metrics,
        }
    }

    /// Which of the key's secrets that are good at `now_ms` this is, if any.
    pub(crate) async fn verify(&self, record: &KeyRecord, api_key: &SharedKey, now_ms: u64) -> Result<Option<Slot>, HashingError> {
        let hashes: Vec<(Slot, SecretHash)> = record.secrets.usable(now_ms).map(|(slot, hash)| (slot, hash.clone())).collect();
        let api_key = api_key.clone();
        let check = move || {
            for (slot, hash) in hashes {
                if verify_secret(&hash, &api_key.secret)? {
                    return Ok(Some(slot));
                }
            }
            Ok(None)
        };
        self.run(check).await
    }

    /// The hash of a new secret.
    pub(crate) async fn hash(&self, random: RandomPart) -> Result<(RandomPart, SecretHash), HashingError> {
        let params = self.params;
        self.run(move || hash_random_part(&params, &random).map(|hash| (random, hash))).await
    }

    fn tell_queue(&self) {
        let at_work = self.threads - self.turns.available_permits();
        let inside = self.places_count - self.places.available_permits();
        self.metrics.argon2_queue_depth(inside.saturating_sub(at_work));
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, HashError> + Send + 'static) -> Result<T, HashingError> {
        let place = self.places.clone().try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => HashingError::QueueFull,
            TryAcquireError::Closed => HashingError::Stopped,
        })?;
        self.tell_queue();
        let turn = self.turns.clone().acquire_owned().await;
        self.tell_queue();
        let turn = turn.map_err(|_| HashingError::Stopped)?;
        let metrics = self.metrics.clone();
        // The permits go with the work, so a caller who leaves does not let another one in.
        let done = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            let result = work();
            metrics.argon2_took(started.elapsed());
            drop((turn, place));
            result
        });
        done.await.map_err(|_| HashingError::Stopped)?.map_err(HashingError::from)
    }
}
