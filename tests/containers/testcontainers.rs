//! The image for other people's tests, as its example uses it.

#[path = "../../crates/testcontainers-tollgate/examples/orders/app.rs"]
mod app;
#[path = "../../crates/testcontainers-tollgate/examples/orders/test.rs"]
mod test;

use testcontainers_tollgate::{StartError, Tollgate};

use super::image::image;

async fn tollgate() -> Tollgate {
    let image = image().await;
    let (name, tag) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((&image, "latest"));
    Tollgate::of_image(name, tag)
}

#[tokio::test]
async fn the_example_passes() {
    test::a_customer_orders_twice_a_day_and_no_more(tollgate().await).await.unwrap();
}

#[tokio::test]
async fn settings_reach_the_node_and_the_key_stays_out_of_sight() {
    let limited = tollgate().await.with_setting("keys.default_rate_limit.burst", "7").start().await.unwrap();
    let admin = crate::support::Api::new(limited.url()).with(limited.admin_key());
    let made = admin.post("/v1/keys", &serde_json::json!({"name": "a"})).send().await.expect(201).json();
    assert_eq!(made["rate_limit"]["burst"], 7);
    let secret = limited.admin_key().split_once(':').unwrap().1;
    assert!(!format!("{limited:?}").contains(secret));
    let wrong = tollgate().await.with_setting("no.such_setting", "1").start().await;
    assert!(matches!(wrong, Err(StartError::Container(_))), "{wrong:?}");
}
