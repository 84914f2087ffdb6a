//! The store of what keys were used for: counts of decisions, which nothing decides by.

use std::{fmt, sync::Arc};

use tokio::time::Instant;
use tollgate_keys::{KeyId, OwnerName};

use super::{BoxFuture, NodeId};

/// Rows of one batch at most: a longer call is other callers' latency.
pub const USAGE_ROWS_MAX: usize = 32;
/// Minutes that are kept of a key, the one under way included.
pub const USAGE_MINUTES: u32 = 60;
/// Hours that are kept of a key, the one under way included.
pub const USAGE_HOURS: u32 = 24;

/// What became of decisions on one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageCounts {
    /// Decisions that allowed.
    pub allowed: u64,
    /// Decisions that a limit refused.
    pub limited: u64,
    /// Decisions that the key itself refused: its status, its secret, a scope that it lacks.
    pub denied: u64,
    /// Tokens that the allowed ones cost.
    pub cost: u64,
}

impl UsageCounts {
    /// Decisions in all.
    pub fn decisions(&self) -> u64 {
        self.allowed.saturating_add(self.limited).saturating_add(self.denied)
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.limited = self.limited.saturating_add(other.limited);
        self.denied = self.denied.saturating_add(other.denied);
        self.cost = self.cost.saturating_add(other.cost);
    }
}

/// What one key was used for in one minute, as far as one node has not told it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The key.
    pub key_id: KeyId,
    /// Whole minutes since 1970.
    pub minute: u32,
    /// What is to be added.
    pub counts: UsageCounts,
}

/// Rows that are added together, once.
#[derive(Debug, Clone)]
pub struct UsageBatch {
    /// Who counted.
    pub node: NodeId,
    /// Rises from batch to batch of a node; a batch that is sent again has the same.
    pub number: u64,
    /// The part of the store that all its keys are in ([`UsageStore::part`]).
    pub part: usize,
    /// At most [`USAGE_ROWS_MAX`].
    pub rows: Vec<UsageRow>,
}

/// What is kept of one key, oldest first, without what is empty. It may hold more than the last
/// [`USAGE_MINUTES`] and [`USAGE_HOURS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRecord {
    /// By whole minutes since 1970.
    pub minutes: Vec<(u32, UsageCounts)>,
    /// By whole hours since 1970.
    pub hours: Vec<(u32, UsageCounts)>,
}

/// How long a time one summary of limited keys is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopSpan {
    /// Ten minutes.
    TenMinutes,
    /// An hour.
    Hour,
}

impl TopSpan {
    /// Both.
    pub const ALL: [Self; 2] = [Self::TenMinutes, Self::Hour];

    /// Its length in minutes.
    pub fn minutes(self) -> u32 {
        match self {
            Self::TenMinutes => 10,
            Self::Hour => 60,
        }
    }

    /// How many are looked back on, the one under way included.
    pub fn kept(self) -> u32 {
        match self {
            Self::TenMinutes => 7,
            Self::Hour => 24,
        }
    }
}

/// What a summary of limited keys is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopName {
    /// The keys of this owner; none for all keys.
    pub owner: Option<OwnerName>,
    /// For how long.
    pub span: TopSpan,
    /// Which: whole spans since 1970.
    pub slot: u32,
}

/// The counts cannot be reached. No decision needs them.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the counts of usage cannot be reached: {0}")]
pub struct UsageError(pub Arc<str>);

/// The summaries of several nodes.
pub type TopSummaries = Vec<Box<[u8]>>;

/// Counts by key, and summaries by node. Each call answers no later than shortly after `deadline`.
pub trait UsageStore: Send + Sync + fmt::Debug + 'static {
    /// How many parts it has, at least 1: one may be silent while others are not.
    fn parts(&self) -> usize {
        1
    }

    /// The part that a key's counts are in, below [`UsageStore::parts`].
    fn part(&self, _key_id: &KeyId) -> usize {
        0
    }

    /// The part that such summaries are in, likewise.
    fn top_part(&self, _name: &TopName) -> usize {
        0
    }

    /// Adds a batch, unless its number is not above that of the node's last one in this part: it was
    /// added then, and its answer lost. Answers with the decisions that there was no room for.
    fn add(&self, batch: UsageBatch, deadline: Instant) -> BoxFuture<'_, Result<u64, UsageError>>;

    /// What is kept of a key; nothing where it was not used lately.
    fn read(&self, key_id: KeyId, deadline: Instant) -> BoxFuture<'_, Result<UsageRecord, UsageError>>;

    /// Puts a node's summary in place of its last one of that name.
    fn put_top(&self, name: TopName, node: NodeId, summary: Box<[u8]>, deadline: Instant) -> BoxFuture<'_, Result<(), UsageError>>;

    /// The summaries of all nodes under several names of one owner (or of all keys).
    fn tops(&self, names: Vec<TopName>, deadline: Instant) -> BoxFuture<'_, Result<TopSummaries, UsageError>>;
}
