//! T10: the gate counts a client by the address that the gateway saw, whatever the client says of it.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Client;
use tollgate_testkit::TestRecipe;

use super::site::Site;

/// Failed attempts that an address has.
const ATTEMPTS: u32 = 6;

/// A client with an address of its own, which is none of the gateway's.
fn from(host: u8) -> Client {
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
    Client::builder().no_proxy().tls_certs_only([]).local_address(address).build().unwrap()
}

/// Ways to say that one is somebody else, a new one at every attempt.
fn claims(attempt: u32) -> Vec<(&'static str, String)> {
    let address = format!("203.0.113.{attempt}");
    let claims = [
        ("x-forwarded-for", address.clone()),
        ("x-forwarded-for", format!("{address}, 127.0.0.1")),
        ("x-forwarded-for", format!("{address}, 127.0.0.1, ")),
        ("forwarded", format!("for={address}")),
        ("x-real-ip", address.clone()),
        ("connection", "x-forwarded-for, forwarded".to_owned()),
    ];
    let one = claims[attempt as usize % claims.len()].clone();
    vec![one, ("x-forwarded-for", address.clone()), ("true-client-ip", address)]
}

async fn wrong(client: &Client, recipe: &TestRecipe, claims: &[(&str, String)]) -> u16 {
    let request = client.get(format!("http://{}/orders", recipe.http1())).header("x-api-key", "nobody:guess");
    let request = claims.iter().fold(request, |request, (name, value)| request.header(*name, value));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_counts_by_the_address_that_the_gateway_saw() {
    let burst = ATTEMPTS.to_string();
    let site = Site::with(|node| node.env("TOLLGATE_PREAUTH__ADDRESS__BURST", burst).env("TOLLGATE_PREAUTH__ADDRESS__PERIOD", "1d")).await;
    for (place, recipe) in (0..).zip(&site.recipes) {
        let name = recipe.gateway().name();
        let (liar, other) = (from(2 * place + 10), from(2 * place + 11));
        let mut statuses = Vec::new();
        for attempt in 0..3 * ATTEMPTS {
            let status = wrong(&liar, recipe, &claims(attempt)).await;
            // What a gateway refuses by itself is no attempt: Envoy does not let its own headers be named away.
            if status != 400 {
                statuses.push(status);
            }
        }
        statuses.truncate(2 * ATTEMPTS as usize);
        let expected = [vec![401; ATTEMPTS as usize], vec![429; ATTEMPTS as usize]].concat();
        assert_eq!(statuses, expected, "{name}: saying another address is no way around the limit");
        // And nobody else pays for it: clients are told apart, and the gateway is none of them.
        assert_eq!(wrong(&other, recipe, &[]).await, 401, "{name}");
    }
    let health = site.admin().get("/health/full").send().await.expect(200).json();
    let rails = health["guard_rails"].as_array().unwrap();
    let rail = rails.iter().find(|rail| rail["component"] == "untrusted_forwarder").unwrap();
    assert_eq!(rail["state"], "ok", "{health}");
}
