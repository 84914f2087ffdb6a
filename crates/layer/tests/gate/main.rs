//! The layer over nodes that answer as they are told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, also what is outside of a test function"
)]

mod admitted;
mod outage;
mod refused;
mod stub;
