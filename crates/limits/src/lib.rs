//! The arithmetic of rate limits: exact, pure, and without a clock.
//!
//! A rate limit `{burst, per_seconds}` is a token bucket of capacity `burst` that refills evenly,
//! `burst` tokens in `per_seconds` seconds. Its whole state is one instant, the *theoretical
//! arrival time* of the generic cell rate algorithm (ITU-T I.371): the instant at which the
//! bucket will be full again, kept as an exact rational number of microseconds. Nothing is ever
//! rounded in a decision, so nothing drifts.
//!
//! This crate touches no clock, no I/O and no task: `now` is always an argument. It is the
//! reference that the Lua scripts are tested against, and what the in-process store runs on.

mod bucket;
mod cost;
mod lease;
mod name;
mod rate_limit;
mod record;
mod share;
mod slices;

pub use bucket::{Arrival, Bucket, Standing, Step};
pub use cost::{Cost, CostError};
pub use lease::{Asking, Grant, LeaseAsk, Purse, Settle, Sight, Stamp, TakenBack};
pub use name::{LimitName, LimitNameError};
pub use rate_limit::{NamedLimit, RateLimit, RateLimitError, RateLimits, RateLimitsError};
pub use record::{Ask, BUCKETS_PER_RECORD_MAX, Decided, Record, Told, Wish, decide, decide_leased};
pub use share::{Share, ShareBucket};
pub use slices::{EPOCH_US, LEASED_MAX, LEASED_SHARE, QUIET_EPOCHS, Slices};
