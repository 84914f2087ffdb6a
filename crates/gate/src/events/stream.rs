//! One stream: what its reader is told next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tollgate_api::{
    ChangesMissed, Component, ComponentHealth, EndReason, HealthChanged, HealthSnapshot, MissedReason, StreamEnded, StreamEvent,
};

use super::{
    Place,
    feed::{Page, Row},
    guest::Guest,
    seats::Seat,
};
use crate::{
    Gate,
    telling::{HealthEvents, TurnTold, rfc3339},
    verdict::Identity,
};

/// How often it is looked at whether the reader may still read. A change of his key that this node
/// has applied is looked at sooner.
const REVIEW_PAUSE: Duration = Duration::from_secs(1);
/// Pause after a reading of the log that came to nothing.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// What a reader is told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An event.
    Event {
        /// The place in the change log that the reader has come to by it, where it says one.
        position: Option<u64>,
        /// The event.
        event: Arc<StreamEvent>,
    },
    /// A sign of life.
    Beat {
        /// The place in the change log that the reader has come to, where he does not know it yet.
        position: Option<u64>,
    },
}

/// A stream of events. It ends by itself when its reader may read no more, and when the node stops.
#[derive(Debug)]
pub struct EventStream {
    gate: Gate,
    _seat: Seat,
    guest: Guest,
    health: HealthEvents,
    place: watch::Receiver<Place>,
    ending: watch::Receiver<bool>,
    reviews: Interval,
    beats: Interval,
    opened: Instant,
    /// When it was last looked at whether the reader may still read.
    reviewed_at: Instant,
    /// The last position that was passed, told or not.
    position: u64,
    restarts: u64,
    /// The last position that the reader knows of.
    known_position: Option<u64>,
    /// When there may be something to read in the log.
    read_at: Option<Instant>,
    /// What is to be told, a page of the log at most.
    queue: VecDeque<Told>,
    is_begun: bool,
    is_over: bool,
}

impl EventStream {
    pub(super) fn new(gate: Gate, seat: Seat, identity: &Identity, after: Option<u64>) -> Self {
        let (now, shared) = (Instant::now(), &gate.shared);
        let place = shared.events.place.subscribe();
        let Place { position, restarts, .. } = *place.borrow();
        Self {
            health: gate.health_events(),
            ending: shared.events.ending.subscribe(),
            reviews: every(now, REVIEW_PAUSE),
            beats: every(now, shared.options.events.heartbeat_interval),
            guest: Guest::new(identity, now),
            opened: now,
            reviewed_at: now,
            position: after.unwrap_or(position),
            restarts,
            known_position: after,
            read_at: Some(now),
            queue: VecDeque::new(),
            is_begun: false,
            is_over: false,
            place,
            _seat: seat,
            gate,
        }
    }

    /// What is told next; `None` at the end.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if self.is_begun && !self.is_over && self.reviewed_at.elapsed() >= REVIEW_PAUSE * 2 {
                // He was slow to take what came before, and may have lost the right to the rest.
                self.review().await;
            }
            if let Some(told) = self.queue.pop_front() {
                return Some(told);
            }
            if self.is_over {
                return None;
            }
            self.turn().await;
        }
    }

    /// Waits for something to do, and does it.
    async fn turn(&mut self) {
        if !self.is_begun {
            return self.begin().await;
        }
        let read_at = self.read_at;
        tokio::select! {
            biased;
            () = until_ending(&mut self.ending) => self.end(EndReason::NodeStops),
            told = self.health.next() => self.hear(told),
            _ = self.reviews.tick() => self.review().await,
            () = due(read_at) => self.read().await,
            _ = self.place.changed() => self.read_at = Some(Instant::now()),
            _ = self.beats.tick() => self.beat(),
        }
    }

    async fn begin(&mut self) {
        self.is_begun = true;
        self.review().await;
        if self.is_over {
            return;
        }
        self.show_health();
        if self.position > self.place.borrow().position {
            // He may come from a node that is ahead of this one.
            let reading = self.gate.shared.catch_up();
            if let Ok(Err(error)) = tokio::time::timeout(self.gate.shared.options.lookup_timeout, reading).await {
                tracing::debug!(%error, "the change log cannot be read");
            }
        }
    }

    async fn review(&mut self) {
        self.reviewed_at = Instant::now();
        if let Err(reason) = self.guest.review(&self.gate.shared).await {
            self.end(reason);
        }
    }

    fn hear(&mut self, told: Option<TurnTold>) {
        match told {
            Some(TurnTold::Changed(changed)) => self.push_health(&changed),
            Some(TurnTold::Missed(missed)) => {
                self.push(StreamEvent::Lagged { missed });
                self.show_health();
            }
            None => self.end(EndReason::NodeStops),
        }
    }

    /// Reads on in the log, a page.
    async fn read(&mut self) {
        let place = *self.place.borrow_and_update();
        self.read_at = None;
        if place.restarts != self.restarts {
            self.restarts = place.restarts;
            return self.miss(place.resumed_after, MissedReason::LogChanged);
        }
        if self.position > place.position {
            return self.look_beyond(place);
        }
        if self.position == place.position {
            return;
        }
        match self.gate.shared.told_after(self.position, place).await {
            Ok(Page::Rows(rows)) => self.tell(&rows).await,
            Ok(Page::Missed(ChangesMissed { resumed_after, reason, .. })) => self.miss(resumed_after, reason),
            Err(error) => {
                tracing::debug!(%error, "the change log cannot be read for a stream of events");
                self.read_at = Some(Instant::now() + READ_AGAIN);
                return;
            }
        }
        self.read_at = Some(Instant::now());
    }

    /// He is beyond this node's place. Once the log has been read since he came, it ends there.
    fn look_beyond(&mut self, place: Place) {
        let is_read_since = self.gate.shared.log_age().is_some_and(|age| age <= self.opened.elapsed());
        if is_read_since {
            self.miss(place.position, MissedReason::LogChanged);
        } else {
            self.read_at = Some(Instant::now() + READ_AGAIN);
        }
    }

    async fn tell(&mut self, rows: &[Arc<Row>]) {
        // First of all: he must not read of what came after his own end.
        if rows.iter().any(|row| self.guest.is_of(&row.change)) {
            self.review().await;
        }
        if self.is_over {
            return;
        }
        for row in rows.iter().filter(|row| self.guest.may_see(&row.change)) {
            self.queue.push_back(Told::Event { position: Some(row.change.position), event: row.event.clone() });
            self.known_position = Some(row.change.position);
        }
        self.position = rows.last().map_or(self.position, |last| last.change.position);
    }

    fn miss(&mut self, resumed_after: u64, reason: MissedReason) {
        let missed = ChangesMissed { after: self.position, resumed_after, reason };
        (self.position, self.known_position) = (resumed_after, Some(resumed_after));
        let event = Arc::new(StreamEvent::ChangesMissed(missed));
        self.queue.push_back(Told::Event { position: Some(resumed_after), event });
        self.read_at = Some(Instant::now());
    }

    fn show_health(&mut self) {
        let mut components = self.gate.health_report().components;
        if !self.guest.is_operator() {
            components = components.into_iter().filter_map(component_for_tenant).collect();
        }
        let shared = &self.gate.shared;
        let snapshot = HealthSnapshot { node: shared.options.node.clone(), at: rfc3339(shared.clock.unix_ms()), components };
        // With his place: so he can come back to it though no change was told.
        let position = (self.position <= self.place.borrow().position).then_some(self.position);
        self.known_position = position.or(self.known_position);
        self.queue.push_back(Told::Event { position, event: Arc::new(StreamEvent::Health(snapshot)) });
    }

    fn push_health(&mut self, changed: &HealthChanged) {
        let told = if self.guest.is_operator() { Some(changed.clone()) } else { event_for_tenant(changed.clone()) };
        if let Some(told) = told {
            self.push(StreamEvent::HealthChanged(told));
        }
    }

    fn push(&mut self, event: StreamEvent) {
        self.queue.push_back(Told::Event { position: None, event: Arc::new(event) });
    }

    fn beat(&mut self) {
        let is_news = self.known_position != Some(self.position) && self.position <= self.place.borrow().position;
        let position = is_news.then_some(self.position);
        self.known_position = position.or(self.known_position);
        self.queue.push_back(Told::Beat { position });
    }

    fn end(&mut self, reason: EndReason) {
        self.is_over = true;
        self.queue.clear();
        self.push(StreamEvent::Ended(StreamEnded { reason }));
    }
}

/// What a tenant hears of a part: that it is so, but not why a guard rail is on, and nothing of a
/// rail that speaks of keys, which may be those of others.
fn component_for_tenant(mut health: ComponentHealth) -> Option<ComponentHealth> {
    if health.component.is_guard_rail() {
        health.reason = None;
    }
    is_for_tenants(health.component).then_some(health)
}

fn event_for_tenant(mut changed: HealthChanged) -> Option<HealthChanged> {
    if changed.component.is_guard_rail() {
        "told to operators".clone_into(&mut changed.reason);
    }
    is_for_tenants(changed.component).then_some(changed)
}

fn is_for_tenants(component: Component) -> bool {
    component != Component::UnlimitedKeys
}

async fn until_ending(ending: &mut watch::Receiver<bool>) {
    // The gate holds the other end as long as there is a stream.
    drop(ending.wait_for(|is_ending| *is_ending).await);
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn every(from: Instant, pause: Duration) -> Interval {
    let mut ticks = interval_at(from + pause, pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
