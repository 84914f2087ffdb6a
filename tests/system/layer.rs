//! The example app of the tower layer before real nodes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tollgate_layer::{GateOptions, OutageMode, RemoteGate};

use crate::support::{Api, Cluster};

#[path = "../../crates/layer/examples/orders/app.rs"]
mod orders;

/// Longer than a busy machine takes for a decision.
fn patient() -> GateOptions {
    GateOptions { timeout: Duration::from_mins(1), deadline: Duration::from_mins(2), ..GateOptions::default() }
}

/// The app behind a gate of these nodes, until the test ends.
async fn app(cluster: &Cluster, options: &GateOptions) -> Plain {
    let urls: Vec<String> = cluster.fleet.nodes.iter().map(tollgate_testkit::Node::url).collect();
    let gate = RemoteGate::new(&urls.iter().map(String::as_str).collect::<Vec<_>>(), options).unwrap();
    let app = orders::app(&gate).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Plain { address, http: reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap() }
}

/// A client of the app, which is not a node and promises less.
struct Plain {
    address: SocketAddr,
    http: reqwest::Client,
}

/// Status, headers, body.
type Told = (u16, reqwest::header::HeaderMap, String);

impl Plain {
    async fn get(&self, path: &str, api_key: Option<&str>) -> Told {
        let request = self.http.get(format!("http://{}{path}", self.address)).header("x-tollgate-owner", "forged");
        let request = api_key.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.text().await.unwrap())
    }
}

#[tokio::test]
async fn an_app_behind_the_layer_lets_in_whom_the_nodes_let_in() {
    let cluster = Cluster::start(1).await;
    let app = app(&cluster, &patient()).await;
    let limit = json!({"burst": 25, "per_seconds": 86_400});
    let key = cluster.key(json!({"owner": "acme", "scopes": ["orders:read", "reports:read"], "rate_limit": limit})).await;
    let (status, headers, body) = app.get("/orders", Some(&key.api_key)).await;
    assert_eq!((status, body.as_str()), (200, "for acme\n"));
    assert_eq!(headers["ratelimit-policy"], "\"key\";q=25;w=86400");
    // A report costs ten: 1 + 10 + 10 of 25 are spent, and the next is too much.
    for left in [14, 4] {
        let (status, headers, _) = app.get("/reports", Some(&key.api_key)).await;
        let told = headers["ratelimit"].to_str().unwrap().starts_with(&format!("\"key\";r={left};"));
        assert!(status == 200 && told, "{status} {headers:?}");
    }
    let (status, headers, body) = app.get("/reports", Some(&key.api_key)).await;
    let problem: tollgate_api::Problem = serde_json::from_str(&body).unwrap();
    assert_eq!((status, problem.instance.as_str(), problem.violated_policies), (429, "/reports", vec!["key".to_owned()]));
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((20_000..=20_736).contains(&seconds) && headers["ratelimit"].to_str().unwrap().contains("r=4"), "{headers:?}");
    assert_eq!(headers["x-request-id"], problem.request_id.as_str());
}

#[tokio::test]
async fn an_app_behind_the_layer_refuses_as_the_nodes_do() {
    let cluster = Cluster::start(1).await;
    let app = app(&cluster, &patient()).await;
    let key = cluster.key(json!({"scopes": ["orders:read"]})).await;
    let (status, headers, body) = app.get("/orders", None).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (401, "application/problem+json"), "{body}");
    assert!(headers.contains_key("www-authenticate") && !headers.contains_key("ratelimit"), "{headers:?}");
    assert_eq!(app.get("/reports", Some(&key.api_key)).await.0, 403);
    assert_eq!(app.get("/health", None).await.0, 200);
    key.revoke(&cluster.admin()).await;
    let (status, _, body) = app.get("/orders", Some(&key.api_key)).await;
    assert!(status == 401 && !body.contains(&key.api_key), "{body}");
}

#[tokio::test]
async fn an_app_behind_the_layer_goes_on_with_the_node_that_is_left_and_then_as_its_mode_says() {
    let cluster = Cluster::start(2).await;
    let closed = app(&cluster, &patient()).await;
    let open = app(&cluster, &GateOptions { outage: OutageMode::FailOpen, ..patient() }).await;
    let key = cluster.key(json!({"owner": "acme", "scopes": ["orders:read"]})).await;
    cluster.fleet.nodes[0].kill().unwrap();
    assert_eq!(closed.get("/orders", Some(&key.api_key)).await.2, "for acme\n");
    assert_eq!(open.get("/orders", Some(&key.api_key)).await.2, "for acme\n");
    assert_eq!(Api::of(&cluster.fleet.nodes[1]).authorize("").await.status, 401, "it lives");
    cluster.fleet.nodes[1].kill().unwrap();
    // A connection that was open when the node died may break after the request was sent, or not
    // be made at all: either way nobody has decided.
    let (status, headers, _) = closed.get("/orders", Some(&key.api_key)).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "1"));
    let (status, _, body) = open.get("/orders", Some("forged:key")).await;
    assert_eq!((status, body.as_str()), (200, "for somebody\n"));
}
