//! Buckets and fences in Redis: the one authority that all nodes of a cluster ask.
//!
//! Decisions that arrive while a call is on its way form the next call; `lua/decide.lua` decides
//! them all in one step. Nothing else of Tollgate may speak to Redis.

pub mod codec;
pub mod convert;
pub mod names;
pub mod scripts;
