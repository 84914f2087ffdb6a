//! The registry of nodes: one string that each node writes itself into every now and then.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tollgate_gate::ports::{BoxFuture, BucketError, NodeId, NodeRegistry};

use crate::{buckets::RedisBuckets, failure::Failure};

/// How long one heartbeat may take.
const BEAT_TIMEOUT: Duration = Duration::from_secs(1);
const ID_BYTES: usize = 16;

impl NodeRegistry for RedisBuckets {
    fn beat(&self, me: NodeId, ttl: Option<Duration>) -> BoxFuture<'_, Result<Vec<NodeId>, BucketError>> {
        Box::pin(async move {
            let ttl_ms = ttl.map_or(0, |ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
            let args = [Bytes::copy_from_slice(&me.0.to_be_bytes()), ttl_ms.to_string().into()];
            let (keys, args) = (vec![self.names().nodes()], args.map(Value::Bytes).into());
            let live = self.run(self.nodes_script(), keys, args, BEAT_TIMEOUT).await?;
            nodes(&live).ok_or_else(|| Failure::other("the registry of nodes has another form").into())
        })
    }
}

fn nodes(live: &[u8]) -> Option<Vec<NodeId>> {
    let (ids, rest) = live.as_chunks::<ID_BYTES>();
    rest.is_empty().then(|| ids.iter().map(|id| NodeId(u128::from_be_bytes(*id))).collect())
}
