//! Makes a filter from the key store, beside the one in use.

use std::time::Duration;

use tokio::{task::yield_now, time::Instant};
use tollgate_keys::KeyId;

use super::{IdSet, IdSetError, KeyFilter, Loaded};
use crate::{
    gate::GateShared,
    ports::{KeyIdStream, KeyStoreError, StreamTurn},
};

/// Ids that are put in before anybody else has his turn: well under a millisecond's work.
const INSERTED_AT_A_TIME: usize = 256;

/// What came of an attempt that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Loaded,
    /// Another node is at it.
    NotOurTurn,
}

#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    #[error(transparent)]
    Set(#[from] IdSetError),
    #[error("it took longer than bloom_filter.load_timeout")]
    TimedOut,
    /// What was read is of a log that this node follows no more.
    #[error("the place in the change log was lost meanwhile")]
    Spoiled,
}

/// A filter that is being made; gone, unless it is finished, when this is dropped.
pub(super) struct Building<'a>(&'a KeyFilter);

impl Drop for Building<'_> {
    fn drop(&mut self) {
        *self.0.building() = None;
    }
}

impl GateShared {
    /// Reads all ids and puts the new filter in the place of the old one.
    pub(super) async fn load_filter(&self, turn: StreamTurn) -> Result<Attempt, LoadError> {
        let work = self.load_filter_unbounded(turn);
        tokio::time::timeout(self.filter.options.load_timeout, work).await.unwrap_or(Err(LoadError::TimedOut))
    }

    async fn load_filter_unbounded(&self, turn: StreamTurn) -> Result<Attempt, LoadError> {
        let (started, restarts) = (Instant::now(), self.filter.read().restarts);
        let Some(mut stream) = self.keys.key_ids(turn).await? else { return Ok(Attempt::NotOurTurn) };
        let count = stream.count().await?;
        let _building = self.filter.begin(count, restarts)?;
        let tempo = Pace { count, within: self.filter.options.load_timeout / 2, started };
        self.read_ids(&mut *stream, (turn == StreamTurn::Alone).then_some(tempo)).await?;
        self.read_revoked(&mut *stream).await?;
        // What the stream has missed while it was read stands in the log before its end is reached.
        self.catch_up().await?;
        self.filter.finish(stream.last_change_ms(), restarts)?;
        self.metrics.bloom_rebuilt(started.elapsed());
        Ok(Attempt::Loaded)
    }

    async fn read_ids(&self, stream: &mut dyn KeyIdStream, tempo: Option<Pace>) -> Result<(), LoadError> {
        let whole = self.filter.options.page_size;
        // Short turns, so that no request waits for a long one.
        let page_size = if tempo.is_some() { whole.div_ceil(4) } else { whole };
        let mut read = 0;
        loop {
            let turned = Instant::now();
            let page = stream.next_page(page_size).await?;
            if page.is_empty() {
                return Ok(());
            }
            for some in page.chunks(INSERTED_AT_A_TIME) {
                self.filter.add(some)?;
                yield_now().await;
            }
            read += page.len() as u64;
            if let Some(tempo) = tempo.as_ref().filter(|tempo| tempo.is_early(read)) {
                tempo.rest_after(turned).await;
            }
        }
    }
}

/// How fast a filter is made that nobody waits for, as another one serves: requests need the same
/// cores, here and in the store.
struct Pace {
    /// Ids that there are to read, about.
    count: u64,
    /// Half of the time that it may take.
    within: Duration,
    started: Instant,
}

impl Pace {
    /// Whether all are read in time if it goes on as it went until now.
    fn is_early(&self, read: u64) -> bool {
        u128::from(read) * self.within.as_millis() > u128::from(self.count) * self.started.elapsed().as_millis()
    }

    /// Rests as long as the page took, or until the timer's next millisecond.
    async fn rest_after(&self, turned: Instant) {
        tokio::time::sleep(turned.elapsed()).await;
    }
}

impl GateShared {
    async fn read_revoked(&self, stream: &mut dyn KeyIdStream) -> Result<(), LoadError> {
        loop {
            let page = stream.next_revoked_page(self.filter.options.page_size).await?;
            if page.is_empty() {
                return Ok(());
            }
            for some in page.chunks(INSERTED_AT_A_TIME) {
                self.filter.set_aside(some)?;
                yield_now().await;
            }
        }
    }
}

impl KeyFilter {
    /// From here on what is applied goes into the new filter as well.
    pub(super) fn begin(&self, count: u64, restarts: u64) -> Result<Building<'_>, LoadError> {
        let ids = IdSet::with_room_for(count, self.options.set())?;
        let mut building = self.building();
        if self.read().restarts != restarts {
            return Err(LoadError::Spoiled);
        }
        *building = Some(Loaded::new(ids));
        drop(building);
        Ok(Building(self))
    }

    pub(super) fn add(&self, key_ids: &[KeyId]) -> Result<(), LoadError> {
        let mut building = self.building();
        let loaded = building.as_mut().ok_or(LoadError::Spoiled)?;
        for key_id in key_ids {
            loaded.ids.insert(key_id);
        }
        Ok(())
    }

    /// Remembers of revoked keys those that the new filter takes for good ones: few, as it errs
    /// seldom.
    pub(super) fn set_aside(&self, key_ids: &[KeyId]) -> Result<(), LoadError> {
        let mut building = self.building();
        let loaded = building.as_mut().ok_or(LoadError::Spoiled)?;
        for key_id in key_ids.iter().filter(|key_id| loaded.ids.contains(key_id)) {
            loaded.strays.insert(self.tagger.tag(key_id));
        }
        Ok(())
    }

    /// In one step for all who ask.
    pub(super) fn finish(&self, last_change_ms: u64, restarts: u64) -> Result<(), LoadError> {
        let mut building = self.building();
        let mut state = self.write();
        let loaded = building.take().filter(|_| state.restarts == restarts).ok_or(LoadError::Spoiled)?;
        state.applied_ms = state.applied_ms.max(last_change_ms);
        state.built = Some(Instant::now());
        let old = (state.loaded.replace(loaded), state.former.take());
        self.tell_figures(&state);
        // Giving much memory back takes a while, which nobody need wait for.
        drop((state, building));
        drop(old);
        Ok(())
    }
}
