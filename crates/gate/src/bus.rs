//! This node's side of the bus: what it hears sends it to the change log, what it says is where
//! the log has something to read.
//!
//! Nothing that is heard is believed. It can make this node read the log, no more often than
//! [`READ_PAUSE`] allows, whatever anybody sends.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tollgate_api::{BusEvent, ChangeEvent, HeartbeatEvent};
use tollgate_keys::{KeyId, OwnerName, RandomnessError, random_bytes};

use crate::{
    gate::GateShared,
    ports::{Bus, Change, ChangeKind, Fence, Heard, LogId, SubjectKind},
    record::KeyRecord,
    touch::{OUT_OF_TOUCH_POLL, OutOfTouch, Touch},
};

/// From one read of the log that the bus has asked for to the next.
const READ_PAUSE: Duration = Duration::from_millis(20);
/// How long a change from the log may go unheard before this node tells of it, and the most that
/// a node waits beyond that: so one node tells, and the others hear it.
const UNHEARD_PATIENCE: Duration = Duration::from_millis(100);
const JITTER_MAX_MS: u64 = 100;
/// Changes that wait to be told of, and positions that are remembered as told, at most.
const UNHEARD_MAX: usize = 10_000;
const HEARD_MAX: usize = 4096;
/// How long one word may take to be said.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) bus: Option<Arc<dyn Bus>>,
    /// Random: tells this process from all others.
    pub(crate) node: String,
    /// Keeps the nodes of a fleet from speaking all at once.
    jitter: Duration,
    ear: Mutex<Ear>,
    started: Instant,
    /// [`Touch::holds_until`], in microseconds from `started`: what every decision looks at.
    holds_until_us: AtomicU64,
    /// [`Touch::takes_until`], likewise.
    takes_until_us: AtomicU64,
    /// Changes that somebody has told of.
    told: AtomicU64,
    /// Told when something was heard that calls for a read of the log.
    read_due: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Ear {
    touch: Touch,
    /// The last positions that somebody has told of.
    heard: VecDeque<u64>,
    /// Changes from the log that nobody has told of yet, and when this node will.
    unheard: VecDeque<(Instant, Change)>,
}

impl Line {
    pub(crate) fn new(bus: Option<Arc<dyn Bus>>) -> Result<Self, RandomnessError> {
        let bits = u64::from_be_bytes(random_bytes()?);
        let jitter = Duration::from_millis(bits % JITTER_MAX_MS);
        let (node, ear, read_due) = (format!("{bits:016x}"), Mutex::default(), tokio::sync::Notify::new());
        Ok(Self {
            bus,
            node,
            jitter,
            ear,
            started: Instant::now(),
            holds_until_us: AtomicU64::new(0),
            takes_until_us: AtomicU64::new(0),
            told: AtomicU64::new(0),
            read_due,
        })
    }

    /// Whether there are others to hear.
    pub(crate) fn is_there(&self) -> bool {
        self.bus.is_some()
    }

    /// Why this node is out of touch; never on a node that is alone.
    pub(crate) fn trouble(&self) -> Option<OutOfTouch> {
        self.bus.as_ref().and_then(|_| self.with_ear(|ear| ear.touch.trouble(Instant::now())))
    }

    /// Whether what this node holds may be used at `now` without a word to the store: changes would
    /// have been heard of. Always on a node that is alone. Cheap.
    pub(crate) fn is_in_touch(&self, now: Instant) -> bool {
        self.bus.is_none() || self.us(now) < self.holds_until_us.load(Ordering::Acquire)
    }

    /// Whether more may be taken to be used without a word to the store. Always on a node that is
    /// alone. Cheap.
    pub(crate) fn may_take(&self, now: Instant) -> bool {
        self.bus.is_none() || self.us(now) < self.takes_until_us.load(Ordering::Acquire)
    }

    /// Rises with every change that somebody tells of, before it is read.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    fn us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    /// The log was read to its head by a read that began at `started`.
    pub(crate) fn caught_up(&self, applied: u64, started: Instant) {
        self.with_ear(|ear| ear.touch.caught_up(applied, started));
    }

    /// A change from the log has its fence; unless somebody tells of it, this node will.
    pub(crate) fn owe(&self, change: Change) {
        let due = Instant::now() + UNHEARD_PATIENCE + self.jitter;
        if self.is_there() {
            self.with_ear(|ear| ear.owe(due, change));
        }
    }

    fn with_ear<T>(&self, listen: impl FnOnce(&mut Ear) -> T) -> T {
        let mut ear = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        let told = listen(&mut ear);
        let us = |until: Option<Instant>| until.map_or(0, |until| self.us(until));
        self.holds_until_us.store(us(ear.touch.holds_until()), Ordering::Release);
        self.takes_until_us.store(us(ear.touch.takes_until()), Ordering::Release);
        told
    }
}

impl Ear {
    fn owe(&mut self, due: Instant, change: Change) {
        // Of too many the oldest are dropped: everybody reads the log.
        if self.unheard.len() >= UNHEARD_MAX {
            self.unheard.pop_front();
        }
        self.unheard.push_back((due, change));
    }

    fn note(&mut self, position: u64) {
        if self.heard.len() >= HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(position);
    }

    /// The next change that it is time to tell of.
    fn overdue(&mut self, now: Instant) -> Option<Change> {
        while let Some((_, change)) = self.unheard.pop_front_if(|(due, _)| *due <= now) {
            if !self.heard.contains(&change.position) {
                return Some(change);
            }
        }
        None
    }

    fn next_due(&self, jitter: Duration) -> Option<Instant> {
        let told = self.unheard.front().map(|(due, _)| *due);
        told.into_iter().chain(self.touch.speaks_at(jitter)).min()
    }
}

impl GateShared {
    /// Hears what the others say, speaks where it must, and reads the log when that calls for it.
    /// Never returns.
    pub(crate) async fn keep_in_touch(&self) {
        let Some(bus) = &self.line.bus else { return std::future::pending().await };
        let listen = async {
            loop {
                self.hear(bus.next().await);
            }
        };
        tokio::join!(listen, self.speak(&**bus), self.read_when_due());
    }

    fn hear(&self, heard: Heard) {
        let (line, now) = (&self.line, Instant::now());
        match heard {
            Heard::Event(BusEvent::HealthChanged(told)) => return self.show(told),
            Heard::Event(event) if self.hear_event(&event, now) => {}
            // A newer version's: if it was about the log, the next heartbeat says so too.
            Heard::Event(_) | Heard::Unreadable => return,
            Heard::Joined => line.with_ear(|ear| ear.touch.join(now)),
            Heard::Parted => line.with_ear(|ear| ear.touch.part()),
            Heard::Overflowed => line.with_ear(|ear| ear.touch.miss(now)),
        }
        line.read_due.notify_one();
    }

    /// Whether the log should be read.
    fn hear_event(&self, event: &BusEvent, now: Instant) -> bool {
        if self.log_id().is_none_or(|log| *log.0 != *event.log_id()) {
            // Either of us reads a log that is gone, and only the key store knows who.
            return true;
        }
        let (position, applied) = (event.position(), self.cache.position());
        self.cool(event);
        self.line.with_ear(|ear| {
            if !matches!(event, BusEvent::Heartbeat(_)) {
                ear.note(position);
            }
            let is_due = ear.touch.hear(position, applied, now);
            if is_due && matches!(event, BusEvent::OwnerUpdated(_)) {
                ear.touch.suspect_all();
            }
            is_due
        })
    }

    /// What is held of a key that somebody says has changed is used no more, before the change is read.
    fn cool(&self, event: &BusEvent) {
        let change = match event {
            BusEvent::Updated(change) | BusEvent::Rotated(change) | BusEvent::Revoked(change) => change,
            BusEvent::OwnerUpdated(_) => {
                self.line.told.fetch_add(1, Ordering::AcqRel);
                return;
            }
            BusEvent::Created(_) | BusEvent::Heartbeat(_) | BusEvent::HealthChanged(_) => return,
        };
        self.line.told.fetch_add(1, Ordering::AcqRel);
        if let Some(key_id) = change.key_id.as_deref().and_then(|key_id| KeyId::parse(key_id).ok()) {
            self.cache.cool(&key_id);
        }
    }

    async fn speak(&self, bus: &dyn Bus) {
        loop {
            let now = Instant::now();
            let due = self.line.with_ear(|ear| ear.next_due(self.line.jitter)).unwrap_or(now);
            // New debts may be due earlier than what is waited for.
            tokio::time::sleep_until(due.min(now + UNHEARD_PATIENCE)).await;
            self.speak_if_due(bus).await;
        }
    }

    async fn speak_if_due(&self, bus: &dyn Bus) {
        let Some(log) = self.log_id() else { return tokio::time::sleep(UNHEARD_PATIENCE).await };
        let now = Instant::now();
        if let Some(change) = self.line.with_ear(|ear| ear.overdue(now)) {
            self.publish(bus, self.event_of(&change, &log)).await;
            return;
        }
        let is_due = self.line.with_ear(|ear| {
            let is_due = ear.touch.speaks_at(self.line.jitter).is_none_or(|at| at <= now);
            if is_due {
                ear.touch.spoke(now);
            }
            is_due
        });
        if is_due {
            let (node, position) = (self.line.node.clone(), self.cache.position());
            let beat = HeartbeatEvent { log_id: log.0.as_ref().to_owned(), position, node };
            self.publish(bus, BusEvent::Heartbeat(beat)).await;
        }
    }

    /// False where nobody could be told.
    pub(crate) async fn publish(&self, bus: &dyn Bus, event: BusEvent) -> bool {
        let said = tokio::time::timeout(PUBLISH_TIMEOUT, bus.publish(event)).await;
        if let Ok(Err(error)) = &said {
            tracing::debug!(%error, "nobody was told");
        }
        matches!(said, Ok(Ok(())))
    }

    /// Tells the others of a change that this node has made and fenced, before it is answered.
    pub(crate) async fn announce_fenced(&self, kind: ChangeKind, fence: &Fence) {
        let (key_id, owner) = match fence.kind {
            SubjectKind::Owner => (None, OwnerName::parse(&fence.id).ok()),
            SubjectKind::Key | SubjectKind::Named if fence.placed_by == fence.id => (KeyId::parse(&fence.id).ok(), None),
            SubjectKind::Key | SubjectKind::Named => (KeyId::parse(&fence.id).ok(), OwnerName::parse(&fence.placed_by).ok()),
        };
        self.announce(&Change { position: fence.generation, at_ms: 0, kind, key_id, owner }).await;
    }

    /// The same of a change of a key that calls for no fence; false where nobody could be told.
    pub(crate) async fn announce_key(&self, kind: ChangeKind, record: &KeyRecord) -> bool {
        let (key_id, owner) = (Some(record.key_id.clone()), record.owner.clone());
        self.announce(&Change { position: record.generation, at_ms: 0, kind, key_id, owner }).await
    }

    async fn announce(&self, change: &Change) -> bool {
        match (&self.line.bus, self.log_id()) {
            (None, _) => true,
            (Some(bus), Some(log)) => self.publish(&**bus, self.event_of(change, &log)).await,
            (Some(_), None) => false,
        }
    }

    fn event_of(&self, change: &Change, log: &LogId) -> BusEvent {
        let event = ChangeEvent {
            log_id: log.0.as_ref().to_owned(),
            position: change.position,
            key_id: change.key_id.as_ref().map(ToString::to_string),
            owner: change.owner.as_ref().map(ToString::to_string),
            node: self.line.node.clone(),
        };
        match change.kind {
            ChangeKind::Created => BusEvent::Created(event),
            ChangeKind::Updated | ChangeKind::Reset => BusEvent::Updated(event),
            ChangeKind::Rotated => BusEvent::Rotated(event),
            ChangeKind::Revoked => BusEvent::Revoked(event),
            ChangeKind::OwnerUpdated => BusEvent::OwnerUpdated(event),
        }
    }

    /// Reads the log when something was heard, and every 500 ms while out of touch.
    async fn read_when_due(&self) {
        loop {
            let is_due = tokio::time::timeout(OUT_OF_TOUCH_POLL, self.line.read_due.notified()).await.is_ok();
            if !is_due && self.line.trouble().is_none() {
                continue;
            }
            if let Err(error) = self.catch_up().await {
                tracing::debug!(%error, "the change log cannot be read");
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
    }
}
