//! The test of the application, against a real Tollgate of its own.

use testcontainers_tollgate::Tollgate;
use tollgate_api::{CreateKeyBody, Patch, RateLimitFields, RateLimitSpec};
use tollgate_client::{Client, Credential};

use super::app::{Order, order};

/// In a project of yours this is a `#[tokio::test]` without an argument, which starts `Tollgate::default()`.
pub(crate) async fn a_customer_orders_twice_a_day_and_no_more(tollgate: Tollgate) -> anyhow::Result<()> {
    let tollgate = tollgate.start().await?;
    let admin = Client::new(tollgate.url(), Some(Credential::parse(tollgate.admin_key())?))?;
    let twice_a_day = RateLimitSpec::One(RateLimitFields { burst: 2, per_seconds: 86_400 });
    let customer = CreateKeyBody {
        name: "a customer".into(),
        scopes: vec!["orders:write".into()],
        rate_limit: Patch::Set(twice_a_day),
        ..CreateKeyBody::default()
    };
    let api_key = admin.create_key(&customer).await?.api_key.unwrap_or_default();
    for expected in [Order::Taken, Order::Taken, Order::TooMany] {
        let told = order(tollgate.url(), &api_key).await?;
        anyhow::ensure!(told == expected, "{told:?} in place of {expected:?}");
    }
    let told = order(tollgate.url(), "nobody:secret").await?;
    anyhow::ensure!(told == Order::Unknown, "{told:?} for a stranger");
    Ok(())
}
