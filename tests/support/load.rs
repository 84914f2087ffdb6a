//! Many requests at once over a fixed number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Answer, Api};

/// Connections of a load unless told otherwise, over all nodes together.
const CONNECTIONS: usize = 64;

/// How requests are fired: connection `i` speaks to target `i mod n`.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    targets: Vec<Api>,
    connections: usize,
    costs: Vec<u64>,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Shot {
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
    pub(crate) cost: u64,
    pub(crate) answer: Answer,
}

impl Load {
    /// Requests to `/v1/authorize` at a cost of 1, with the keys of the targets.
    pub(crate) fn on(targets: Vec<Api>) -> Self {
        Self { targets, connections: CONNECTIONS, costs: vec![1] }
    }

    /// Costs, taken in turn.
    pub(crate) fn costs(self, costs: &[u64]) -> Self {
        Self { costs: costs.to_vec(), ..self }
    }

    pub(crate) fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Fires so many.
    pub(crate) async fn fire(&self, requests: usize) -> Vec<Shot> {
        self.run(move |count| count < requests).await
    }

    /// Fires until that instant.
    pub(crate) async fn fire_until(&self, end: Instant) -> Vec<Shot> {
        self.run(move |_| Instant::now() < end).await
    }

    /// Fires until the flag is set.
    pub(crate) async fn fire_until_told(&self, stop: &Arc<AtomicBool>) -> Vec<Shot> {
        let stop = Arc::clone(stop);
        self.run(move |_| !stop.load(Ordering::Relaxed)).await
    }

    /// Fires while `goes_on` allows the next request, which it is told the number of.
    async fn run(&self, goes_on: impl Fn(usize) -> bool + Clone + Send + 'static) -> Vec<Shot> {
        let count = Arc::new(AtomicUsize::new(0));
        let mut gunners = JoinSet::new();
        for connection in 0..self.connections {
            let api = self.targets[connection % self.targets.len()].apart();
            let (count, goes_on, costs) = (Arc::clone(&count), goes_on.clone(), self.costs.clone());
            gunners.spawn(async move {
                let mut shots = Vec::new();
                loop {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(number) {
                        return shots;
                    }
                    shots.push(Shot::fire(&api, costs[number % costs.len()]).await);
                }
            });
        }
        gunners.join_all().await.into_iter().flatten().collect()
    }
}

impl Shot {
    async fn fire(api: &Api, cost: u64) -> Self {
        let query = if cost == 1 { String::new() } else { format!("cost={cost}") };
        let sent = Instant::now();
        let answer = api.authorize(&query).await;
        Self { sent, received: Instant::now(), cost, answer }
    }

    pub(crate) fn is_admitted(&self) -> bool {
        self.answer.status == 200
    }
}

/// How many were admitted. Every other answer must be 429.
#[track_caller]
pub(crate) fn admitted(shots: &[Shot]) -> usize {
    admitted_shots(shots).count()
}

/// The sum of costs that were admitted. Every other answer must be 429.
#[track_caller]
pub(crate) fn costs_admitted(shots: &[Shot]) -> u64 {
    admitted_shots(shots).map(|shot| shot.cost).sum()
}

#[track_caller]
fn admitted_shots(shots: &[Shot]) -> impl Iterator<Item = &Shot> {
    for Shot { answer, .. } in shots {
        assert!(matches!(answer.status, 200 | 429), "{}: {}", answer.status, answer.text());
    }
    shots.iter().filter(|shot| shot.is_admitted())
}
