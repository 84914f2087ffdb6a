//! The bytes between a node and its scripts: records, batches of decisions, replies.
//!
//! `lua/decide.lua` says at its head what every byte means; this is the other side of it.

mod batch;
mod record;
mod reply;

pub use batch::{Batch, ENTRIES_MAX, Request, Swap};
pub use record::{buckets_of, decode_record, encode_record};
pub use reply::{Answer, Reply, ReplyError, read_reply};

/// The largest number that a script computes with exactly: 2⁵³ − 1.
const EXACT_MAX: u64 = (1 << 53) - 1;
