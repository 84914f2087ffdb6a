//! An application that takes orders from whoever Tollgate lets through.

use tollgate_client::{Authorize, Client, ClientOptions, Credential, RetryPolicy};

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is on its way.
    Taken,
    /// The customer has no key, or one that is not good.
    Unknown,
    /// The customer has ordered too much.
    TooMany,
}

/// Takes an order of somebody who has shown this api key.
pub(crate) async fn order(tollgate_url: &str, api_key: &str) -> anyhow::Result<Order> {
    let options = ClientOptions { retry: RetryPolicy::never(), ..ClientOptions::default() };
    let client = Client::with_options(tollgate_url, Some(Credential::parse(api_key)?), &options)?;
    let asked = client.authorize(&Authorize { scope: Some("orders:write".into()), ..Authorize::default() }).await;
    match asked {
        Ok(_) => Ok(Order::Taken),
        Err(error) => match error.status() {
            Some(401 | 403) => Ok(Order::Unknown),
            Some(429) => Ok(Order::TooMany),
            _ => Err(error.into()),
        },
    }
}
