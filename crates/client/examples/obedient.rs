//! A client that is never limited: it waits until its next request fits.
//!
//! ```sh
//! TOLLGATE_URL=http://127.0.0.1:8080 TOLLGATE_API_KEY=tk_…:tks_… cargo run -p tollgate-client --example obedient -- 20 3
//! ```
//!
//! sends 20 requests that cost 3 tokens each, one after the other, and says how many were allowed.

use std::time::Duration;

use anyhow::{Context, Result};
use tollgate_client::{Authorize, Client, Credential};

/// What two clocks may run apart, on top of what the node's figures say.
const CLOCKS_APART: Duration = Duration::from_millis(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let requests: u32 = arguments.next().map_or(Ok(10), |text| text.parse()).context("how many requests")?;
    let cost: u64 = arguments.next().map_or(Ok(1), |text| text.parse()).context("what each costs")?;
    let credential = Credential::parse(&std::env::var("TOLLGATE_API_KEY")?)?;
    let client = Client::new(&std::env::var("TOLLGATE_URL")?, Some(credential))?;

    for _ in 0..requests {
        if let Some(limits) = client.rate_limits() {
            let wait = limits.wait_for(cost).context("the cost is above the burst")?;
            if !wait.is_zero() {
                tokio::time::sleep(wait + CLOCKS_APART).await;
            }
        }
        // Were it limited all the same, because somebody else uses the key, it would wait as
        // `Retry-After` says and come again.
        client.authorize(&Authorize { cost: Some(cost), scope: None }).await?;
    }
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{requests} allowed\n"))?;
    Ok(())
}
