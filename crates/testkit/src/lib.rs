//! What the tests run against: throwaway Redis and Postgres, real nodes, a balancer, and a wire
//! that can be cut.
//!
//! Everything here is started by the test that needs it, on loopback ports of its own, and is
//! gone when the value is dropped or the test process ends, however it ends. Nothing waits by
//! sleeping: whatever has to come up is asked until it answers, within a bound ([`eventually`]).
//!
//! `tests/run` starts one Redis and one Postgres for all test processes and names them in
//! `TOLLGATE_TEST_REDIS_URL` and `TOLLGATE_TEST_POSTGRES_URL`; without these each test process
//! starts its own when it first asks for a shared one. A test that flushes, stops or reconfigures
//! a server starts its own with `start`.

mod backend;
mod certificates;
mod clock;
pub mod conformance;
mod container;
mod database;
mod eventually;
mod fleet;
mod gateway;
mod keeper;
mod nginx;
mod node;
mod ports;
mod postgres_server;
mod probe;
mod process;
mod proxy;
mod recipe;
mod redis_cluster;
mod redis_failover;
mod redis_options;
mod redis_server;
mod scratch;
mod server;
mod stored_keys;
mod timing;

pub use backend::Backend;
pub use certificates::{TestAuthority, TestCertificate, replace_file};
pub use clock::TestClock;
pub use database::TestDatabase;
pub use eventually::eventually;
pub use fleet::{Fleet, FleetBuilder};
pub use gateway::TestGateway;
pub use nginx::TestNginx;
pub use node::{Build, Node, NodeBuilder, tollgate};
pub use ports::Port;
pub use postgres_server::TestPostgres;
pub use probe::{get, status};
pub use process::Process;
pub use proxy::{Fault, Proxy, Way};
pub use recipe::{Gateway, TestRecipe};
pub use redis_cluster::TestRedisCluster;
pub use redis_failover::{TestRedisPairs, TestRedisSentinels};
pub use redis_options::RedisOptions;
pub use redis_server::TestRedis;
pub use scratch::{Scratch, repository, unique};
pub use server::Server;
pub use stored_keys::StoredKeys;
pub use timing::{Difference, T_MAX, Timings};
