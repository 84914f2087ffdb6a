//! What the app sees of a request that may pass, and its client of the answer.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::Ipv4Addr,
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request, response::Response};
use tollgate_layer::{Demand, GateOptions};
use tower::{Layer, Service};

use crate::stub::{PATIENT, StubNode, ask, gate};

#[tokio::test]
async fn the_app_is_told_who_it_is_and_never_what_the_client_says_of_that() {
    let node = StubNode::allowing().await;
    let layer = gate(&[&node.url], &PATIENT).layer(Demand::default());
    let spoofed = [
        ("authorization", "Bearer k:secret"),
        ("x-tollgate-key-id", "admin"),
        ("x-tollgate-owner", "other"),
        ("x-tollgate-owner", "another"),
        ("x_tollgate_scopes", "admin"),
        ("x.tollgate.owner", "other"),
        ("x-tollgate-role", "admin"),
        ("x-request-id", "mine-1"),
        ("accept", "text/plain"),
    ];
    let outcome = ask(&layer, &spoofed).await;
    assert_eq!(outcome.status, 200);
    let (headers, context) = outcome.app.as_ref().expect("the app was asked");
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "x-request-id", "x-tollgate-key-id", "x-tollgate-owner", "x-tollgate-scopes"]);
    let told = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((told("x-tollgate-key-id"), told("x-tollgate-owner"), told("x-tollgate-scopes")), (vec!["k"], vec!["acme"], vec!["a b"]));
    assert!(!GateOptions::default().keeps_credential, "the credential is kept from the app where nothing is chosen");
    let context = context.as_ref().expect("a context");
    assert_eq!((context.key_id.as_str(), context.owner.as_deref(), context.request_id.as_str()), ("k", Some("acme"), "mine-1"));
    assert_eq!(context.scopes, ["a", "b"]);
}

#[tokio::test]
async fn the_client_is_told_how_its_limits_stand() {
    let node = StubNode::allowing().await;
    let outcome = ask(&gate(&[&node.url], &PATIENT).layer(Demand::default()), &[("x-request-id", "mine-1")]).await;
    assert_eq!((outcome.header("ratelimit"), outcome.header("ratelimit-policy")), ("\"key\";r=1;t=48", "\"key\";q=5;w=60"));
    assert_eq!(outcome.header("x-request-id"), "mine-1");
    // Neither the identity nor what the node says of itself is the client's.
    assert!(!outcome.headers.contains_key("server") && !outcome.headers.contains_key("x-tollgate-key-id"), "{outcome:?}");
}

#[tokio::test]
async fn the_node_is_asked_for_what_the_route_demands_and_shown_all_credentials() {
    let node = StubNode::allowing().await;
    let gate = gate(&[&node.url], &PATIENT).with_address(|_| Some(Ipv4Addr::new(192, 0, 2, 7).into()));
    let layer = gate.layer(Demand::tokens(7).unwrap().with_scope("orders:read").unwrap());
    let sent =
        [("authorization", "Bearer a:b"), ("x-api-key", "c:d"), ("x-api-key", "e:f"), ("x-forwarded-for", "10.0.0.1"), ("cookie", "c")];
    ask(&layer, &sent).await;
    let asked = node.asked();
    let (uri, headers) = &asked[0];
    assert_eq!(uri, "/v1/authorize?cost=7&scope=orders%3Aread");
    let told = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((told("authorization"), told("x-api-key")), (vec!["Bearer a:b"], vec!["c:d", "e:f"]));
    assert_eq!((told("x-forwarded-for"), told("cookie")), (vec!["192.0.2.7"], vec![]));
}

#[tokio::test]
async fn a_good_trace_of_the_client_goes_on_as_it_is() {
    let node = StubNode::allowing().await;
    let layer = gate(&[&node.url], &PATIENT).layer(Demand::default());
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for traces in [&[given][..], &["00-x"], &[given, given], &[]] {
        let headers: Vec<_> = traces.iter().map(|trace| ("traceparent", *trace)).collect();
        ask(&layer, &headers).await;
    }
    let sent: Vec<_> = node.asked().into_iter().map(|(_, headers)| headers.get("traceparent").cloned()).collect();
    assert_eq!(sent[0].as_ref().expect("a trace"), given, "the gate makes no span, so it is nobody's parent");
    assert_eq!(sent[1..], [None, None, None]);
}

#[tokio::test]
async fn an_insane_or_doubled_request_id_is_replaced() {
    let node = StubNode::allowing().await;
    let layer = gate(&[&node.url], &PATIENT).layer(Demand::default());
    for ids in [&["a b"][..], &["a", "b"], &[]] {
        let headers: Vec<_> = ids.iter().map(|id| ("x-request-id", *id)).collect();
        let outcome = ask(&layer, &headers).await;
        let (seen, context) = outcome.app.as_ref().expect("the app was asked");
        let made = outcome.header("x-request-id");
        assert!(made.len() == 32 && seen.get_all("x-request-id").iter().all(|id| id == made), "{outcome:?}");
        assert_eq!(context.as_ref().expect("a context").request_id, made);
        assert_eq!(node.asked().last().unwrap().1["x-request-id"], made);
    }
}

#[tokio::test]
async fn a_route_of_which_nothing_is_demanded_is_asked_nothing() {
    let node = StubNode::allowing().await;
    let layer = gate(&[&node.url], &PATIENT).layer_by(|parts| (parts.uri.path() != "/orders").then(Demand::default));
    let outcome = ask(&layer, &[("x-tollgate-owner", "other"), ("authorization", "Basic its-own")]).await;
    assert_eq!((outcome.status, node.asked().len()), (200, 0));
    let (headers, context) = outcome.app.expect("the app was asked");
    assert!(context.is_none() && headers["x-tollgate-owner"].is_empty(), "{headers:?}");
    assert_eq!(headers["authorization"], "Basic its-own", "it is none of the gate's");
}

#[tokio::test]
async fn the_credential_is_kept_where_that_is_asked_for_and_inner_figures_win() {
    let (outer, inner) =
        (StubNode::allowing().await, StubNode::start(200, &[("x-tollgate-key-id", "k"), ("ratelimit", "\"key\";r=0;t=60")], "").await);
    let keeping = GateOptions { keeps_credential: true, ..PATIENT };
    let inner = gate(&[&inner.url], &keeping).layer(Demand::default());
    let outer = gate(&[&outer.url], &keeping).layer(Demand::default());
    let app = tower::service_fn(|request: Request| async move {
        assert_eq!(request.headers()["x-api-key"], "k:secret");
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let request = Request::get("/").header("x-api-key", "k:secret").body(Body::empty()).unwrap();
    let response = outer.layer(inner.layer(app)).call(request).await.unwrap();
    assert_eq!(
        (&response.headers()["ratelimit"], &response.headers()["ratelimit-policy"]),
        (&"\"key\";r=0;t=60".parse().unwrap(), &"\"key\";q=5;w=60".parse().unwrap())
    );
}

/// Fails a call that was not announced: a clone is not ready because its origin was.
#[derive(Debug, Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request> for Strict {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being ready");
        ready(Ok(Response::new(Body::empty())))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let node = StubNode::allowing().await;
    let mut service = gate(&[&node.url], &PATIENT).layer(Demand::default()).layer(Strict::default());
    for _ in 0..3 {
        std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        let response = service.call(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        service = service.clone();
    }
}
