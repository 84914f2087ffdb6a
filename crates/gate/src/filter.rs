//! Which keys can exist: what most wrong keys are refused by, without asking anybody.
//!
//! Every node holds the ids of all keys that are not revoked, in a set that forgets none and errs
//! now and then ([`ids`]), and the ids of those revoked since the set was made (tombstones). Both
//! are as of the last change of the log that this node has applied. Our ids bear the instant of
//! their row there, so an id that is not in the set is of no key at all if it is older than that
//! change, and perhaps of one that this node has not heard of yet if it is newer.
//!
//! Suspended and expired keys are in it: they may be good again by a change that this node has not
//! read yet, and must not be refused then. Nothing takes a revocation back.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::Instant;
use tollgate_keys::KeyId;
use tollgate_telemetry::Metrics;

use crate::{
    ports::{Change, ChangeKind},
    tag::Tagger,
};

mod ids;
mod keep;
mod load;

use ids::{IdSet, IdSetError, IdSetOptions};

/// How far ahead of this node's clock and of the log an id of ours may be.
const AHEAD_MAX_MS: u64 = 60_000;
/// Tombstones that are kept in any case; beyond the threshold of a rebuild there may be four times as many.
const TOMBSTONES_KEPT_MIN: usize = 65_536;

/// How the filter is sized and when it is made anew.
#[derive(Debug, Clone, Copy)]
pub struct FilterOptions {
    /// Wrong keys, of a million, that a full filter lets through to the key store: 10 to 100 000.
    pub false_positives_ppm: u32,
    /// Room for keys to come, in percent of those there are.
    pub head_room_percent: u32,
    /// The most memory of one filter, in bytes. While one is made anew there are two.
    pub bytes_max: usize,
    /// Ids that are read from the key store at a time.
    pub page_size: u32,
    /// The longest that one load may take in all.
    pub load_timeout: Duration,
    /// About how long a filter is used before it is made anew.
    pub rebuild_interval: Duration,
    /// Revoked keys that call for another filter at once, however few keys there are …
    pub tombstones_min: usize,
    /// … or so many percent of the keys, if those are more.
    pub tombstones_percent: u32,
}

impl Default for FilterOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        Self {
            false_positives_ppm: 1000,
            head_room_percent: 10,
            bytes_max: 256 << 20,
            page_size: 1000,
            load_timeout: Duration::from_mins(5),
            rebuild_interval: Duration::from_hours(1),
            tombstones_min: 1000,
            tombstones_percent: 1,
        }
    }
}

/// What the filter says of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    /// A key, or one of the few strangers that are taken for one.
    Known,
    /// Revoked.
    Tombstone,
    /// No key.
    Stranger,
    /// No key that this node has heard of; made after its last change, as its instant says.
    Newer,
    /// No key that this node has heard of; when it was made, if ever, nobody can say.
    Undated,
    /// Of a time to come.
    Ahead,
    /// Nobody can say: there is no filter. It was a key when there was one.
    Formerly,
    /// Nobody can say: there is no filter.
    NoFilter,
}

#[derive(Debug)]
pub(crate) struct KeyFilter {
    options: FilterOptions,
    tagger: Tagger,
    state: RwLock<State>,
    /// The one that is being made. Locked before `state` by whoever locks both.
    building: Mutex<Option<Loaded>>,
    /// Told when another filter is wanted at once.
    wanted: tokio::sync::Notify,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    loaded: Option<Loaded>,
    /// When it was put in place.
    built: Option<Instant>,
    /// The one from before this node lost its place in the log, until there is another. It refuses
    /// nobody; it tells who was no stranger.
    former: Option<Loaded>,
    /// The instant of the last change that was applied; 0 where that is not known.
    applied_ms: u64,
    /// How often this node has lost its place in the log.
    restarts: u64,
    /// Whether a place in the log has been taken up at all.
    is_placed: bool,
    plan: Plan,
}

/// When the next one may be begun and when it is due, and what came of the last attempt.
#[derive(Debug, Clone, Default)]
struct Plan {
    not_before: Option<Instant>,
    routine_at: Option<Instant>,
    /// Attempts that failed since one went well.
    failures: u32,
    trouble: Option<String>,
    /// Whether the first attempt has ended, well or not.
    is_settled: bool,
}

/// A filter, and who is taken for a key by it but is none.
#[derive(Debug)]
struct Loaded {
    ids: IdSet,
    /// Revoked since it was begun.
    tombstones: HashSet<u128>,
    /// Revoked before, and one of those that the set errs about: so that no revoked key is ever
    /// worth a look-up.
    strays: HashSet<u128>,
}

impl Loaded {
    fn new(ids: IdSet) -> Self {
        Self { ids, tombstones: HashSet::new(), strays: HashSet::new() }
    }

    /// Whether it was a key that was not revoked, or one of the few that are taken for one.
    fn is_key(&self, key_id: &KeyId, tagger: &Tagger) -> bool {
        self.ids.contains(key_id) && !self.is_revoked(tagger.tag(key_id))
    }

    fn is_revoked(&self, tag: u128) -> bool {
        self.tombstones.contains(&tag) || self.strays.contains(&tag)
    }

    fn apply(&mut self, change: &Change, tagger: &Tagger, tombstones_max: usize) {
        let Some(key_id) = &change.key_id else { return };
        match change.kind {
            ChangeKind::Revoked if self.tombstones.len() < tombstones_max => {
                self.tombstones.insert(tagger.tag(key_id));
            }
            // Without one it is looked up and found revoked, as long as this filter lasts.
            ChangeKind::Revoked | ChangeKind::OwnerUpdated => {}
            ChangeKind::Created | ChangeKind::Updated | ChangeKind::Rotated | ChangeKind::Reset => self.ids.insert(key_id),
        }
    }
}

impl FilterOptions {
    fn set(&self) -> IdSetOptions {
        let Self { false_positives_ppm, head_room_percent, bytes_max, .. } = *self;
        IdSetOptions { false_positives_ppm, head_room_percent, bytes_max }
    }

    /// Revoked keys that call for another filter.
    fn tombstones_due(&self, count: u64) -> usize {
        let share = count / 100 * u64::from(self.tombstones_percent);
        usize::try_from(share).unwrap_or(usize::MAX).max(self.tombstones_min)
    }
}

impl KeyFilter {
    pub(crate) fn new(options: FilterOptions, tagger: Tagger, metrics: Metrics) -> Self {
        let wanted = tokio::sync::Notify::new();
        Self { options, tagger, state: RwLock::default(), building: Mutex::default(), wanted, metrics }
    }

    /// What it says of an id at `now_ms`.
    pub(crate) fn membership(&self, key_id: &KeyId, now_ms: u64) -> Membership {
        let state = self.read();
        let made_ms = key_id.unix_ms();
        // The log may run ahead of every clock while many keys are made in one millisecond.
        let is_ahead = made_ms.is_some_and(|made| made > now_ms.max(state.applied_ms).saturating_add(AHEAD_MAX_MS));
        let Some(loaded) = &state.loaded else {
            // Without a word from the log there is no telling how far ahead it runs.
            return match &state.former {
                _ if is_ahead && state.applied_ms > 0 => Membership::Ahead,
                Some(former) if former.is_key(key_id, &self.tagger) => Membership::Formerly,
                _ => Membership::NoFilter,
            };
        };
        if loaded.is_revoked(self.tagger.tag(key_id)) {
            return Membership::Tombstone;
        }
        if loaded.ids.contains(key_id) {
            return Membership::Known;
        }
        match made_ms {
            None => Membership::Undated,
            Some(_) if is_ahead => Membership::Ahead,
            Some(made) if made > state.applied_ms => Membership::Newer,
            Some(_) => Membership::Stranger,
        }
    }

    /// Takes over changes from the log, in order.
    pub(crate) fn apply(&self, changes: &[Change]) {
        let mut building = self.building();
        let mut state = self.write();
        let tombstones_max = self.tombstones_max(&state);
        for loaded in building.iter_mut().chain(&mut state.loaded) {
            for change in changes {
                loaded.apply(change, &self.tagger, tombstones_max);
            }
        }
        let last_ms = changes.iter().map(|change| change.at_ms).max();
        state.applied_ms = state.applied_ms.max(last_ms.unwrap_or_default());
        drop(building);
        self.tell_figures(&state);
        if self.is_overdue(&state) {
            self.wanted.notify_one();
        }
    }

    /// Takes up a key that this node has just made, before the log tells of it.
    pub(crate) fn learn(&self, key_id: &KeyId) {
        let mut building = self.building();
        let mut state = self.write();
        building.iter_mut().chain(&mut state.loaded).for_each(|loaded| loaded.ids.insert(key_id));
    }

    /// This node has lost its place in the log: what was held is of another history.
    pub(crate) fn restart(&self) {
        *self.building() = None;
        let mut state = self.write();
        let State { restarts, plan, loaded, former, .. } = std::mem::take(&mut *state);
        let (plan, former) = (Plan { is_settled: plan.is_settled, ..Plan::default() }, loaded.or(former));
        *state = State { restarts: restarts + 1, is_placed: true, plan, former, ..State::default() };
        self.tell_figures(&state);
        self.wanted.notify_one();
    }

    /// Ids, bytes and age; zeros and none where there is no filter.
    pub(crate) fn figures(&self) -> (u64, u64, Option<Duration>) {
        let state = self.read();
        let Some(loaded) = &state.loaded else { return (0, 0, None) };
        (loaded.ids.count(), loaded.ids.bytes() as u64, state.built.map(|built| built.elapsed()))
    }

    fn tombstones_max(&self, state: &State) -> usize {
        let count = state.loaded.as_ref().map_or(0, |loaded| loaded.ids.count());
        self.options.tombstones_due(count).saturating_mul(4).max(TOMBSTONES_KEPT_MIN)
    }

    /// Whether a filter is there and another one should take its place.
    fn is_overdue(&self, state: &State) -> bool {
        state
            .loaded
            .as_ref()
            .is_some_and(|loaded| loaded.ids.is_saturated() || loaded.tombstones.len() > self.options.tombstones_due(loaded.ids.count()))
    }

    fn tell_figures(&self, state: &State) {
        let (count, bytes) = state.loaded.as_ref().map_or((0, 0), |loaded| (loaded.ids.count(), loaded.ids.bytes()));
        self.metrics.bloom(count, bytes);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn building(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.building.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
