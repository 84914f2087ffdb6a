//! What operators find afterwards: one id in all places, traces, whole lines, a fixed number of series.

mod fuzzed;
mod series;

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::{Fleet, Node, NodeBuilder, Scratch, eventually, tollgate};

use crate::support::{Api, Cluster, Collector, SentSpan, metric};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
/// Longer than any machine takes.
const WITHIN: Duration = Duration::from_mins(1);

/// A node whose log is JSON, and its admin key.
struct Site {
    node: Node,
    admin_key: String,
    _folder: Scratch,
}

impl Site {
    async fn start(change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        let folder = Scratch::new("telemetry").unwrap();
        let builder = Node::embedded(folder.path()).env("TOLLGATE_LOG__FORMAT", "json");
        let admin_key = builder.run(&["bootstrap"]).await.unwrap();
        let node = change(builder).start().await.unwrap();
        Self { node, admin_key, _folder: folder }
    }

    /// One that sends spans to this collector, as soon as there are any.
    async fn sending_to(collector: &Collector, change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        let url = collector.url.clone();
        Self::start(|builder| {
            let builder = builder.env("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", url).env("TOLLGATE_TELEMETRY__EXPORT_INTERVAL", "10ms");
            change(builder.env("TOLLGATE_TELEMETRY__SAMPLE_PPM", "0"))
        })
        .await
    }

    fn admin(&self) -> Api {
        Api::of(&self.node).with(&self.admin_key)
    }

    /// The log, each line of which must be one JSON object.
    fn lines(&self) -> Vec<Value> {
        let log = self.node.process().stderr();
        let parsed = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line:?}")));
        let lines: Vec<Value> = parsed.collect();
        assert!(lines.iter().all(Value::is_object), "{log}");
        lines
    }

    /// The lines about requests with this id.
    fn lines_of(&self, request_id: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["message"] == "request" && line["request_id"] == request_id).collect()
    }

    /// Runs a command against the node: its exit status and what it wrote to standard error.
    async fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = tokio::process::Command::from(tollgate(arguments).unwrap());
        let command = command.env("TOLLGATE_URL", self.node.url()).env("TOLLGATE_API_KEY", &self.admin_key);
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[tokio::test]
async fn one_id_is_in_the_output_of_a_command_the_log_the_audit_row_the_problem_and_the_trace() {
    let collector = Collector::start().await;
    let site = Site::sending_to(&collector, |builder| builder).await;
    let id = "change-4711";
    let (made, output) = site.command(&["keys", "create", "--name", "x", "--request-id", id]).await;
    assert_eq!(made, Some(0), "{output}");
    let (failed, output) = site.command(&["keys", "show", "nobody", "--request-id", id]).await;
    assert!(failed == Some(5) && output.contains(&format!("(request id {id})")), "{output}");
    assert_eq!(site.admin().get("/v1/keys/nobody").request_id(id).send().await.expect(404).problem().request_id, id);
    let audit = site.admin().get("/v1/audit").send().await.expect(200).json();
    let rows = audit["entries"].as_array().unwrap_or_else(|| panic!("{audit}"));
    assert_eq!(rows.iter().filter(|row| row["request_id"] == id).count(), 1, "{audit}");
    let lines = site.lines_of(id);
    let told: Vec<(&Value, &Value)> = lines.iter().map(|line| (&line["route"], &line["status"])).collect();
    let show = json!("/v1/keys/{key_id}");
    assert_eq!(told, [(&json!("/v1/keys"), &json!(201)), (&show, &json!(404)), (&show, &json!(404))], "{lines:?}");
    for line in &lines[..2] {
        let trace_id = line["trace_id"].as_str().unwrap();
        let span = collector.span("the command's span", |span| span.text("traceId") == trace_id).await;
        assert_eq!(span.attribute("tollgate.request_id"), id);
        assert_eq!(
            (span.attribute("http.route"), span.attribute("tollgate.key_id")),
            (line["route"].as_str().unwrap(), line["key_id"].as_str().unwrap())
        );
        assert_ne!(span.text("parentSpanId"), "", "the command's own");
    }
}

#[tokio::test]
async fn a_command_its_request_and_what_that_waited_for_are_one_tree() {
    let collector = Collector::start().await;
    let telemetry = [("OTLP_ENDPOINT", collector.url.as_str()), ("EXPORT_INTERVAL", "10ms"), ("SAMPLE_PPM", "0")];
    let fleet = telemetry.iter().fold(Fleet::builder(1), |fleet, (name, value)| fleet.env(&format!("TOLLGATE_TELEMETRY__{name}"), *value));
    let cluster = Cluster::of(fleet).await;
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::from(tollgate(&[arguments, &["--output", "json"]].concat()).unwrap());
        command.env("TOLLGATE_URL", cluster.fleet.nodes[0].url()).env("TOLLGATE_API_KEY", &cluster.fleet.admin_key);
        let output = command.env("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", &collector.url).output().await.unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let made = run(&["keys", "create", "--name", "x"]).await;
    let of_command = collector.span("the command's", |span| span.text("name") == "tollgate keys create").await;
    assert_eq!((of_command.0["kind"].clone(), of_command.text("parentSpanId")), (json!(3), ""));
    let below = async |parent: &SentSpan, name: &str| {
        let is_it = |span: &SentSpan| span.text("parentSpanId") == parent.text("spanId") && span.text("name") == name;
        let found = collector.span(name, is_it).await;
        assert_eq!(found.text("traceId"), parent.text("traceId"));
        found
    };
    let request = below(&of_command, "POST /v1/keys").await;
    for (step, kind, store) in
        [("argon2", 1, ""), ("postgres", 3, "postgresql"), ("redis receipt", 3, "redis"), ("redis decision", 3, "redis")]
    {
        let step = below(&request, step).await;
        assert_eq!((step.0["kind"].clone(), step.attribute("db.system.name")), (json!(kind), store), "{step:?}");
    }
    let api = cluster.node(0).with(made["api_key"].as_str().unwrap());
    api.get("/v1/authorize").header("traceparent", &format!("00-{TRACE}-{SPAN}-01")).send().await.expect(200);
    let request = collector.span("the decision's", |span| span.text("parentSpanId") == SPAN).await;
    below(&request, "redis decision").await;
    run(&["keys", "revoke", made["key_id"].as_str().unwrap()]).await;
    let of_command = collector.span("the other command's", |span| span.text("name") == "tollgate keys revoke").await;
    let request = below(&of_command, "POST /v1/keys/{key_id}/revoke").await;
    below(&request, "redis fence").await;
}

#[tokio::test]
async fn the_id_that_a_failed_command_prints_is_the_trace_to_look_for() {
    let collector = Collector::start().await;
    let site = Site::sending_to(&collector, |builder| builder).await;
    let (failed, output) = site.command(&["keys", "show", "nobody"]).await;
    assert_eq!(failed, Some(5), "{output}");
    let id = output.split("(request id ").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_else(|| panic!("{output}"));
    let span = collector.span("a span of that trace", |span| span.text("traceId") == id).await;
    assert_eq!((span.attribute("tollgate.request_id"), span.text("name")), (id, "GET /v1/keys/{key_id}"));
    let lines = site.lines_of(id);
    assert!(lines.len() == 1 && lines[0]["trace_id"] == id, "{lines:?}");
}

#[tokio::test]
async fn a_health_check_asks_for_no_trace_of_its_own() {
    let collector = Collector::start().await;
    let site = Site::sending_to(&collector, |builder| builder).await;
    let id = "container-check";
    assert_eq!(site.command(&["health", "--request-id", id]).await.0, Some(0));
    assert_eq!(site.command(&["keys", "list", "--request-id", "asked"]).await.0, Some(0));
    collector.span("that of the command after it", |span| span.attribute("tollgate.request_id") == "asked").await;
    let spans = collector.spans();
    assert!(!spans.iter().any(|span| span.attribute("tollgate.request_id") == id), "{spans:?}");
}

#[tokio::test]
async fn a_trace_goes_on_under_its_parent_and_a_bad_one_is_ignored() {
    let collector = Collector::start().await;
    let site = Site::sending_to(&collector, |builder| builder).await;
    let ask = |id: &str, traceparent: &str| site.admin().get("/v1/authorize").request_id(id).header("traceparent", traceparent);
    ask("unwanted", &format!("00-{TRACE}-{SPAN}-00")).send().await.expect(200);
    ask("bad", &format!("00-{TRACE}-{SPAN}-01x")).send().await.expect(200);
    ask("good", &format!("00-{TRACE}-{SPAN}-01")).send().await.expect(200);
    let span = collector.span("the one span", |span| span.attribute("tollgate.request_id") == "good").await;
    assert_eq!((span.text("traceId"), span.text("parentSpanId"), span.0["kind"].clone()), (TRACE, SPAN, json!(2)));
    let took = span.text("endTimeUnixNano").parse::<u64>().unwrap() - span.text("startTimeUnixNano").parse::<u64>().unwrap();
    assert!(took < 60_000_000_000, "{took} ns");
    assert_eq!(collector.spans().len(), 1, "one after the other, so nothing of the first two is on its way: {:?}", collector.spans());
}

#[tokio::test]
async fn a_collector_that_is_gone_or_refuses_costs_spans_and_no_request() {
    let collector = Collector::start().await;
    collector.refuse(400);
    let site = Site::sending_to(&collector, |builder| builder.env("TOLLGATE_TELEMETRY__SAMPLE_PPM", "1000000")).await;
    let lost = async || {
        let lost = metric(&site.node, "tollgate_spans_total{outcome=\"failed\"}").await;
        anyhow::ensure!(lost > 0, "none yet");
        Ok(())
    };
    site.admin().authorize("").await.expect(200);
    eventually("a refused span is counted", WITHIN, lost).await.unwrap();
    // What may be taken later is sent three times, and then no more.
    collector.refuse(503);
    let before = collector.calls();
    site.admin().authorize("").await.expect(200);
    let again = async || {
        anyhow::ensure!(collector.calls() >= before + 3, "{} calls", collector.calls());
        Ok(())
    };
    eventually("three attempts", WITHIN, again).await.unwrap();
    assert_eq!(collector.spans().len(), 0);
    assert_eq!(metric(&site.node, "tollgate_spans_total{outcome=\"exported\"}").await, 0);
}

#[tokio::test]
async fn what_waits_is_bounded_and_the_last_spans_are_sent_when_the_node_stops() {
    let collector = Collector::start().await;
    let site = Site::sending_to(&collector, |builder| {
        builder.env("TOLLGATE_TELEMETRY__SPANS_MAX", "3").env("TOLLGATE_TELEMETRY__EXPORT_INTERVAL", "1m")
    })
    .await;
    // Its secret is hashed now: each of the others is one span.
    site.admin().authorize("").await.expect(200);
    for _ in 0..5 {
        site.admin().get("/v1/authorize").header("traceparent", &format!("00-{TRACE}-{SPAN}-01")).send().await.expect(200);
    }
    assert_eq!(metric(&site.node, "tollgate_spans_total{outcome=\"queue_full\"}").await, 2);
    assert_eq!(collector.calls(), 0, "nothing is due for a minute");
    assert_eq!(site.node.stop().await.unwrap().code(), Some(0));
    assert_eq!(collector.spans().len(), 3);
}
