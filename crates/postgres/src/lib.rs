//! Keys, owners, signing keys and the change log in Postgres, the only source of truth for them.
//!
//! Nothing else speaks SQL. Queries take bound parameters only, and are proved by tests against a
//! real server. The schema is embedded from `migrations/`.
//!
//! **Why read committed is enough.** Every change locks what it is about before it reads it: the
//! key's row (`for update`), then the one row of `change_head`, always in this order. What
//! a change decides on can therefore not move under it, and statements after the head's lock see
//! all that was committed before. The head is updated, not read, so its position cannot be drawn
//! twice; its lock is held until the commit, so positions become visible in their order; and a
//! rollback gives its position back. No other lock is waited for while the head is held, except
//! rows that are themselves changed only under it, so two changes cannot wait for each other.

mod audit;
mod audit_log;
mod bulk;
mod certificates;
mod error;
mod key_ids;
mod key_row;
mod keys;
mod log;
mod once;
mod options;
mod owners;
mod rate_limit;
mod schema;
mod signing;
mod store;

pub use error::PostgresError;
pub use options::Options;
pub use schema::{SchemaState, give_node_rights, migrate, migrate_down, schema_state};
pub use store::{PoolStatus, PostgresKeys};
