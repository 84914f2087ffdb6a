//! Look-ups of keys in the store: who is worth one, how many there are at a time, and one for all
//! who want to know the same.
//!
//! Most wrong keys end here, at the filter or among the misses. What the filter cannot tell and
//! whose tag proves nothing draws on a budget, and is told to come again when that is spent: nobody
//! has looked, so nobody may say that the key is wrong.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};
use tollgate_keys::KeyId;
use tollgate_telemetry::LookupOutcome;

use crate::{
    authenticate::Known,
    cache::{CachedKey, without_long_ended},
    filter::Membership,
    gate::GateShared,
    miss_cache::{MissCache, MissOptions},
    ports::{Change, FoundKey, KeyStoreError},
    preauth::TooManyFailures,
    tag::Tagger,
    verdict::{GateError, Unauthenticated},
};

mod budget;

use budget::Budget;
pub use budget::BudgetOptions;

/// What look-ups may cost.
#[derive(Debug, Clone, Copy)]
pub struct LookupOptions {
    /// Requests that may wait for a look-up, those that are looked up included; one more is
    /// answered 503.
    pub waiting_max: usize,
    /// For ids that the filter cannot tell.
    pub budget: BudgetOptions,
    /// Ids that were looked up in vain.
    pub misses: MissOptions,
}

impl Default for LookupOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        Self {
            waiting_max: 4096,
            budget: BudgetOptions { burst: 50, per_second: 10 },
            misses: MissOptions { count_max: 65_536, ttl: Duration::from_secs(10) },
        }
    }
}

#[derive(Debug)]
pub(crate) struct Lookups {
    /// Asking the store.
    turns: Semaphore,
    /// Asking or waiting to.
    places: Semaphore,
    flights: Mutex<HashMap<KeyId, Boarding>>,
    /// Tells earlier from later where a clock cannot.
    tickets: AtomicU64,
    budget: Budget,
    misses: MissCache,
}

/// One key that somebody looks up. Who holds the lock asks; the others wait for what he finds.
type Flight = tokio::sync::Mutex<Option<Landed>>;

/// A flight and the places that are taken, which are counted under the map's lock alone.
#[derive(Debug, Default)]
struct Boarding {
    flight: Arc<Flight>,
    seats: usize,
}

/// What a look-up that began with this ticket has come to.
#[derive(Debug, Clone)]
struct Landed {
    began: u64,
    outcome: Result<Option<Arc<CachedKey>>, KeyStoreError>,
}

/// What became of a wish to look a key up.
#[derive(Debug)]
pub(crate) enum Reading {
    /// As the store has it, or (then `cached`) as it was read for others.
    Found { entry: Arc<CachedKey>, cached: bool },
    /// There is no such key that may be used.
    Refused(Unauthenticated),
    /// Nobody has looked.
    NotNow(TooManyFailures),
}

/// A key that somebody wants to know of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) key_id: &'a KeyId,
    /// Whether its secret has a good tag: then it was made here, whatever has become of it.
    pub(crate) is_signed: bool,
}

/// Who may ask the store for an id.
enum Passage {
    /// Whoever waits for his turn.
    Free,
    /// Whom the budget lets.
    Budgeted,
}

impl Lookups {
    pub(crate) fn new(at_a_time_max: usize, options: LookupOptions, tagger: Tagger) -> Self {
        let at_a_time_max = at_a_time_max.max(1);
        Self {
            turns: Semaphore::new(at_a_time_max),
            places: Semaphore::new(options.waiting_max.max(at_a_time_max)),
            flights: Mutex::default(),
            tickets: AtomicU64::new(0),
            budget: Budget::new(options.budget),
            misses: MissCache::new(options.misses, tagger),
        }
    }

    /// Takes over changes from the log, in order.
    pub(crate) fn apply(&self, changes: &[Change]) {
        self.misses.apply(changes);
    }

    /// The log is another one.
    pub(crate) fn restart(&self) {
        self.misses.restart();
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<KeyId, Boarding>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn board(&self, key_id: &KeyId) -> Seat<'_> {
        let mut flights = self.flights();
        let boarding = flights.entry(key_id.clone()).or_default();
        boarding.seats += 1;
        let flight = boarding.flight.clone();
        drop(flights);
        Seat { lookups: self, key_id: key_id.clone(), flight }
    }
}

/// A place among those who wait for one key. The last to leave takes the flight away.
struct Seat<'a> {
    lookups: &'a Lookups,
    key_id: KeyId,
    flight: Arc<Flight>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut flights = self.lookups.flights();
        let Some(boarding) = flights.get_mut(&self.key_id) else { return };
        boarding.seats = boarding.seats.saturating_sub(1);
        if boarding.seats == 0 {
            flights.remove(&self.key_id);
        }
    }
}

impl GateShared {
    /// The record of a key, unless it is known without asking that there is none to be had. Turn
    /// and look-up together have a bound.
    pub(crate) async fn read(&self, wanted: Wanted<'_>, known: &Known) -> Result<Reading, GateError> {
        let passage = match self.passage(wanted, known) {
            Ok(passage) => passage,
            Err(why) => return Ok(Reading::Refused(why)),
        };
        let _place = self.lookups.places.try_acquire().map_err(|_| self.unavailable("too many keys wait to be looked up".to_owned()))?;
        let read = tokio::time::timeout(self.options.lookup_timeout, self.read_in_turn(wanted, passage, known)).await;
        read.unwrap_or_else(|_| {
            self.metrics.postgres_lookup(LookupOutcome::TimedOut);
            Err(self.unavailable("the key store did not answer in time".to_owned()))
        })
    }

    fn passage(&self, wanted: Wanted<'_>, known: &Known) -> Result<Passage, Unauthenticated> {
        let Wanted { key_id, is_signed } = wanted;
        let membership = self.filter.membership(key_id, self.clock.unix_ms());
        if membership == Membership::Tombstone {
            return Err(Unauthenticated::Tombstone);
        }
        if known.is_something() {
            // It was found a moment ago, so it is neither a stranger nor a miss.
            return Ok(Passage::Free);
        }
        let passage = match membership {
            Membership::Stranger => return Err(Unauthenticated::Stranger),
            Membership::Known => Passage::Free,
            // A good tag says that it was made here, whatever this node's clock says of its instant.
            Membership::Newer | Membership::Undated | Membership::Ahead | Membership::Formerly if is_signed => Passage::Free,
            Membership::Ahead => return Err(Unauthenticated::Unknown),
            Membership::Newer | Membership::Undated | Membership::Formerly | Membership::NoFilter | Membership::Tombstone => {
                Passage::Budgeted
            }
        };
        // Nobody can have tried a key with a good tag before it was made.
        if !is_signed && self.lookups.misses.contains(key_id, Instant::now()) {
            return Err(Unauthenticated::Unknown);
        }
        Ok(passage)
    }

    async fn read_in_turn(&self, wanted: Wanted<'_>, passage: Passage, known: &Known) -> Result<Reading, GateError> {
        let key_id = wanted.key_id;
        let asked = self.lookups.ticket();
        let seat = self.lookups.board(key_id);
        let mut landed = seat.flight.lock().await;
        if let Some(entry) = self.cache.get(key_id).filter(|entry| known.allows(&self.cache, entry)) {
            return Ok(Reading::Found { entry, cached: true });
        }
        // What was read before this request was there may have missed what it rests on.
        if let Some(Landed { outcome, .. }) = landed.as_ref().filter(|landed| landed.began > asked) {
            return self.reading_of(outcome.clone());
        }
        if let Passage::Budgeted = passage
            && let Err(too_many) = self.lookups.budget.take(Instant::now())
        {
            return Ok(Reading::NotNow(too_many));
        }
        let _turn = self.lookups.turns.acquire().await.map_err(|_| self.unavailable("the gate has stopped".to_owned()))?;
        let began = self.lookups.ticket();
        let outcome = self.look_up(wanted, known).await;
        *landed = Some(Landed { began, outcome: outcome.clone() });
        self.reading_of(outcome)
    }

    /// Asks the store, and keeps what it says.
    async fn look_up(&self, wanted: Wanted<'_>, known: &Known) -> Result<Option<Arc<CachedKey>>, KeyStoreError> {
        let Wanted { key_id, is_signed } = wanted;
        let (mark, miss_mark) = (self.cache.mark(), self.lookups.misses.mark());
        let found = self.keys.find(key_id.clone()).await;
        self.metrics.postgres_lookup(match &found {
            Ok(Some(_)) => LookupOutcome::Found,
            Ok(None) => LookupOutcome::Absent,
            Err(_) => LookupOutcome::Unavailable,
        });
        let keep = |found: FoundKey| self.cache.insert(without_long_ended(found, self.clock.unix_ms()), mark, known.entry());
        let entry = found?.map(keep);
        if entry.is_none() {
            if self.filter.membership(key_id, self.clock.unix_ms()) == Membership::Known {
                self.metrics.bloom_false_positive();
            }
            if !is_signed {
                self.lookups.misses.insert(key_id, miss_mark, Instant::now());
            }
        }
        Ok(entry)
    }

    fn reading_of(&self, outcome: Result<Option<Arc<CachedKey>>, KeyStoreError>) -> Result<Reading, GateError> {
        match outcome {
            Ok(Some(entry)) => Ok(Reading::Found { entry, cached: false }),
            Ok(None) => Ok(Reading::Refused(Unauthenticated::Unknown)),
            Err(error) => Err(self.unavailable(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_leave_takes_the_flight_away_whoever_has_not_let_go_of_it_yet() {
        let lookups = Lookups::new(1, LookupOptions::default(), Tagger::generate().expect("random"));
        let key_id = KeyId::from_parts(1, [0; 10]);
        let (first, second) = (lookups.board(&key_id), lookups.board(&key_id));
        // As a place still has, a moment after it was given up.
        let lingering = first.flight.clone();
        drop(first);
        assert!(lookups.flights().contains_key(&key_id));
        drop(second);
        assert!(lookups.flights().is_empty());
        drop(lingering);
    }
}
