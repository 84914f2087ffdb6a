//! What passes, and what the app is told of it.

use reqwest::Method;
use serde_json::json;
use tollgate_testkit::Gateway;

use super::site::{Site, client};
use crate::support::NewKey;
use crate::system::authorize::base64;

/// What the app must see: the gate's word, nothing where there is none, and no credential.
#[track_caller]
fn assert_told(site: &Site, what: &str, key: &NewKey, owner: &str, scopes: &str) {
    let seen = site.app.take_one(what);
    assert_eq!(seen.read_as("x-tollgate-key-id"), [key.key_id.as_str()], "{what}: {seen:?}");
    for (name, value) in [("x-tollgate-owner", owner), ("x-tollgate-scopes", scopes)] {
        let told = seen.read_as(name);
        assert!(told == [value] || (value.is_empty() && told.is_empty()), "{what}, {name}: {told:?}");
    }
    for name in ["authorization", "x-api-key"] {
        assert_eq!(seen.read_as(name), Vec::<String>::new(), "{what}: {seen:?}");
    }
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/orders/7?cost=900&x=%2F"), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_key_passes_and_the_app_is_told_whose_it_is() {
    let site = Site::start().await;
    let (key, bare) = (site.key().await, site.bare_key().await);
    for recipe in &site.recipes {
        let name = recipe.gateway().name();
        for (key, owner, scopes) in [(&key, "acme", "orders:read orders:write"), (&bare, "", "")] {
            let shown = [
                ("authorization", format!("Bearer {}", key.api_key)),
                ("authorization", format!("Basic {}", base64(&key.api_key))),
                ("x-api-key", key.api_key.clone()),
            ];
            for (header, value) in shown {
                let answer = client(recipe).get("/orders/7?cost=900&x=%2F").header(header, &value).open().await;
                let what = format!("{name}, {header}: {answer:?}");
                assert_eq!(answer.status(), 200, "{what}");
                let policy = answer.headers().get_all("ratelimit-policy").iter().collect::<Vec<_>>();
                let limits = answer.headers().get_all("ratelimit").iter().count();
                // Traefik hands nothing of a yes to the client.
                assert_eq!((policy.len(), limits), if recipe.gateway() == Gateway::Traefik { (0, 0) } else { (1, 1) }, "{what}");
                assert!(policy.iter().all(|policy| *policy == "\"key\";q=1000;w=2678400"), "{what}");
                assert_eq!(answer.text().await.unwrap(), "the app", "{what}");
                assert_told(&site, &what, key, owner, scopes);
            }
        }
    }
    // One token for each request, whatever its query says: nothing of that is the gate's.
    for key in [&key, &bare] {
        assert_eq!(site.spent(key).await, 3 * site.recipes.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn method_and_body_reach_the_app_and_not_the_gate() {
    let site = Site::start().await;
    let key = site.key().await;
    // More than the gate would read, and than a gateway holds in memory.
    let bodies = [String::new(), "an order".into(), "x".repeat(300_000)];
    for recipe in &site.recipes {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for body in &bodies {
                let what = format!("{}, {method} of {} bytes", recipe.gateway().name(), body.len());
                let call = client(recipe).with(&key.api_key).call(method.clone(), "/orders").body("text/plain", body.clone());
                assert_eq!(call.open().await.status(), 200, "{what}");
                let seen = site.app.take_one(&what);
                assert_eq!((seen.method.as_str(), seen.target.as_str()), (method.as_str(), "/orders"), "{what}");
                assert!(seen.body == body.as_bytes(), "{what}: {} bytes", seen.body.len());
            }
        }
        let answer = client(recipe).with(&key.api_key).call(Method::HEAD, "/orders").open().await;
        assert_eq!((answer.status().as_u16(), site.app.take_one("HEAD").method.as_str()), (200, "HEAD"), "{}", recipe.gateway().name());
    }
    assert_eq!(site.spent(&key).await, 13 * site.recipes.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_one_limit_through_all_gateways() {
    let site = Site::start().await;
    let key = site.key_of(json!({"rate_limit": {"burst": 7, "per_seconds": 86_400}})).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        for recipe in &site.recipes {
            statuses.push(client(recipe).with(&key.api_key).get("/").open().await.status().as_u16());
        }
    }
    assert_eq!(statuses, [vec![200; 7], vec![429; 3 * site.recipes.len() - 7]].concat());
    assert_eq!(site.app.take().len(), 7);
}
