//! Clients of the balancer that go on asking until they are told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use tollgate_testkit::eventually;

use crate::support::Api;

/// Each sends one request after the other.
const CLIENTS: usize = 8;
/// No machine is so slow.
const WITHIN: Duration = Duration::from_mins(3);

/// Running clients.
#[derive(Debug)]
pub(crate) struct Clients {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Vec<String>>,
}

impl Clients {
    /// All of them ask `GET /v1/authorize` with this key.
    pub(crate) fn start(api: &Api) -> Self {
        let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            tasks.spawn(ask(api.apart(), answered.clone(), stop.clone()));
        }
        Self { answered, stop, tasks }
    }

    /// Waits for so many more answers.
    pub(crate) async fn more(&self, count: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        let waited = eventually("answers", WITHIN, async || {
            let more = self.answered.load(Ordering::Relaxed) - before;
            anyhow::ensure!(more >= count, "{more} of {count}");
            Ok(())
        });
        waited.await.unwrap();
    }

    /// Stops them. Each request must have been answered 200; says how many there were.
    pub(crate) async fn none_has_failed(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.tasks.join_all().await.concat();
        let answered = self.answered.load(Ordering::Relaxed);
        assert!(failed.is_empty(), "{} of {answered}: {:?}", failed.len(), &failed[..failed.len().min(5)]);
        answered
    }
}

/// Says which requests were not answered 200.
async fn ask(api: Api, answered: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut failed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match api.get("/v1/authorize").try_send().await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => failed.push(format!("{} {}", answer.status, answer.text())),
            Err(error) => failed.push(format!("{error:?}")),
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    failed
}
