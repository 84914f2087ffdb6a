//! How the gate behaves over its ports: scripted stores where interleavings and failures are to
//! be forced, the embedded stores where the whole is to hold.
//!
//! Nothing sleeps. Time is tokio's, paused; a read or a decision that is to be slow is held open
//! by the test until the others have done what they are to do.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod breaker;
mod bus;
mod confirmed;
mod control;
mod credentials;
mod denials;
mod event_streams;
mod figures;
mod filter;
mod fleet;
mod follower;
mod health_events;
mod lanes;
mod leases;
mod lifecycle;
mod look_ups;
mod lost;
mod minting;
mod named;
mod nodes;
mod once;
mod outage;
mod owners_keys;
mod paging;
mod paused;
mod preauth;
mod races;
mod rails;
mod receipts;
mod rewound;
mod rules_hold;
mod schedules;
mod signing;
mod stale;
mod support;
mod tally;
mod tenancy;
mod transfer;
mod verified;
