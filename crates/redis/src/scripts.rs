//! The scripts, as they lie under `lua/`. Nothing is ever put together at run time.

use bytes::Bytes;

/// A script with the name that the server knows it by.
#[derive(Debug)]
pub struct Script {
    /// Its text.
    pub text: &'static str,
    /// SHA-1 of the text, in hex.
    pub sha1: Bytes,
}

impl Script {
    /// Names the text.
    pub fn new(text: &'static str) -> Self {
        Self { text, sha1: fred::util::sha1_hash(text).into() }
    }
}

/// Decides a batch.
pub const DECIDE: &str = concat!(
    include_str!("../../../lua/decide.lua"),
    include_str!("../../../lua/decide_any.lua"),
    include_str!("../../../lua/decide_entries.lua"),
);
/// Raises a fence.
pub const FENCE: &str = include_str!("../../../lua/fence.lua");
/// Takes up a tag's state.
pub const JOIN: &str = include_str!("../../../lua/join.lua");
/// Adds counts of decisions.
pub const USAGE: &str = include_str!("../../../lua/usage.lua");
/// Puts a summary of the most limited keys.
pub const TOP: &str = include_str!("../../../lua/top.lua");
/// Tells that a node lives, and who else does.
pub const NODES: &str = include_str!("../../../lua/nodes.lua");
