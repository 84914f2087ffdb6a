//! The HTTP surface: sockets first, then the routes over a gate with in-process stores.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod accept_loop;
mod authorize;
mod bodies;
mod check;
mod control;
mod credentials;
mod events;
mod limit;
mod logs;
mod openapi;
mod problems;
mod raw;
mod site;
mod timing;
mod tls;
mod traces;
mod usage;
