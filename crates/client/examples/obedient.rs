//! A client that is never limited: it waits until its next request fits.
//!
//! ```sh
//! TOLLGATE_URL=http://127.0.0.1:8080 TOLLGATE_API_KEY=tk_…:tks_… cargo run -p tollgate-client --example obedient -- 20 3
//! ```
//!
//! sends 20 requests that cost 3 tokens each, one after the other, and says how many were allowed.

#![allow(clippy::print_stdout, reason = "that is what this program is for")]

use std::time::Duration;

use anyhow::{Context, Result};
use tollgate_client::{Authorize, Client, Credential, RateLimits};

/// What two clocks may run apart, on top of what the node's figures say.
const CLOCKS_APART: Duration = Duration::from_millis(5);

/// Waits as the last answer said, sends one request, and returns what its answer says.
pub(crate) async fn send(client: &Client, last: Option<RateLimits>, cost: u64) -> Result<Option<RateLimits>> {
    let wait = last.map_or(Some(Duration::ZERO), |limits| limits.wait_for(cost)).context("the cost is above a burst")?;
    if wait > Duration::ZERO {
        tokio::time::sleep(wait + CLOCKS_APART).await;
    }
    // Were it limited all the same, because somebody else spends from the same limit, the client
    // would come back after `Retry-After`.
    let authorized = client.authorize(&Authorize { cost: Some(cost), scope: None }).await?;
    Ok(authorized.headers.rate_limits())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let requests: u32 = arguments.next().context("how many requests")?.parse()?;
    let cost: u64 = arguments.next().context("what each costs")?.parse()?;
    let credential = Credential::parse(&std::env::var("TOLLGATE_API_KEY")?)?;
    let client = Client::new(&std::env::var("TOLLGATE_URL")?, Some(credential))?;
    let mut last = None;
    for _ in 0..requests {
        last = send(&client, last, cost).await?;
    }
    println!("{requests} allowed");
    Ok(())
}
