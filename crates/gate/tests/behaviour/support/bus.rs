//! A bus in memory whose events can be lost, doubled, held back and cut off.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};
use tollgate_api::BusEvent;
use tollgate_gate::ports::{BoxFuture, Bus, BusError, Heard};

use super::lock;

/// What becomes of one event on its way to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    Twice,
    /// Arrives after the next one that does.
    Late,
}

type Decide = Box<dyn FnMut(&BusEvent) -> Fate + Send>;
type Look = Box<dyn FnMut(&BusEvent) + Send>;

/// Where all nodes speak and listen.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    ears: Mutex<Vec<Arc<FakeBus>>>,
    said: Mutex<Vec<(Instant, BusEvent)>>,
}

pub(crate) struct FakeBus {
    hub: Arc<Hub>,
    waiting: Mutex<VecDeque<Heard>>,
    late: Mutex<Vec<Heard>>,
    arrived: Notify,
    is_cut: AtomicBool,
    fate: Mutex<Decide>,
    on_publish: Mutex<Look>,
}

impl std::fmt::Debug for FakeBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeBus").field("is_cut", &self.is_cut).finish_non_exhaustive()
    }
}

impl Hub {
    /// One node's way to it, connected.
    pub(crate) fn ear(self: &Arc<Self>) -> Arc<FakeBus> {
        let ear = Arc::new(FakeBus {
            hub: self.clone(),
            waiting: Mutex::new(VecDeque::from([Heard::Joined])),
            late: Mutex::default(),
            arrived: Notify::new(),
            is_cut: AtomicBool::new(false),
            fate: Mutex::new(Box::new(|_| Fate::Arrives)),
            on_publish: Mutex::new(Box::new(|_| {})),
        });
        lock(&self.ears).push(ear.clone());
        ear
    }

    /// Everything that was said, and when.
    pub(crate) fn said(&self) -> Vec<(Instant, BusEvent)> {
        lock(&self.said).clone()
    }

    /// Changes that were told of.
    pub(crate) fn changes(&self) -> Vec<BusEvent> {
        self.said().into_iter().map(|(_, event)| event).filter(|event| !matches!(event, BusEvent::Heartbeat(_))).collect()
    }

    pub(crate) fn heartbeats(&self) -> usize {
        self.said().len() - self.changes().len()
    }

    /// Says something to everybody, as anybody can who reaches Redis.
    pub(crate) fn say(&self, event: &BusEvent) {
        lock(&self.said).push((Instant::now(), event.clone()));
        for ear in lock(&self.ears).iter() {
            ear.hear(event);
        }
    }
}

impl FakeBus {
    fn hear(&self, event: &BusEvent) {
        if self.is_cut.load(Ordering::SeqCst) {
            return;
        }
        let heard = || Heard::Event(event.clone());
        match lock(&self.fate)(event) {
            Fate::Lost => {}
            Fate::Late => lock(&self.late).push(heard()),
            Fate::Arrives => self.push([heard()]),
            Fate::Twice => self.push([heard(), heard()]),
        }
    }

    fn push(&self, heard: impl IntoIterator<Item = Heard>) {
        let late: Vec<Heard> = lock(&self.late).drain(..).collect();
        lock(&self.waiting).extend(heard.into_iter().chain(late));
        self.arrived.notify_one();
    }

    /// From now on events fare so.
    pub(crate) fn set_fate(&self, fate: impl FnMut(&BusEvent) -> Fate + Send + 'static) {
        *lock(&self.fate) = Box::new(fate);
    }

    /// Looks at what this node says, just before it is heard.
    pub(crate) fn on_publish(&self, look: impl FnMut(&BusEvent) + Send + 'static) {
        *lock(&self.on_publish) = Box::new(look);
    }

    /// The connection is lost, or there again.
    pub(crate) fn set_cut(&self, cut: bool) {
        if self.is_cut.swap(cut, Ordering::SeqCst) != cut {
            lock(&self.late).clear();
            self.push([if cut { Heard::Parted } else { Heard::Joined }]);
        }
    }

    /// The queue was full, and what waits is lost.
    pub(crate) fn overflow(&self) {
        lock(&self.waiting).clear();
        self.push([Heard::Overflowed]);
    }
}

impl Bus for FakeBus {
    fn publish(&self, event: BusEvent) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            if self.is_cut.load(Ordering::SeqCst) {
                return Err(BusError("cut".into()));
            }
            lock(&self.on_publish)(&event);
            self.hub.say(&event);
            tokio::task::yield_now().await;
            Ok(())
        })
    }

    fn next(&self) -> BoxFuture<'_, Heard> {
        Box::pin(async move {
            loop {
                if let Some(heard) = lock(&self.waiting).pop_front() {
                    return heard;
                }
                self.arrived.notified().await;
            }
        })
    }
}
