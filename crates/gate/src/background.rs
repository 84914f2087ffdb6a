//! The gate's loops.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};
use tollgate_api::{Component, ComponentHealth, Readiness};

use crate::{Gate, gate::GateShared, link::Trouble, registry::BEATS_PER_TTL};

/// Pause between two attempts to take up a store that does not answer.
const TAKE_UP_PAUSE: Duration = Duration::from_millis(200);

const NOT_TAKEN_UP: &str = "the stores have not been taken up yet";
const FILTER_IS_LOADED: &str = "the ids of the keys are being loaded";
/// A node makes the first one itself, so what is there cannot be opened.
const NO_SIGNING_KEY: &str = "the signing keys cannot be opened: keys.master_key_file must be that of all nodes of this store";

impl GateShared {
    /// Loops side by side, so that none waits for a store that only another one needs.
    pub(crate) async fn run(&self) {
        let (mut linking, mut fencing) = (every(TAKE_UP_PAUSE), every(TAKE_UP_PAUSE));
        let mut beating = every(self.options.outage.nodes_ttl / BEATS_PER_TTL);
        let mut following = every(self.follower.options().poll_interval);
        let link = async {
            loop {
                linking.tick().await;
                self.keep_link().await;
            }
        };
        let current = async {
            loop {
                following.tick().await;
                self.keep_current().await;
            }
        };
        let fences = async {
            loop {
                tokio::select! {
                    _ = fencing.tick() => {}
                    () = self.follower.fences_due.notified() => {}
                }
                self.raise_pending().await;
            }
        };
        let nodes = async {
            loop {
                beating.tick().await;
                self.keep_registered().await;
                self.look_for_losses().await;
            }
        };
        let looks = async {
            loop {
                let pause = self.keep_looking().await;
                tokio::time::sleep(pause).await;
            }
        };
        tokio::join!(
            link,
            current,
            fences,
            nodes,
            self.keep_probing(),
            self.keep_in_touch(),
            self.keep_filter(),
            self.keep_writing_uses(),
            self.keep_tally(),
            looks,
            self.keep_telling(),
            self.follow_unlimited(),
            self.keep_leases()
        );
    }

    async fn keep_writing_uses(&self) {
        let mut using = every(self.usage.interval());
        loop {
            using.tick().await;
            self.write_uses().await;
        }
    }

    async fn keep_link(&self) {
        if self.signing.ring().keys().is_empty() {
            self.reload_ring().await;
        }
        if self.is_link_trusted() {
            // A request that gave up waiting may have noted trouble after it was over.
            self.link.set_trouble(None);
            return;
        }
        let (seen, before) = (self.link.count(), self.link.trouble());
        match (self.take_up(seen).await, before) {
            (Ok(()), _) => tracing::info!("the stores are taken up"),
            (Err(trouble), None) => tracing::warn!(reason = trouble.reason(), "the stores cannot be taken up yet"),
            (Err(_), Some(_)) => {}
        }
    }

    async fn keep_current(&self) {
        if let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "the change log cannot be read");
        }
        if let Some(age) = self.log_age() {
            self.metrics.change_log_lag(age);
        }
        // Keys are added to the ring and retired from outside.
        self.reload_ring().await;
        self.keep_time().await;
        self.cache.sweep();
        self.keep_health().await;
    }

    async fn reload_ring(&self) {
        if let Err(error) = self.signing.reload(&*self.keys, self.clock.unix_ms(), self.options.lookup_timeout).await {
            tracing::debug!(%error, "the signing keys cannot be read");
        }
    }

    /// Whether the log was read not long ago.
    pub(crate) fn is_log_current(&self) -> bool {
        let patience = self.follower.options().poll_interval * 3 + Duration::from_secs(1);
        self.log_age().is_some_and(|age| age <= patience)
    }
}

/// Ticks that do not hurry after a late one.
fn every(pause: Duration) -> Interval {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Trouble {
    /// Why, in words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Keys(reason) | Self::Buckets(reason) => reason,
        }
    }
}

impl Gate {
    /// Whether this node should be sent requests, and how its components are. A node is ready
    /// once it has taken up its stores, and stays so through an outage: the outage mode answers.
    pub fn readiness(&self) -> Readiness {
        self.shared.readiness()
    }
}

impl GateShared {
    pub(crate) fn readiness(&self) -> Readiness {
        let shared = self;
        let components = shared.health();
        let reason = if shared.draining.load(Ordering::Acquire) {
            Some("the node is about to stop".to_owned())
        } else if shared.link.count() == 0 || shared.signing.ring().keys().is_empty() {
            let is_store = |one: &&ComponentHealth| one.component != Component::BloomFilter && !one.component.is_guard_rail();
            let stores = components.iter().filter(is_store);
            let why = stores.into_iter().find_map(|component| component.reason.clone());
            Some(why.unwrap_or_else(|| if shared.link.count() == 0 { NOT_TAKEN_UP } else { NO_SIGNING_KEY }.to_owned()))
        } else {
            // A filter that cannot be loaded keeps nobody from serving; one that is being loaded does.
            (!shared.filter.is_settled()).then(|| FILTER_IS_LOADED.to_owned())
        };
        Readiness { ready: reason.is_none(), reason, components }
    }
}
