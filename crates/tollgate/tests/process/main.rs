//! The binary as a process of its own: what it prints, where, and its exit status.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, also what is outside of a test function"
)]

mod bootstrap;
mod commands;
mod completions;
mod credentials;
mod events;
mod failures;
mod log;
mod node;
mod serve;
mod settings;
mod systemd;
mod tls;
mod usage;
