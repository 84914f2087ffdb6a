//! Holds one Redis and one Postgres for all test processes of a `tests/run`.
//!
//! Prints two lines `NAME=url`, then an empty line, and keeps the servers until
//! its standard input ends.

use std::io::{Read, Write};

use anyhow::Result;
use tollgate_testkit::{TestPostgres, TestRedis};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (redis, postgres) = tokio::try_join!(TestRedis::start(), TestPostgres::start())?;
    let lines = format!("TOLLGATE_TEST_REDIS_URL={}\nTOLLGATE_TEST_POSTGRES_URL={}\n\n", redis.url(), postgres.url());
    std::io::stdout().write_all(lines.as_bytes())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
