//! Tests of the whole: one binary, a module per surface.
//!
//! `tests/run` builds what they need and runs them; the servers and nodes come from
//! `tollgate-testkit`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, also what is outside of a test function"
)]

mod chart;
mod cluster;
mod containers;
mod faults;
mod fuzz;
mod gateways;
mod nodes;
mod scale;
mod support;
mod system;
mod tidy;
