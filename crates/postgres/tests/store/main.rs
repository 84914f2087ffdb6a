//! The key store over a real Postgres.

mod bootstrap;
mod faults;
mod hostile;
mod keys;
mod list;
mod log;
mod owners;
mod plans;
mod rate_limits;
mod schema;
mod signing_keys;
mod support;
