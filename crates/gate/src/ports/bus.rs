//! How nodes tell each other of changes: at most once, to everybody who listens.

use std::{fmt, sync::Arc};

use tollgate_api::BusEvent;

use super::BoxFuture;

/// What a node learns from the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Somebody said this, perhaps this node itself.
    Event(BusEvent),
    /// Something that is no event of this version.
    Unreadable,
    /// From now on events are heard; what was said before may have been missed.
    Joined,
    /// Nothing is heard for now.
    Parted,
    /// More was said than waited to be heard, and some of it is lost.
    Overflowed,
}

/// Why something could not be said.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the bus cannot be reached: {0}")]
pub struct BusError(pub Arc<str>);

/// Events between the nodes of a deployment. It may lose, repeat, reorder and make up events:
/// nothing that it brings is ever trusted, it only tells where to look.
pub trait Bus: Send + Sync + fmt::Debug + 'static {
    /// Tells every node, this one too. Gives up soon.
    fn publish(&self, event: BusEvent) -> BoxFuture<'_, Result<(), BusError>>;

    /// What comes next, for the one listener of this node. What waits to be heard is bounded.
    fn next(&self) -> BoxFuture<'_, Heard>;
}
