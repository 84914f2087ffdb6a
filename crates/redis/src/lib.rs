//! Buckets and fences in Redis: the one authority that all nodes of a cluster ask.
//!
//! Decisions that arrive while a call is on its way form the next call; `lua/decide.lua` decides
//! them all in one step, by Redis' own clock. A charge whose answer was lost is never sent again.
//! Nothing else of Tollgate may speak to Redis.
//!
//! [`RedisBuckets`] is the gate's bucket store, [`RedisBus`] what nodes tell each other by. The other modules are its parts, public for tests
//! and benches.

mod buckets;
mod bus;
pub mod codec;
mod connection;
pub mod convert;
mod failure;
mod look;
pub mod names;
mod options;
mod plain;
mod pulse;
mod queue;
mod receipts;
mod registry;
pub mod scripts;
mod servers;
mod state;
mod tls;
mod usage;
mod wire;
mod worker;

pub use buckets::{OptionsError, RedisBuckets};
pub use bus::{EventLine, RedisBus};
pub use options::{Options, RedisUrl};
pub use state::StateMark;
pub use wire::Wire;
