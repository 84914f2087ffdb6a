//! What the nodes of a fleet tell of themselves, and who may read it.
//!
//! Each leaves a sheet beside its heartbeat in the registry, which goes away with it. Nothing is
//! decided by what stands there: it is shown.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;
use tollgate_api::{ComponentState, FilterFigures, NodeList, NodeStatus};

use crate::{
    Gate,
    config::ConfigError,
    control::{ControlError, Operator},
    gate::{DecisionSource, GateShared},
    ports::{BucketError, NodeId},
    registry::BEATS_PER_TTL,
    telling::rfc3339,
};

/// A longer sheet is not read, in bytes: what a node writes takes less than half of it.
const SHEET_BYTES_MAX: usize = 4096;
/// No more nodes are listed.
const LISTED_MAX: usize = 1000;
/// How long one reading of the registry may take.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// No name or version is longer, in characters.
const NAME_CHARS_MAX: usize = 128;

/// When this node started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    at_ms: u64,
    at: Instant,
}

impl Birth {
    pub(crate) fn new(at_ms: u64) -> Self {
        Self { at_ms, at: Instant::now() }
    }
}

impl Gate {
    /// The nodes that serve together. While the registry cannot be read, this one alone. Operators only.
    pub async fn nodes(&self, operator: &Operator) -> Result<NodeList, ControlError> {
        if operator.identity.owner.is_some() {
            return Err(ConfigError::forbidden("", "nodes are shown to keys without an owner").into());
        }
        let shared = &*self.shared;
        let others = tokio::time::timeout(READ_TIMEOUT, shared.told_by_others()).await;
        let (others, complete) = match others {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the registry of nodes cannot be read");
                (Vec::new(), false)
            }
            Err(_) => (Vec::new(), false),
        };
        let mut nodes: Vec<NodeStatus> = std::iter::once(shared.status()).chain(others).collect();
        let head = nodes.iter().map(|node| node.change_log_position).max().unwrap_or(0);
        for node in &mut nodes {
            node.change_log_lag = head - node.change_log_position;
        }
        nodes.sort_by(|one, other| (&one.node, &one.id).cmp(&(&other.node, &other.id)));
        Ok(NodeList { nodes, complete })
    }
}

impl GateShared {
    /// How this node is.
    pub(crate) fn status(&self) -> NodeStatus {
        let (now_ms, (keys, bytes, age)) = (self.clock.unix_ms(), self.filter.figures());
        let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let built_at = age.map(|age| rfc3339(now_ms.saturating_sub(ms(age))));
        let readiness = self.readiness();
        let bad = readiness.components.iter().filter(|one| one.state != ComponentState::Ok);
        NodeStatus {
            id: self.registry.me().to_string(),
            node: self.options.node.clone(),
            version: self.options.version.to_owned(),
            mode: match self.options.source {
                DecisionSource::Local => "embedded",
                DecisionSource::Redis => "cluster",
            }
            .to_owned(),
            started_at: rfc3339(self.birth.at_ms),
            uptime_seconds: self.birth.at.elapsed().as_secs(),
            seen_at: rfc3339(now_ms),
            ready: readiness.ready,
            outage_mode: self.options.outage.mode.into(),
            in_outage: self.in_outage.load(Ordering::Acquire),
            change_log_position: self.cache.position(),
            change_log_lag: 0,
            change_log_age_ms: self.log_age().map(ms),
            bloom_filter: FilterFigures { keys, bytes, built_at },
            troubles: bad.map(|one| one.component).collect(),
        }
    }

    /// Leaves this node's sheet in the registry.
    pub(crate) async fn tell_status(&self) {
        let ttl = self.options.outage.nodes_ttl;
        // Plain data: it can always be written.
        let sheet = serde_json::to_string(&self.status()).unwrap_or_default();
        let told = tokio::time::timeout(ttl / BEATS_PER_TTL, self.nodes.tell(self.registry.me(), sheet, ttl)).await;
        if let Ok(Err(error)) = told {
            tracing::debug!(%error, "the registry of nodes was not told how this node is");
        }
    }

    /// What the others have told, and whether all of them have.
    async fn told_by_others(&self) -> Result<(Vec<NodeStatus>, bool), BucketError> {
        let me = self.registry.me();
        let mut others = self.nodes.beat(me, Some(self.options.outage.nodes_ttl)).await?;
        others.retain(|node| *node != me);
        let is_whole = others.len() <= LISTED_MAX;
        others.truncate(LISTED_MAX);
        let sheets = self.nodes.told(others.clone()).await?;
        let told: Vec<NodeStatus> = others.iter().zip(sheets).filter_map(|(node, sheet)| read(*node, &sheet?)).collect();
        let complete = is_whole && told.len() == others.len();
        Ok((told, complete))
    }
}

/// What a node has told. Its id is the one that it beats under, whatever it says.
fn read(node: NodeId, sheet: &str) -> Option<NodeStatus> {
    let told: NodeStatus = serde_json::from_str(sheet).ok().filter(|_| sheet.len() <= SHEET_BYTES_MAX)?;
    let cut = |text: &str| text.chars().filter(|character| !character.is_control()).take(NAME_CHARS_MAX).collect();
    Some(NodeStatus { id: node.to_string(), node: cut(&told.node), version: cut(&told.version), mode: cut(&told.mode), ..told })
}
