//! The HTTP surface: sockets first, then the routes over a gate with in-process stores.

mod accept_loop;
mod raw;
