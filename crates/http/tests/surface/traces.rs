//! The one line of each request, and its span.

use axum::http::Method;
use serde_json::{Value, json};
use tollgate_http::TelemetryOptions;
use tollgate_telemetry::{Attribute, FinishedSpan, Metrics, SpanKind, TraceOptions, Traces};

use crate::{
    logs::{Captured, capture},
    site::Site,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A site that tells of every request.
async fn talkative() -> Site {
    Site::with(|options| options.telemetry.allowed_ppm = 1_000_000).await
}

/// The fields of the lines about requests.
fn told(captured: &Captured) -> Vec<Value> {
    let lines = captured.lines().into_iter().filter(|line| line["fields"]["message"] == "request");
    lines.map(|line| line["fields"].clone()).collect()
}

/// The fields of the one line about this request.
fn line(captured: &Captured, id: &str) -> Value {
    let mut lines = told(captured).into_iter().filter(|line| line["request_id"] == id);
    let one = lines.next().unwrap_or_else(|| panic!("no line for {id}"));
    assert_eq!(lines.next(), None, "two lines for {id}");
    one
}

fn id_of(api_key: &str) -> &str {
    api_key.split(':').next().expect("an id")
}

#[tokio::test]
async fn a_line_has_these_fields_and_no_other() {
    let site = talkative().await;
    let api_key = site.key(json!({})).await;
    let (captured, _guard) = capture(tracing::Level::INFO);
    site.get("/v1/authorize?cost=2").bearer(&api_key).header("x-request-id", "r1").header("user-agent", "canary").send().await;
    site.get("/v1/authorize").header("x-request-id", "r2").send().await;
    let names = |id: &str| line(&captured, id).as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ");
    let common = "client duration_us";
    assert_eq!(names("r1"), format!("{common} key_id message method outcome request_id route status trace_id"));
    assert_eq!(names("r2"), "cause client code duration_us message method outcome request_id route status trace_id");
    let allowed = line(&captured, "r1");
    assert_eq!((&allowed["method"], &allowed["route"], &allowed["status"]), (&json!("GET"), &json!("/v1/authorize"), &json!(200)));
    assert_eq!((&allowed["outcome"], &allowed["key_id"]), (&json!("allowed"), &json!(id_of(&api_key))));
    assert!(allowed["duration_us"].is_u64() && allowed["client"] == "127.0.0.1", "{allowed}");
}

#[tokio::test]
async fn what_is_allowed_has_a_line_as_often_as_the_settings_say() {
    for (allowed_ppm, lines) in [(0, 0..1), (500_000, 300..700), (1_000_000, 1000..1001)] {
        let site = Site::with(|options| options.telemetry.allowed_ppm = allowed_ppm).await;
        let (captured, _guard) = capture(tracing::Level::INFO);
        for _ in 0..1000 {
            site.get("/health/live").send().await;
        }
        assert!(lines.contains(&told(&captured).len()), "{allowed_ppm}: {}", told(&captured).len());
    }
}

#[tokio::test]
async fn at_debug_every_request_has_one() {
    let site =
        Site::with(|options| options.telemetry = TelemetryOptions { allowed_ppm: 0, lines_per_second_max: 0, ..options.telemetry.clone() })
            .await;
    let api_key = site.key(json!({})).await;
    let (captured, _guard) = capture(tracing::Level::DEBUG);
    site.get("/v1/authorize").bearer(&api_key).header("x-request-id", "r1").send().await;
    site.get("/v1/authorize").header("x-request-id", "r2").send().await;
    site.get("/v1/keys").bearer(&site.admin).header("x-request-id", "r3").send().await;
    let outcomes = ["r1", "r2", "r3"].map(|id| line(&captured, id)["outcome"].clone());
    assert_eq!(outcomes, ["allowed", "denied", "answered"]);
}

#[tokio::test]
async fn every_kind_of_request_has_its_outcome_route_and_key() {
    let site = talkative().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 60}, "scopes": ["limit:write"]})).await;
    let (own, admin) = (json!(id_of(&api_key)), json!(id_of(&site.admin)));
    let (captured, _guard) = capture(tracing::Level::INFO);
    let named = json!({"namespace": "n", "id": "i", "rate_limit": {"burst": 1, "per_seconds": 60}});
    let told = |id: &str| {
        let line = line(&captured, id);
        (line["outcome"].clone(), line["route"].clone(), line["status"].clone(), line["key_id"].clone())
    };
    let row = |outcome: &str, route: &str, status: u16, key_id: &Value| (json!(outcome), json!(route), json!(status), key_id.clone());
    let call = |method: &str, path: &str, id: &str| site.call(method.parse().expect("a method"), path).header("x-request-id", id);
    call("POST", "/v1/check", "allowed").json(&json!({"api_key": api_key})).send().await;
    call("POST", "/v1/check", "limited").json(&json!({"api_key": api_key})).send().await;
    call("POST", "/v1/check", "denied").json(&json!({"api_key": format!("{api_key}x")})).send().await;
    call("GET", "/v1/authorize/a/b?c", "forwarded").bearer(&site.admin).send().await;
    call("POST", "/v1/limit", "named").bearer(&site.admin).json(&named).send().await;
    call("POST", "/v1/limit", "named-again").bearer(&site.admin).json(&named).send().await;
    call("GET", "/v1/keys", "called").bearer(&site.admin).send().await;
    call("GET", "/health/full", "health").bearer(&site.admin).send().await;
    call("GET", "/health/live", "served").send().await;
    call("GET", "/v1/keys/tk_x/more/than/that?api=1", "unmatched").send().await;
    call("MADE-UP", "/v1/keys", "method").send().await;
    assert_eq!(told("allowed"), row("allowed", "/v1/check", 200, &own));
    assert_eq!(told("limited"), row("limited", "/v1/check", 200, &own));
    assert_eq!(told("denied"), row("denied", "/v1/check", 200, &Value::Null));
    assert_eq!(told("forwarded"), row("allowed", "/v1/authorize/{rest}", 200, &admin));
    assert_eq!(told("named"), row("allowed", "/v1/limit", 200, &admin));
    assert_eq!(told("named-again"), row("limited", "/v1/limit", 200, &admin));
    assert_eq!(told("called"), row("answered", "/v1/keys", 200, &admin));
    assert_eq!(told("health"), row("answered", "/health/full", 200, &admin));
    assert_eq!(told("served"), row("answered", "/health/live", 200, &Value::Null));
    assert_eq!(told("unmatched"), row("refused", "unmatched", 404, &Value::Null));
    assert_eq!(line(&captured, "method")["method"], "other");
}

#[tokio::test]
async fn the_client_is_whom_the_gate_counts() {
    let site = Site::with(|options| {
        options.telemetry.allowed_ppm = 1_000_000;
        options.trusted_proxies = vec!["127.0.0.1".parse().expect("a network")];
    })
    .await;
    let (captured, _guard) = capture(tracing::Level::INFO);
    site.get("/health/live").header("x-request-id", "r1").header("x-forwarded-for", "203.0.113.9").send().await;
    site.get("/health/live").header("x-request-id", "r2").header("x-forwarded-for", "2001:db8:1:2:3:4:5:6").send().await;
    assert_eq!((&line(&captured, "r1")["client"], &line(&captured, "r2")["client"]), (&json!("203.0.113.9"), &json!("2001:db8:1:2::")));
}

#[tokio::test]
async fn a_good_trace_is_in_line_and_span_and_of_others_a_new_one() {
    let site = talkative().await;
    let (captured, _guard) = capture(tracing::Level::INFO);
    let good = format!("00-{TRACE}-{SPAN}-01");
    site.get("/v1/keys").bearer(&site.admin).header("x-request-id", "r1").header("traceparent", &good).send().await;
    site.get("/v1/keys/tk_x").bearer(&site.admin).header("x-request-id", "r2").header("traceparent", &good).send().await;
    site.get("/v1/keys").bearer(&site.admin).header("x-request-id", "r3").header("traceparent", good.to_uppercase()).send().await;
    for id in ["r1", "r2"] {
        let lines = captured.lines();
        let line = lines.iter().find(|line| line["fields"]["request_id"] == id).expect("a line");
        assert_eq!((&line["fields"]["trace_id"], &line["span"]["trace_id"]), (&json!(TRACE), &json!(TRACE)), "{line}");
    }
    let new = line(&captured, "r3")["trace_id"].as_str().expect("an id").to_owned();
    assert!(new.len() == 32 && new.bytes().all(|byte| byte.is_ascii_hexdigit()) && !new.eq_ignore_ascii_case(TRACE), "{new}");
}

/// A site whose spans are kept, and what keeps them.
async fn traced(sample_ppm: u32) -> (Site, Traces) {
    let traces = Traces::new(TraceOptions { sample_ppm, spans_max: 100 }, Metrics::noop());
    let site = Site::with(|options| options.telemetry.traces = Some(traces.clone())).await;
    (site, traces)
}

fn attribute<'a>(span: &'a FinishedSpan, name: &str) -> Option<&'a Attribute> {
    span.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[tokio::test]
async fn a_span_is_of_the_callers_trace_and_tells_what_the_line_tells() {
    let (site, traces) = traced(0).await;
    let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 60}})).await;
    let send = |flags: &str| {
        site.get("/v1/authorize")
            .bearer(&api_key)
            .header("x-request-id", "r1")
            .header("traceparent", format!("00-{TRACE}-{SPAN}-{flags}"))
            .send()
    };
    assert_eq!((send("00").await.status, traces.take(9)), (200, Vec::new()), "its sender does not want it");
    assert_eq!(send("01").await.status, 429);
    let spans = traces.take(9);
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(
        (span.context.trace_id.to_string(), span.parent.map(|parent| parent.to_string())),
        (TRACE.to_owned(), Some(SPAN.to_owned()))
    );
    assert_ne!(span.context.span_id.to_string(), SPAN);
    assert_eq!((span.name.as_str(), span.is_failure), ("GET /v1/authorize", false));
    assert!(span.began <= span.ended);
    let text = |text: &str| Some(Attribute::Text(text.to_owned()));
    for (name, value) in [
        ("http.request.method", text("GET")),
        ("http.route", text("/v1/authorize")),
        ("http.response.status_code", Some(Attribute::Whole(429))),
        ("client.address", text("127.0.0.1")),
        ("tollgate.request_id", text("r1")),
        ("tollgate.outcome", text("limited")),
        ("tollgate.key_id", text(id_of(&api_key))),
        ("error.type", text("https://iana.org/assignments/http-problem-types#quota-exceeded")),
    ] {
        assert_eq!(attribute(span, name), value.as_ref(), "{name}");
    }
}

#[tokio::test]
async fn what_a_request_has_waited_for_lies_under_its_span() {
    let (site, traces) = traced(0).await;
    let traceparent = format!("00-{TRACE}-{SPAN}-01");
    let send = |method: &str, path: &str| site.call(method.parse().expect("a method"), path).header("traceparent", &traceparent);
    let api_key = site.key(json!({})).await;
    // A call of the control plane runs in a task of its own, a decision does not.
    let made = send("POST", "/v1/keys").bearer(&site.admin).json(&json!({"name": "x"})).send().await;
    assert_eq!(made.status, 201);
    assert_eq!(send("GET", "/v1/authorize").bearer(&api_key).send().await.status, 200);
    assert_eq!(send("GET", "/v1/authorize").bearer(&api_key).send().await.status, 200);
    let spans = traces.take(9);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["POST /v1/keys", "argon2", "GET /v1/authorize", "argon2", "GET /v1/authorize"], "only the first use is hashed");
    for (request, step) in [(&spans[0], &spans[1]), (&spans[2], &spans[3])] {
        assert_eq!((step.parent, step.context.trace_id), (Some(request.context.span_id), request.context.trace_id));
        assert!(step.context.span_id != request.context.span_id && !step.is_failure, "{step:?}");
        assert!((SpanKind::Server, SpanKind::Internal) == (request.kind, step.kind) && step.began <= step.ended, "{step:?}");
    }
    assert_ne!(spans[1].context.span_id, spans[3].context.span_id);
}

#[tokio::test]
async fn without_a_trace_the_settings_decide() {
    let (site, traces) = traced(1_000_000).await;
    site.call(Method::GET, "/health/live").send().await;
    site.call(Method::GET, "/health/live").send().await;
    let spans = traces.take(9);
    assert!(spans.len() == 2 && spans.iter().all(|span| span.parent.is_none()), "{spans:?}");
    assert_ne!(spans[0].context.trace_id, spans[1].context.trace_id);
    let (site, traces) = traced(0).await;
    site.call(Method::GET, "/health/live").send().await;
    assert_eq!(traces.take(9), []);
}
