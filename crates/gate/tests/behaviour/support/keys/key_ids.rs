//! The stream of ids, each page as the store is at that moment.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use tollgate_gate::ports::{BoxFuture, KeyIdStream, KeyStoreError, StreamTurn};
use tollgate_keys::{KeyId, Status};

use super::{Door, FakeKeys, State, lock, pass};

#[derive(Debug)]
pub(super) struct FakeKeyIds {
    state: Arc<Mutex<State>>,
    held: Arc<Mutex<Option<Door>>>,
    page_time: Duration,
    last_change_ms: u64,
    /// As in Postgres: first all that are active, then all that are suspended.
    status: Status,
    after: Option<KeyId>,
    revoked_after: Option<KeyId>,
}

impl FakeKeys {
    pub(super) fn open_stream(&self, turn: StreamTurn) -> Result<Option<Box<dyn KeyIdStream>>, KeyStoreError> {
        self.is_up()?;
        if turn == StreamTurn::Alone && self.stream_taken.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.streams.fetch_add(1, Ordering::SeqCst);
        let (state, held) = (self.state.clone(), self.held_page.clone());
        let last_change_ms = lock(&state).last_ms;
        let page_time = *lock(&self.page_time);
        Ok(Some(Box::new(FakeKeyIds { state, held, page_time, last_change_ms, status: Status::Active, after: None, revoked_after: None })))
    }
}

impl FakeKeyIds {
    fn page(&mut self, count_max: u32) -> Vec<KeyId> {
        let state = lock(&self.state);
        loop {
            let wanted = |id: &&KeyId| {
                state.keys.get(id.as_str()).is_some_and(|key| key.lifecycle.status == self.status)
                    && self.after.as_ref().is_none_or(|after| *id > after)
            };
            let ids: Vec<KeyId> = state.keys.keys().filter(wanted).take(count_max as usize).cloned().collect();
            if !ids.is_empty() || self.status == Status::Suspended {
                self.after = ids.last().cloned().or(self.after.take());
                return ids;
            }
            (self.status, self.after) = (Status::Suspended, None);
        }
    }
}

impl KeyIdStream for FakeKeyIds {
    fn last_change_ms(&self) -> u64 {
        self.last_change_ms
    }

    fn count(&mut self) -> BoxFuture<'_, Result<u64, KeyStoreError>> {
        Box::pin(async {
            let state = lock(&self.state);
            Ok(state.keys.values().filter(|key| key.lifecycle.status != Status::Revoked).count() as u64)
        })
    }

    fn next_revoked_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(async move {
            let state = lock(&self.state);
            let wanted = |id: &&KeyId| {
                state.keys.get(id.as_str()).is_some_and(|key| key.lifecycle.status == Status::Revoked)
                    && self.revoked_after.as_ref().is_none_or(|after| *id > after)
            };
            let ids: Vec<KeyId> = state.keys.keys().filter(wanted).take(count_max as usize).cloned().collect();
            self.revoked_after = ids.last().cloned().or(self.revoked_after.take());
            Ok(ids)
        })
    }

    fn next_page(&mut self, count_max: u32) -> BoxFuture<'_, Result<Vec<KeyId>, KeyStoreError>> {
        Box::pin(async move {
            let page = self.page(count_max);
            pass(&self.held).await;
            tokio::time::sleep(self.page_time).await;
            tokio::task::yield_now().await;
            Ok(page)
        })
    }
}
