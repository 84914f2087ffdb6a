//! Health, as it is asked for and told.

use serde::{Deserialize, Serialize};

use crate::Rfc3339;

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
    /// Guard rail: there are keys without a rate limit.
    UnlimitedKeys,
}

impl Component {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::KeyFile => "key_file",
            Self::Pubsub => "pubsub",
            Self::ChangeLogRewound => "change_log_rewound",
            Self::BloomFilter => "bloom_filter",
            Self::Argon2Pool => "argon2_pool",
            Self::UntrustedForwarder => "untrusted_forwarder",
            Self::RedisEviction => "redis_eviction",
            Self::RedisStateLost => "redis_state_lost",
            Self::ClockSkew => "clock_skew",
            Self::UnlimitedKeys => "unlimited_keys",
        }
    }

    /// Whether it is no part of a node but a condition that operators must hear of.
    pub const fn is_guard_rail(self) -> bool {
        match self {
            Self::Redis | Self::Postgres | Self::KeyFile | Self::Pubsub | Self::BloomFilter | Self::Argon2Pool => false,
            Self::ChangeLogRewound
            | Self::UntrustedForwarder
            | Self::RedisEviction
            | Self::RedisStateLost
            | Self::ClockSkew
            | Self::UnlimitedKeys => true,
        }
    }

    /// Whether every node of a fleet finds it in what all of them share, so that none tells another.
    pub const fn is_of_fleet(self) -> bool {
        matches!(self, Self::ChangeLogRewound | Self::RedisEviction | Self::RedisStateLost | Self::UnlimitedKeys)
    }
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
    /// Since when, by this node's clock, where that is told and known: not before a part was well for
    /// the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Rfc3339>,
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

/// Decisions by verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionFigures {
    /// Might pass.
    pub allowed: u64,
    /// Refused by a rate limit.
    pub limited: u64,
    /// Refused for the credential or its scope.
    pub denied: u64,
}

/// What a node holds and knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFigures {
    /// Nodes that were seen alive, this one included.
    pub nodes: u32,
    /// The position of the change log that this node has applied.
    pub change_log_position: u64,
    /// Milliseconds since the log was last read to its head; none before it ever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_log_age_ms: Option<u64>,
    /// Decisions since the node started.
    pub decisions: DecisionFigures,
    /// Whether decisions are made without Redis now.
    pub in_outage: bool,
    /// Keys that may be used and have no rate limit of their own, at most 100 of them.
    pub unlimited_keys: Vec<String>,
}
