//! The key store over a real Postgres.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bootstrap;
mod conformance;
mod faults;
mod hostile;
mod key_ids;
mod keys;
mod list;
mod log;
mod owners;
mod plans;
mod pool;
mod rate_limits;
mod rights;
mod schema;
mod signing_keys;
mod support;
mod tls;
