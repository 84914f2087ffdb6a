//! Nodes that are gone or silent, and too many requests at once.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode};
use tokio::sync::{Notify, Semaphore};
use tollgate_layer::{Demand, GateLayer, GateOptions, OutageMode};

use crate::stub::{Outcome, PATIENT, StubNode, ask, breaking, gate, gone, serve, silent};

const OPEN: GateOptions = GateOptions { outage: OutageMode::FailOpen, ..PATIENT };

fn layer(urls: &[&str], options: &GateOptions) -> GateLayer {
    gate(urls, options).layer(Demand::default())
}

/// Passed with nobody knowing whose request it is.
fn expect_open(outcome: &Outcome) {
    assert_eq!(outcome.status, 200, "{outcome:?}");
    let (headers, context) = outcome.app.as_ref().expect("the app was asked");
    assert!(context.is_none(), "{context:?}");
    for name in ["x-tollgate-key-id", "x-tollgate-owner", "x-tollgate-scopes"] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [""], "{name}");
    }
    assert!(!headers.contains_key("authorization"), "{headers:?}");
}

#[tokio::test]
async fn without_nodes_the_mode_decides() {
    let bad_gateway = StubNode::start(502, &[("content-type", "text/html")], "").await;
    let (gone_url, _socket) = gone();
    for url in [gone_url, bad_gateway.url] {
        let closed = ask(&layer(&[&url], &PATIENT), &[("x-request-id", "mine-1")]).await;
        let problem = closed.problem();
        assert_eq!((problem.status, closed.header("retry-after"), closed.header("x-request-id")), (503, "1", "mine-1"));
        assert_eq!(problem.kind, "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
        assert_eq!((problem.instance.as_str(), problem.request_id.as_str()), ("/orders", "mine-1"));
        let spoofed = [("x-tollgate-owner", "other"), ("authorization", "Bearer k:secret")];
        expect_open(&ask(&layer(&[&url], &OPEN), &spoofed).await);
    }
    assert_eq!(GateOptions::default().outage, OutageMode::FailClosed, "closed is what is not chosen");
}

#[tokio::test]
async fn a_node_that_is_gone_is_passed_over() {
    let node = StubNode::allowing().await;
    let (first, other) = (gone(), gone());
    let layer = layer(&[&first.0, &other.0, &node.url], &PATIENT);
    for asked in 1..=3 {
        assert_eq!(ask(&layer, &[]).await.status, 200);
        assert_eq!(node.asked().len(), asked);
    }
}

#[tokio::test]
async fn a_node_that_may_have_charged_is_followed_by_no_other_unless_that_is_wanted() {
    let ((silent_url, _listener), node) = (silent().await, StubNode::allowing().await);
    let brief = GateOptions { timeout: Duration::from_secs(1), ..PATIENT };
    for (url, options) in [(silent_url, &brief), (breaking().await, &PATIENT)] {
        assert_eq!(ask(&layer(&[&url, &node.url], options), &[]).await.problem().status, 503);
        assert_eq!(node.asked().len(), 0);
    }
    let careless = GateOptions { resend_unanswered: true, ..PATIENT };
    assert_eq!(ask(&layer(&[&breaking().await, &node.url], &careless), &[]).await.status, 200);
    assert_eq!(node.asked().len(), 1);
}

#[tokio::test]
async fn a_node_that_failed_costs_one_request() {
    let node = StubNode::allowing().await;
    let layer = layer(&[&breaking().await, &node.url], &OPEN);
    expect_open(&ask(&layer, &[]).await);
    for asked in 1..=3 {
        assert_eq!(ask(&layer, &[]).await.app.expect("asked").1.expect("a context").key_id, "k");
        assert_eq!(node.asked().len(), asked);
    }
}

#[tokio::test]
async fn the_deadline_holds_over_all_nodes() {
    let silents = [silent().await, silent().await, silent().await];
    let urls: Vec<&str> = silents.iter().map(|(url, _)| url.as_str()).collect();
    let options = GateOptions { deadline: Duration::from_millis(300), resend_unanswered: true, ..PATIENT };
    let began = tokio::time::Instant::now();
    assert_eq!(ask(&layer(&urls, &options), &[]).await.problem().status, 503);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_request_more_than_may_wait_is_told_to_come_back_and_never_let_in() {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (seen, held) = (Arc::clone(&arrived), Arc::clone(&go_on));
    let node = serve(Router::new().fallback(move || {
        let (seen, held) = (Arc::clone(&seen), Arc::clone(&held));
        async move {
            seen.notify_one();
            held.acquire().await.expect("open").forget();
            ([("x-tollgate-key-id", "k")], StatusCode::OK)
        }
    }))
    .await;
    let layer = layer(&[&node], &GateOptions { calls_max: 1, ..OPEN });
    let waiting = tokio::spawn({
        let layer = layer.clone();
        async move { ask(&layer, &[]).await }
    });
    arrived.notified().await;
    for _ in 0..3 {
        let busy = ask(&layer, &[]).await;
        assert_eq!((busy.problem().status, busy.header("retry-after")), (503, "1"));
    }
    go_on.add_permits(2);
    assert_eq!(waiting.await.unwrap().status, 200);
    // The place is free again, also after one who went away while waiting.
    assert_eq!(ask(&layer, &[]).await.status, 200);
    arrived.notified().await;
    let gone = tokio::spawn({
        let layer = layer.clone();
        async move { ask(&layer, &[]).await }
    });
    arrived.notified().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    go_on.add_permits(2);
    assert_eq!(ask(&layer, &[]).await.status, 200);
}
