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
}

/// A node that serves alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl NodeRegistry for Alone {
    fn beat(&self, me: NodeId, _ttl: Option<Duration>) -> BoxFuture<'_, Result<Vec<NodeId>, BucketError>> {
        Box::pin(std::future::ready(Ok(vec![me])))
    }
}
