//! Leases in a made-up cluster: nodes, a store, and everything that may go wrong between them.
//!
//! Time is virtual and chance comes from a seed, so a schedule that fails can be played again: the
//! failure names the command. The store is the reference that the Lua script is tested against, the
//! purses are the very ones that nodes use. What is checked looks at nothing but what was admitted,
//! and when ([`history`]); and that it would find something is shown by flaws that are put in
//! ([`flaw::Flaw`]), each of which must be found.
//!
//! `TOLLGATE_LEASE_SCHEDULES` sets how many schedules, `TOLLGATE_LEASE_SEED` plays that one alone.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a test fails by a panic, tells its figures, and computes with small numbers"
)]

mod figures;
mod flaw;
mod history;
mod node;
mod plan;
mod random;
mod schedules;
mod store;
mod world;
