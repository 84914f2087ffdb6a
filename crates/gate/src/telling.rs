//! Who hears of changes of health: the log, the metrics, the other nodes, and whoever listens here.
//!
//! This is the only place that tells. What the board finds changed is told once; what another node
//! tells of itself is shown to those who listen, and changes nothing else.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
    },
    time::{Instant, MissedTickBehavior, interval},
};
use tollgate_api::{BusEvent, ComponentHealth, ComponentState, DecisionFigures, HealthChanged, HealthTold, NodeFigures, Rfc3339};
use tollgate_telemetry::Verdict;

use crate::{
    Gate,
    board::{Board, Turn, clean},
    gate::GateShared,
};

/// How often the parts are looked at: a state that is over sooner is not told.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Events that one listener may be behind before he loses the oldest.
const EVENTS_MAX: usize = 256;
/// Events that wait to be told to the other nodes; of more the oldest are dropped.
const OUTBOX_MAX: usize = 64;
/// No name of a node is longer, in characters.
const NODE_CHARS_MAX: usize = 128;

#[derive(Debug)]
pub(crate) struct Telling {
    board: Mutex<Board>,
    events: broadcast::Sender<Arc<HealthChanged>>,
    outbox: Mutex<VecDeque<HealthChanged>>,
    posted: Notify,
}

/// What a listener hears next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnTold {
    /// Something is in another state than before.
    Changed(Arc<HealthChanged>),
    /// He was too slow, and so many events are lost to him: how things are now is in
    /// [`Gate::health_report`].
    Missed(u64),
}

/// Changes of health from now on: of this node, of the fleet, and of other nodes.
#[derive(Debug)]
pub struct HealthEvents(broadcast::Receiver<Arc<HealthChanged>>);

/// How a node is.
#[derive(Debug, Clone)]
pub struct HealthReport {
    /// Its parts, and the guard rails that are on: since when and why they are as they are.
    pub components: Vec<ComponentHealth>,
    /// Its guard rails, on and off.
    pub guard_rails: Vec<ComponentHealth>,
    /// Its figures.
    pub figures: NodeFigures,
}

impl Telling {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            board: Mutex::new(Board::new(now)),
            events: broadcast::Sender::new(EVENTS_MAX),
            outbox: Mutex::default(),
            posted: Notify::new(),
        }
    }

    fn with_outbox<T>(&self, look: impl FnOnce(&mut VecDeque<HealthChanged>) -> T) -> T {
        look(&mut self.outbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// To everybody who listens at this node; nobody need.
    fn send(&self, event: HealthChanged) {
        self.events.send(Arc::new(event)).ok();
    }
}

impl GateShared {
    /// Looks at everything, and tells what has changed.
    pub(crate) fn tell_health(&self) {
        let (now, now_ms) = (Instant::now(), self.clock.unix_ms());
        // Looked at under the lock, so that who looked first is not the last to be believed.
        let mut board = self.telling.board.lock().unwrap_or_else(PoisonError::into_inner);
        for seen in self.whole_health() {
            self.measure(&seen);
            if let Some(turn) = board.see(&seen, now, now_ms) {
                self.tell(self.event_of_turn(turn, now_ms));
            }
        }
    }

    fn event_of_turn(&self, turn: Turn, now_ms: u64) -> HealthChanged {
        let Turn { component, from, to, reason } = turn;
        let node = (!component.is_of_fleet()).then(|| self.options.node.clone());
        HealthChanged { component, from, to, reason, node, at: rfc3339(now_ms), request_id: None }
    }

    fn tell(&self, event: HealthChanged) {
        let (component, reason) = (event.component.as_str(), event.reason.as_str());
        let (from, to) = (event.from, event.to);
        match to {
            ComponentState::Ok => tracing::info!(component, ?from, ?to, reason, "health changed"),
            ComponentState::Degraded => tracing::warn!(component, ?from, ?to, reason, "health changed"),
            ComponentState::Down => tracing::error!(component, ?from, ?to, reason, "health changed"),
        }
        if event.node.is_some() && self.line.is_there() {
            self.telling.with_outbox(|outbox| {
                if outbox.len() >= OUTBOX_MAX {
                    outbox.pop_front();
                }
                outbox.push_back(event.clone());
            });
            self.telling.posted.notify_one();
        }
        self.telling.send(event);
    }

    /// Tells, for ever. A bus that hangs keeps nobody here from being told.
    pub(crate) async fn keep_telling(&self) {
        let mut ticks = interval(LOOK_PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looks = async {
            loop {
                ticks.tick().await;
                self.tell_health();
            }
        };
        tokio::join!(looks, self.keep_posting());
    }

    async fn keep_posting(&self) {
        loop {
            while let (Some(bus), Some(changed)) = (&self.line.bus, self.telling.with_outbox(VecDeque::pop_front)) {
                let process = self.line.node.clone();
                self.publish(&**bus, BusEvent::HealthChanged(HealthTold { process, changed })).await;
            }
            self.telling.posted.notified().await;
        }
    }

    /// Shows what another node tells of itself. Conditions of the fleet this node finds itself.
    pub(crate) fn show(&self, told: HealthTold) {
        let HealthTold { process, mut changed } = told;
        let Some(node) = changed.node.take().filter(|_| process != self.line.node && !changed.component.is_of_fleet()) else { return };
        changed.node = Some(node.chars().take(NODE_CHARS_MAX).collect());
        changed.reason = clean(&changed.reason);
        changed.request_id = changed.request_id.filter(|id| tollgate_api::is_sane_request_id(id));
        self.telling.send(changed);
    }
}

impl HealthEvents {
    /// The next one. Never ends while the gate lives; `None` after.
    pub async fn next(&mut self) -> Option<TurnTold> {
        match self.0.recv().await {
            Ok(event) => Some(TurnTold::Changed(event)),
            Err(RecvError::Lagged(count)) => Some(TurnTold::Missed(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Gate {
    /// Listens to changes of health from now on. A listener that is more than 256 events behind loses
    /// the oldest, and is told so.
    pub fn health_events(&self) -> HealthEvents {
        HealthEvents(self.shared.telling.events.subscribe())
    }

    /// How the node is now.
    pub fn health_report(&self) -> HealthReport {
        let shared = &*self.shared;
        let whole = shared.whole_health();
        let board = shared.telling.board.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |one: ComponentHealth| ComponentHealth { since: board.since_ms(one.component).map(rfc3339), ..one };
        let (guard_rails, mut components): (Vec<_>, Vec<_>) = whole.into_iter().map(since).partition(|one| one.component.is_guard_rail());
        components.extend(guard_rails.iter().filter(|rail| rail.state != ComponentState::Ok).cloned());
        HealthReport { components, guard_rails, figures: self.figures() }
    }

    fn figures(&self) -> NodeFigures {
        let shared = &*self.shared;
        let decided = |verdict| shared.metrics.decided(verdict);
        NodeFigures {
            nodes: shared.registry.seen().nodes(std::num::NonZeroU32::MIN).get(),
            change_log_position: shared.cache.position(),
            change_log_age_ms: shared.log_age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            decisions: DecisionFigures {
                allowed: decided(Verdict::Allowed),
                limited: decided(Verdict::Limited),
                denied: decided(Verdict::Denied),
            },
            in_outage: shared.in_outage.load(std::sync::atomic::Ordering::Acquire),
            unlimited_keys: shared.unlimited.keys().iter().map(ToString::to_string).collect(),
        }
    }
}

/// An instant of the clock; one that no calendar has is 1970.
pub(crate) fn rfc3339(ms: u64) -> Rfc3339 {
    let nanos = i128::from(ms) * 1_000_000;
    Rfc3339(OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH))
}
