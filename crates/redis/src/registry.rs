//! The registry of nodes: one string that each node writes itself into every now and then, and one for
//! each that tells how it is.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tollgate_gate::ports::{BoxFuture, BucketError, NodeId, NodeRegistry};

use crate::{buckets::RedisBuckets, connection, failure::Failure};

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

    fn tell(&self, me: NodeId, sheet: String, ttl: Duration) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(async move {
            let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1);
            let args = [self.names().node(me), sheet.into(), Bytes::from_static(b"PX")];
            let args = args.into_iter().map(Value::Bytes).chain([Value::Integer(ttl_ms)]).collect();
            self.once("SET", args).await.map(drop)
        })
    }

    fn told(&self, nodes: Vec<NodeId>) -> BoxFuture<'_, Result<Vec<Option<String>>, BucketError>> {
        Box::pin(async move {
            if nodes.is_empty() {
                return Ok(Vec::new());
            }
            // All under one tag, so they share a slot where there are slots.
            let keys = nodes.iter().map(|node| Value::Bytes(self.names().node(*node))).collect();
            let found = self.once("MGET", keys).await?;
            Ok(found.into_array().into_iter().map(Value::into_string).collect())
        })
    }
}

impl RedisBuckets {
    /// One command on the first of its arguments, at most once.
    async fn once(&self, name: &'static str, args: Vec<Value>) -> Result<Value, BucketError> {
        let Some(connection) = connection::usable(self.connections()) else { return Err(Failure::other("no connection").into()) };
        connection.command(name, args, BEAT_TIMEOUT).await.map_err(Into::into)
    }
}

fn nodes(live: &[u8]) -> Option<Vec<NodeId>> {
    let (ids, rest) = live.as_chunks::<ID_BYTES>();
    rest.is_empty().then(|| ids.iter().map(|id| NodeId(u128::from_be_bytes(*id))).collect())
}
