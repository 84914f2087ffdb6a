//! Counts in memory, which a test may cut off, and whose answers it may lose.

use std::sync::Mutex;

use tokio::time::Instant;
use tollgate_embedded::MemoryUsage;
use tollgate_gate::ports::{BoxFuture, NodeId, TopName, TopSummaries, UsageBatch, UsageError, UsageRecord, UsageStore};
use tollgate_keys::KeyId;

use super::lock;

/// All nodes of a fleet share one.
#[derive(Debug)]
pub(crate) struct FakeUsage {
    inner: MemoryUsage,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_down: bool,
    parts: usize,
    silent: Option<usize>,
    loses_answers: bool,
    rows: Vec<usize>,
}

impl Default for FakeUsage {
    fn default() -> Self {
        Self { inner: MemoryUsage::new(1_000_000), state: Mutex::default() }
    }
}

impl FakeUsage {
    /// From now on it cannot be reached, or can again.
    pub(crate) fn set_down(&self, is_down: bool) {
        lock(&self.state).is_down = is_down;
    }

    /// From now on it has so many parts, of which one may have no answer.
    pub(crate) fn in_parts(&self, parts: usize, silent: Option<usize>) {
        let mut state = lock(&self.state);
        (state.parts, state.silent) = (parts, silent);
    }

    /// From now on it does what it is told, and nobody hears of it; or it is heard again.
    pub(crate) fn lose_answers(&self, loses_answers: bool) {
        lock(&self.state).loses_answers = loses_answers;
    }

    /// The rows of each batch that came.
    pub(crate) fn rows(&self) -> Vec<usize> {
        lock(&self.state).rows.clone()
    }

    fn reached(&self, part: usize) -> Result<(), UsageError> {
        let state = lock(&self.state);
        if state.is_down || state.silent == Some(part) { Err(UsageError("no route".into())) } else { Ok(()) }
    }

    fn heard<T>(&self, answer: Result<T, UsageError>) -> Result<T, UsageError> {
        if lock(&self.state).loses_answers { Err(UsageError("no answer".into())) } else { answer }
    }
}

impl UsageStore for FakeUsage {
    fn parts(&self) -> usize {
        lock(&self.state).parts.max(1)
    }

    fn part(&self, key_id: &KeyId) -> usize {
        key_id.as_str().bytes().map(usize::from).sum::<usize>() % self.parts()
    }

    fn top_part(&self, name: &TopName) -> usize {
        name.owner.as_ref().map_or(0, |owner| owner.as_str().len() % self.parts())
    }

    fn add(&self, batch: UsageBatch, deadline: Instant) -> BoxFuture<'_, Result<u64, UsageError>> {
        Box::pin(async move {
            self.reached(batch.part)?;
            lock(&self.state).rows.push(batch.rows.len());
            let added = self.inner.add(batch, deadline).await;
            self.heard(added)
        })
    }

    fn read(&self, key_id: KeyId, deadline: Instant) -> BoxFuture<'_, Result<UsageRecord, UsageError>> {
        Box::pin(async move {
            self.reached(self.part(&key_id))?;
            self.inner.read(key_id, deadline).await
        })
    }

    fn put_top(&self, name: TopName, node: NodeId, summary: Box<[u8]>, deadline: Instant) -> BoxFuture<'_, Result<(), UsageError>> {
        Box::pin(async move {
            self.reached(self.top_part(&name))?;
            let put = self.inner.put_top(name, node, summary, deadline).await;
            self.heard(put)
        })
    }

    fn tops(&self, names: Vec<TopName>, deadline: Instant) -> BoxFuture<'_, Result<TopSummaries, UsageError>> {
        Box::pin(async move {
            names.iter().try_for_each(|name| self.reached(self.top_part(name)))?;
            self.inner.tops(names, deadline).await
        })
    }
}
