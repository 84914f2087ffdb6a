//! An application with its test, which this runs:
//!
//! ```sh
//! docker build --tag tollgate .
//! cargo run -p testcontainers-tollgate --example orders
//! ```

mod app;
mod test;

use testcontainers_tollgate::Tollgate;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    test::a_customer_orders_twice_a_day_and_no_more(Tollgate::default()).await
}
