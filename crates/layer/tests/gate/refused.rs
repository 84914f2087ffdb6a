//! What the client of the app is told where a node says no.

use tollgate_layer::{Demand, GateOptions, OutageMode};

use crate::stub::{StubNode, ask, gate};

const OPEN: GateOptions = GateOptions {
    timeout: std::time::Duration::from_secs(30),
    deadline: std::time::Duration::from_mins(1),
    calls_max: 10,
    outage: OutageMode::FailOpen,
    resend_unanswered: true,
    keeps_credential: false,
    idle_connections_max: 1,
    ca_pem: None,
};

#[tokio::test]
async fn a_refusal_is_passed_on_with_its_headers_as_one_of_this_request() {
    let told = [
        ("retry-after", "12"),
        ("ratelimit", "\"key\";r=0;t=60"),
        ("ratelimit-policy", "\"key\";q=5;w=60"),
        ("x-ratelimit-limit", "5"),
        ("www-authenticate", "Bearer realm=\"tollgate\""),
        ("warning", "299 tollgate \"old\""),
        ("sunset", "Sat, 31 Jan 2026 00:00:00 GMT"),
    ];
    for status in [400, 401, 403, 422, 429, 503] {
        let node = StubNode::refusing(status, &told).await;
        // A node that says no, or that it cannot say, is no outage.
        let outcome = ask(&gate(&[&node.url], &OPEN).layer(Demand::default()), &[("x-request-id", "mine-1")]).await;
        let problem = outcome.problem();
        assert_eq!((outcome.status, problem.instance.as_str(), problem.detail.as_str()), (status, "/orders", "not you"));
        assert_eq!((problem.request_id.as_str(), problem.pointer), ("r", None));
        for (name, value) in told {
            assert_eq!(outcome.header(name), value, "{status}: {name}");
        }
        assert_eq!(node.asked().len(), 1, "{status}: asked once, however long it takes to come back");
    }
}

#[tokio::test]
async fn the_request_id_of_a_refusal_is_one_and_the_same() {
    let node = StubNode::refusing(401, &[("x-request-id", "theirs")]).await;
    let outcome = ask(&gate(&[&node.url], &OPEN).layer(Demand::default()), &[("x-request-id", "mine-1")]).await;
    // The answer and its body tell one id: that of the body.
    assert_eq!((outcome.header("x-request-id"), outcome.problem().request_id.as_str()), ("r", "r"));
}

#[tokio::test]
async fn what_is_no_decision_lets_nobody_in_even_where_the_gate_fails_open() {
    let strangers = [
        StubNode::start(200, &[], "<h1>Welcome</h1>").await,
        StubNode::start(404, &[("content-type", "text/html")], "").await,
        StubNode::start(302, &[("location", "http://127.0.0.1:9/")], "").await,
        StubNode::refusing(404, &[]).await,
        StubNode::refusing(500, &[]).await,
    ];
    for node in strangers {
        let outcome = ask(&gate(&[&node.url], &OPEN).layer(Demand::default()), &[]).await;
        assert_eq!((outcome.problem().status, outcome.header("retry-after")), (503, "1"));
        assert!(!outcome.body.contains("not you"), "{outcome:?}");
    }
}
