//! Health, as it is asked for and told.

use serde::{Deserialize, Serialize};

/// What a node depends on or is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The store of buckets.
    Redis,
    /// The source of truth for keys.
    Postgres,
    /// The one-file key store of an embedded node.
    KeyFile,
    /// What nodes tell each other of changes.
    Pubsub,
    /// Guard rail: the key store is behind its own fences.
    ChangeLogRewound,
    /// The filter of key ids in this node's memory.
    BloomFilter,
    /// The hashing of secrets.
    Argon2Pool,
    /// Guard rail: a peer that is no trusted proxy says whose requests it passes on.
    UntrustedForwarder,
    /// Guard rail: Redis may drop, or has dropped, what it holds, or cannot be asked whether it does.
    RedisEviction,
    /// Guard rail: Redis has lost its state lately.
    RedisStateLost,
    /// Guard rail: this node's clock and Redis' are far apart.
    ClockSkew,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// As it should be.
    Ok,
    /// Works, but somebody should look.
    Degraded,
    /// Does not work.
    Down,
}

/// One component and why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentHealth {
    /// Which.
    pub component: Component,
    /// How.
    pub state: ComponentState,
    /// Why, where it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `GET /health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether this node should be sent requests.
    pub ready: bool,
    /// Why not, where it should not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Each component.
    pub components: Vec<ComponentHealth>,
}
