//! Every surface of a node, from outside: real processes over a real Redis and a real Postgres.

mod absent;
pub(crate) mod authorize;
mod bench;
mod bodies;
mod bootstrap;
mod canaries;
mod costs;
mod credentials;
mod embedded;
mod events;
mod failures;
mod health;
mod hostile;
mod layer;
mod lifecycle;
mod limited;
pub(crate) mod malformed;
mod memory;
mod named;
mod rate_limits;
mod ring;
mod settings;
mod shutdown;
mod telemetry;
mod tenancy;
mod transfer;
mod unlimited;
