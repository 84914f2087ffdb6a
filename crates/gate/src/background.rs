//! The gate's loops.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tollgate_api::{Component, ComponentHealth, ComponentState, Readiness};

use crate::{
    Gate,
    gate::{DecisionSource, GateShared},
    link::Trouble,
};

/// Pause between two attempts to take up a store that does not answer.
const TAKE_UP_PAUSE: Duration = Duration::from_millis(200);

impl GateShared {
    pub(crate) async fn run(&self) {
        let mut take_up = interval(TAKE_UP_PAUSE);
        let mut poll = interval(self.follower.options().poll_interval);
        take_up.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = take_up.tick() => self.keep_link().await,
                _ = poll.tick() => self.keep_current().await,
            }
        }
    }

    async fn keep_link(&self) {
        if self.signing.ring().keys().is_empty()
            && let Err(error) = self.signing.reload(&*self.keys, self.clock.unix_ms()).await
        {
            tracing::debug!(%error, "the signing keys cannot be loaded yet");
        }
        if self.is_link_trusted() {
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
        self.raise_pending().await;
        self.cache.sweep();
    }

    /// Whether the log was read not long ago.
    fn is_log_current(&self) -> bool {
        let patience = self.follower.options().poll_interval * 3 + Duration::from_secs(1);
        self.log_age().is_some_and(|age| age <= patience)
    }
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
        let shared = &*self.shared;
        let components = shared.components();
        let reason = if shared.draining.load(Ordering::Acquire) {
            Some("the node is about to stop".to_owned())
        } else if shared.link.count() == 0 || shared.signing.ring().keys().is_empty() {
            let why = components.iter().find_map(|component| component.reason.clone());
            Some(why.unwrap_or_else(|| "the stores have not been taken up yet".to_owned()))
        } else {
            None
        };
        Readiness { ready: reason.is_none(), reason, components }
    }

    /// How its components are, by asking them.
    pub async fn health(&self) -> Readiness {
        let deadline = Instant::now() + Duration::from_secs(1);
        let answer = tokio::time::timeout_at(deadline, self.shared.buckets.health()).await;
        let mut readiness = self.readiness();
        let down = match answer {
            Ok(crate::ports::BucketsHealth::Ok) => None,
            Ok(crate::ports::BucketsHealth::Down(why)) => Some(why),
            Err(_) => Some("no answer within 1 s".to_owned()),
        };
        if let (Some(why), Some(buckets)) = (down, readiness.components.first_mut()) {
            *buckets = ComponentHealth { state: ComponentState::Down, reason: Some(why), ..buckets.clone() };
        }
        readiness
    }
}

impl GateShared {
    /// The bucket store first, then the key store.
    fn components(&self) -> Vec<ComponentHealth> {
        let trouble = self.link.trouble();
        let buckets_down = match &trouble {
            Some(Trouble::Buckets(reason)) => Some(reason.to_string()),
            _ => None,
        };
        let keys_down = match &trouble {
            Some(Trouble::Keys(reason)) => Some(reason.to_string()),
            _ if !self.is_log_current() => Some("the change log has not been read lately".to_owned()),
            _ => None,
        };
        let (buckets, keys) = match self.options.source {
            DecisionSource::Redis => (Component::Redis, Component::Postgres),
            DecisionSource::Local => (Component::Memory, Component::KeyFile),
        };
        vec![told(buckets, buckets_down), told(keys, keys_down)]
    }
}

fn told(component: Component, down: Option<String>) -> ComponentHealth {
    let state = if down.is_some() { ComponentState::Down } else { ComponentState::Ok };
    ComponentHealth { component, state, reason: down }
}
