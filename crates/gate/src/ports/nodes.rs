//! The nodes that serve together.

use std::{fmt, time::Duration};

use super::{BoxFuture, BucketError};

/// One node from its start to its end: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Who serves at the moment, as all nodes tell it.
pub trait NodeRegistry: Send + Sync + fmt::Debug + 'static {
    /// Says that a node lives, to be counted for `ttl` from now on; with none for `ttl`, that it
    /// is about to end. Answers with all that live.
    fn beat(&self, me: NodeId, ttl: Option<Duration>) -> BoxFuture<'_, Result<Vec<NodeId>, BucketError>>;

    /// Leaves what a node tells of itself, for `ttl`: a text of at most 4 KiB.
    fn tell(&self, me: NodeId, sheet: String, ttl: Duration) -> BoxFuture<'_, Result<(), BucketError>>;

    /// What these nodes have told of themselves, in their order, where it is there.
    fn told(&self, nodes: Vec<NodeId>) -> BoxFuture<'_, Result<Vec<Option<String>>, BucketError>>;
}

/// A node that serves alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl NodeRegistry for Alone {
    fn beat(&self, me: NodeId, _ttl: Option<Duration>) -> BoxFuture<'_, Result<Vec<NodeId>, BucketError>> {
        Box::pin(std::future::ready(Ok(vec![me])))
    }

    fn tell(&self, _me: NodeId, _sheet: String, _ttl: Duration) -> BoxFuture<'_, Result<(), BucketError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn told(&self, nodes: Vec<NodeId>) -> BoxFuture<'_, Result<Vec<Option<String>>, BucketError>> {
        Box::pin(std::future::ready(Ok(vec![None; nodes.len()])))
    }
}
