//! The stores of one node without services: buckets in memory, keys in one file.
//!
//! [`MemoryBuckets`] decides by the reference arithmetic of `tollgate-limits`, under the same
//! contract as Redis does; [`KeyFile`] keeps keys, owners and the change log in one crash-safe
//! file, under the same contract as Postgres does. Both pass the same conformance suites.
//! Nothing here can be shared by two processes: the buckets die with theirs, and the file locks
//! the second one out.

mod buckets;
mod clock;
mod key_file;
mod usage;

pub use buckets::{MemoryBuckets, MemoryBucketsBounds};
pub use clock::{MicrosClock, anchored_clock};
pub use key_file::{KeyFile, KeyFileError, KeyFileRetention};
pub use usage::MemoryUsage;
