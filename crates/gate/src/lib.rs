//! The way of one request through the gate, and what keeps the gate true.
//!
//! A front reads a request ([`request::CheckRequest`]); [`Gate::authenticate`] makes a [`Caller`]
//! of it; [`Gate::decide`] makes a [`verdict::Verdict`] of that. Each can be made from the one
//! before alone, so no stage can be left out. A refusal is a value; an error means that the
//! machinery failed and nobody can say.
//!
//! The gate keeps nothing that matters: keys are in the key store, buckets and fences in the
//! bucket store (the [`ports`]), and all it holds in memory may be lost at any time.

pub mod config;
pub mod control;
pub mod ports;
pub mod record;
pub mod request;
pub mod tally;
pub mod transfer;
pub mod verdict;

mod authenticate;
mod background;
mod board;
mod breaker;
mod bus;
mod cache;
mod clock;
mod daytime;
mod decide;
mod events;
mod filter;
mod follower;
mod gate;
mod hashing;
mod health;
mod hot;
mod kinds;
mod leases;
mod link;
mod lookups;
mod marks;
mod mint;
mod miss_cache;
mod named;
mod nodes;
mod once;
mod outage;
mod preauth;
mod rails;
mod receipts;
mod registry;
mod rewound;
mod signing;
mod standings;
mod tag;
mod telling;
mod touch;
mod unlimited;
mod usage;
mod view;

pub use authenticate::{Caller, Recognised, Stranger};
pub use cache::CacheOptions;
pub use clock::{Clock, SystemClock};
pub use events::{EventOptions, EventStream, NoStream, Told};
pub use filter::FilterOptions;
pub use follower::FollowOptions;
pub use gate::{DecisionSource, Gate, GateOptions, GateParts};
pub use hashing::HashingOptions;
pub use hot::HotOptions;
pub use kinds::{Deprecated, KindLife, KindLives};
pub use lookups::{BudgetOptions, LookupOptions};
pub use mint::{MintError, Minted, mint_key};
pub use miss_cache::MissOptions;
pub use named::NamedDecision;
pub use once::IdempotencyKey;
pub use outage::{OutageMode, OutageOptions};
pub use preauth::{FailureBudget, PreauthOptions};
pub use receipts::Receipts;
pub use signing::{MasterKey, SigningError, add_signing_key};
pub use standings::Standings;
pub use tally::TallyOptions;
pub use telling::{HealthEvents, HealthReport, TurnTold};
pub use usage::UsageOptions;
