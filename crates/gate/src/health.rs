//! How the parts of a node are.

use std::{sync::PoisonError, time::Duration};

use tollgate_api::{Component, ComponentHealth, ComponentState};
use tollgate_telemetry::{Component as Label, HealthState};

use crate::{
    breaker::not_asked,
    gate::{DecisionSource, GateShared},
    link::Trouble,
    ports::BucketsHealth,
    touch::OutOfTouch,
};

/// The longest that a question about health may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

impl GateShared {
    /// Asks the bucket store how it is, and tells the metrics of all components.
    pub(crate) async fn keep_health(&self) {
        let answer = tokio::time::timeout(HEALTH_TIMEOUT, self.buckets.health()).await;
        let down = match answer {
            Ok(BucketsHealth::Ok) => None,
            Ok(BucketsHealth::Down(why)) => Some(why),
            Err(_) => Some(format!("no answer within {} s", HEALTH_TIMEOUT.as_secs())),
        };
        *self.buckets_down.lock().unwrap_or_else(PoisonError::into_inner) = down;
        self.tell_health();
    }

    /// Every part, and every guard rail, on or off.
    pub(crate) fn whole_health(&self) -> Vec<ComponentHealth> {
        let rails = self.guard_rails().into_iter().map(|(rail, why)| degraded(rail, why));
        self.components().into_iter().chain(rails).collect()
    }

    /// Tells the metrics how something is.
    pub(crate) fn measure(&self, one: &ComponentHealth) {
        self.metrics.health(label(one.component), state(one.state));
    }

    /// What there is to tell: every part, and the guard rails that are on.
    pub(crate) fn health(&self) -> Vec<ComponentHealth> {
        let mut whole = self.whole_health();
        whole.retain(|one| !one.component.is_guard_rail() || one.state != ComponentState::Ok);
        whole
    }

    /// Every part of the node.
    fn components(&self) -> Vec<ComponentHealth> {
        let trouble = self.link.trouble();
        let keys_down = match &trouble {
            Some(Trouble::Keys(reason)) => Some(reason.to_string()),
            _ if !self.is_log_current() => Some("the change log has not been read lately".to_owned()),
            _ => None,
        };
        if self.options.source == DecisionSource::Local {
            return [told(Component::KeyFile, keys_down)].into_iter().chain(self.followed()).collect();
        }
        let asked = self.buckets_down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let buckets_down = match trouble {
            Some(Trouble::Buckets(reason)) => Some(reason.to_string()),
            _ if self.breaker.is_any_open() => Some(not_asked().to_string()),
            _ => asked,
        };
        let stores = [told(Component::Redis, buckets_down), told(Component::Postgres, keys_down)];
        stores.into_iter().chain(self.followed()).collect()
    }

    /// What following the changes of others has to tell, the filter that is made of them, the hashing.
    fn followed(&self) -> impl Iterator<Item = ComponentHealth> {
        let reason = || self.line.trouble().map(|why| OutOfTouch::reason(why).to_owned());
        let pubsub = self.line.is_there().then(|| degraded(Component::Pubsub, reason()));
        let hashing = degraded(Component::Argon2Pool, self.marks.overload().map(ToOwned::to_owned));
        pubsub.into_iter().chain([self.filter.health(), hashing])
    }
}

fn told(component: Component, down: Option<String>) -> ComponentHealth {
    let state = if down.is_some() { ComponentState::Down } else { ComponentState::Ok };
    ComponentHealth { component, state, reason: down, since: None }
}

fn degraded(component: Component, why: Option<String>) -> ComponentHealth {
    let state = if why.is_some() { ComponentState::Degraded } else { ComponentState::Ok };
    ComponentHealth { component, state, reason: why, since: None }
}

fn state(state: ComponentState) -> HealthState {
    match state {
        ComponentState::Ok => HealthState::Ok,
        ComponentState::Degraded => HealthState::Degraded,
        ComponentState::Down => HealthState::Down,
    }
}

fn label(component: Component) -> Label {
    match component {
        Component::Redis => Label::Redis,
        Component::Postgres => Label::Postgres,
        Component::KeyFile => Label::KeyFile,
        Component::Pubsub => Label::Pubsub,
        Component::BloomFilter => Label::BloomFilter,
        Component::Argon2Pool => Label::Argon2Pool,
        Component::RedisEviction => Label::RedisEviction,
        Component::RedisStateLost => Label::RedisStateLost,
        Component::ChangeLogRewound => Label::ChangeLogRewound,
        Component::UntrustedForwarder => Label::UntrustedForwarder,
        Component::ClockSkew => Label::ClockSkew,
        Component::UnlimitedKeys => Label::UnlimitedKeys,
    }
}
