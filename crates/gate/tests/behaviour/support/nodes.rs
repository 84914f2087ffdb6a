//! A registry of nodes that does as it is told.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use tollgate_gate::ports::{BoxFuture, BucketError, NodeId, NodeRegistry};

use super::lock;

/// All nodes of a fleet share one.
#[derive(Debug, Default)]
pub(crate) struct FakeNodes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    live: Vec<NodeId>,
    ttl: Option<Duration>,
    is_down: bool,
    told: BTreeMap<NodeId, String>,
}

impl FakeNodes {
    /// From now on it cannot be read, or can again.
    pub(crate) fn set_down(&self, is_down: bool) {
        lock(&self.0).is_down = is_down;
    }

    /// All nodes have been forgotten.
    pub(crate) fn forget_all(&self) {
        lock(&self.0).live.clear();
    }

    /// What a node has told of itself is this from now on.
    pub(crate) fn forge(&self, node: NodeId, sheet: &str) {
        lock(&self.0).told.insert(node, sheet.to_owned());
    }

    /// Who is in it.
    pub(crate) fn live(&self) -> Vec<NodeId> {
        lock(&self.0).live.clone()
    }

    /// How long the last one wished to be counted.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        lock(&self.0).ttl
    }
}

impl NodeRegistry for FakeNodes {
    fn beat(&self, me: NodeId, ttl: Option<Duration>) -> BoxFuture<'_, Result<Vec<NodeId>, BucketError>> {
        Box::pin(async move {
            let mut state = lock(&self.0);
            if state.is_down {
                return Err(BucketError::Unreachable("no route".into()));
            }
            state.live.retain(|node| *node != me);
            state.ttl = ttl;
            if ttl.is_some() {
                state.live.push(me);
            }
            Ok(state.live.clone())
        })
    }

    fn tell(&self, me: NodeId, sheet: String, _ttl: Duration) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async move {
            lock(&self.0).told.insert(me, sheet);
            Ok(())
        })
    }

    fn told(&self, nodes: Vec<NodeId>) -> BoxFuture<'_, Result<Vec<Option<String>>, BucketError>> {
        Box::pin(async move {
            let state = lock(&self.0);
            Ok(nodes.iter().map(|node| state.told.get(node).cloned()).collect())
        })
    }
}
