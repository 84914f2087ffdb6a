//! T7 through every recipe: what a node refuses straight it refuses through a gateway, and the app is
//! not asked.

use std::sync::Arc;

use tollgate_testkit::Gateway;

use super::site::Site;
use crate::support::Told;
use crate::system::malformed::framing::nothing_is_smuggled_on;
use crate::system::malformed::table::{Odd, all};
use crate::system::malformed::{Route, Version};

/// Every way through the gateways.
fn ways(site: &Site) -> Vec<(Gateway, Route)> {
    let ways = site.recipes.iter().flat_map(|recipe| {
        let name = recipe.gateway().name();
        let ways = [(recipe.http1(), Version::One), (recipe.http2(), Version::Two)];
        ways.map(|(address, version)| (recipe.gateway(), Route { name, address, version }))
    });
    ways.collect()
}

/// Two gateways take away what is wrong before anybody sees it, gate or app, so that a good request is
/// left: nginx drops names with `_` and `.`, Envoy drops carriage returns within values of HTTP/1.1.
fn may_pass(gateway: Gateway, version: Version, odd: &Odd) -> bool {
    let has_return = odd.fields.iter().any(|(_, value)| value.contains(&b'\r'));
    match gateway {
        Gateway::Nginx => odd.class == "alias" && odd.fields.len() == 2,
        Gateway::Envoy => odd.class == "byte" && has_return && version == Version::One,
        Gateway::Haproxy | Gateway::Caddy | Gateway::Traefik => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_through_every_gateway_as_they_are_straight() {
    let site = Site::start().await;
    let (key, other) = (site.bare_key().await, site.bare_key().await);
    // Path and query are the app's, and nothing to the gate.
    let table = all(&key.api_key, &other.api_key).into_iter().filter(|odd| odd.class != "query");
    let table: Arc<Vec<Odd>> = Arc::new(table.map(|odd| Odd { target: "/orders".into(), ..odd }).collect());
    assert!(table.len() >= 500, "{}", table.len());
    let good = Odd { target: "/orders".into(), ..Odd::good(&key.api_key) };
    let mut expected = 0;
    for (gateway, route) in ways(&site) {
        assert_eq!(route.ask(&good).await, Told::Bare(200), "{route:?}");
        site.app.take_one(route.name);
        let told = route.ask_all(&table).await;
        let (mut refused, mut passed) = (0, 0);
        for (odd, told) in table.iter().zip(&told) {
            let is_refused = matches!(told.status(), None | Some(400 | 401 | 431));
            let is_let_through = told.status() == Some(200) && may_pass(gateway, route.version, odd);
            assert!(is_refused || is_let_through, "{route:?}, {}, {odd:?}: {told:?}", odd.class);
            refused += usize::from(told.status().is_some() && is_refused);
            passed += u64::from(is_let_through);
        }
        assert!(refused >= 350, "{route:?}: only {refused} were answered");
        for seen in site.app.take() {
            for name in ["x-api-key", "x-tollgate-owner", "x-tollgate-scopes"] {
                assert!(seen.read_as(name).iter().all(String::is_empty), "{route:?}: {seen:?}");
            }
            assert_eq!(seen.read_as("x-tollgate-key-id"), [key.key_id.as_str()], "{route:?}");
            expected += 1;
            passed -= 1;
        }
        assert_eq!(passed, 0, "{route:?}");
    }
    let good = ways(&site).len() as u64;
    assert_eq!((site.spent(&key).await, site.spent(&other).await), (good + expected, 0), "only what passed was charged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_smuggled_in_a_body_past_any_gateway() {
    let site = Site::start().await;
    let key = site.bare_key().await;
    for (_, route) in ways(&site).into_iter().filter(|(_, route)| route.version == Version::One) {
        nothing_is_smuggled_on(route, "/orders", &key.api_key).await;
    }
    assert_eq!((site.spent(&key).await, site.app.take().len()), (0, 0), "a request that lay within another was asked");
}
