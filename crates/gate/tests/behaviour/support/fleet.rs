//! Several nodes that run, over one key store, one bucket store and one bus.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tollgate_gate::GateOptions;

use super::{FakeBuckets, FakeBus, FakeKeys, Hub, Node, TestClock, options};

/// One node of a fleet, and its own ways to what it stands on.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) buckets: Arc<FakeBuckets>,
    pub(crate) bus: Arc<FakeBus>,
}

/// Nodes whose loops run until it is dropped. Time must be paused.
#[derive(Debug)]
pub(crate) struct RunningFleet {
    pub(crate) keys: Arc<FakeKeys>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: TestClock,
    pub(crate) members: Vec<Member>,
    _loops: JoinSet<()>,
}

impl RunningFleet {
    pub(crate) async fn start(count: usize) -> Self {
        Self::with(count, |_| {}).await
    }

    /// Nodes that have taken up their stores and are in touch.
    pub(crate) async fn with(count: usize, change: impl Fn(&mut GateOptions)) -> Self {
        let (clock, keys, hub) = (TestClock::new(), Arc::new(FakeKeys::new()), Arc::new(Hub::default()));
        let first = Arc::new(FakeBuckets::new(clock.micros()));
        let (mut members, mut loops) = (Vec::new(), JoinSet::new());
        for place in 0..count {
            let buckets = if place == 0 { first.clone() } else { Arc::new(first.beside()) };
            let bus = hub.ear();
            let mut options = options();
            change(&mut options);
            let node = Node::on_bus((keys.clone(), buckets.clone()), bus.clone(), &clock, options);
            let gate = node.gate.clone();
            loops.spawn(async move { gate.run().await });
            members.push(Member { node, buckets, bus });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Self { keys, hub, clock, members, _loops: loops }
    }

    pub(crate) fn node(&self, place: usize) -> &Node {
        &self.members[place].node
    }
}

impl Member {
    /// Why it is out of touch, if it is.
    pub(crate) fn out_of_touch(&self) -> Option<String> {
        let components = self.node.gate.readiness().components;
        let pubsub = components.into_iter().find(|component| component.component == tollgate_api::Component::Pubsub);
        pubsub.expect("a node with a bus says how it is").reason
    }
}
