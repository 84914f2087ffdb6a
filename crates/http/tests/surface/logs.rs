//! What the log tells, and what it never does.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use axum::http::Method;
use serde_json::{Value, json};
use tollgate_http::TelemetryOptions;
use tollgate_telemetry::Recorder;
use tracing_subscriber::fmt::MakeWriter;

use crate::site::Site;

/// Everything that was logged.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// All lines, each one JSON object.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let bytes = self.0.lock().expect("a sound lock").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a sound lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

pub(crate) fn capture(level: tracing::Level) -> (Captured, tracing::subscriber::DefaultGuard) {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(level).with_writer(captured.clone()).finish();
    (captured, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn secrets_are_in_no_line_whatever_is_logged() {
    let (captured, _guard) = capture(tracing::Level::TRACE);
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 60}})).await;
    let secret = api_key.split(':').nth(1).expect("a secret");
    let in_query = format!("/v1/authorize?api_key={}", api_key.replace(':', "%3A"));
    let wrong_field = format!(r#"{{"name":"n","rate_limit":"{api_key}"}}"#);
    site.get("/v1/authorize").bearer(&api_key).send().await;
    site.get("/v1/authorize").bearer(&api_key).send().await;
    site.get("/v1/authorize").bearer(&format!("{api_key}x")).send().await;
    site.get("/v1/authorize").bearer(&api_key).header("x-api-key", &api_key).send().await;
    site.get(&in_query).send().await;
    site.get(&format!("/v1/authorize/x?k={api_key}")).bearer(&api_key).send().await;
    site.post("/v1/check").json(&json!({"api_key": api_key})).send().await;
    site.post("/v1/check").json(&json!({"api_key": format!("{api_key}x"), "scope": "x"})).send().await;
    site.post("/v1/check").json(&json!({"cost": api_key})).send().await;
    site.post("/v1/keys").bearer(&site.admin).text("application/json", &wrong_field).send().await;
    let lines = captured.lines();
    assert!(lines.len() > 10, "something was logged");
    for line in lines {
        assert!(!line.to_string().contains(secret), "{line}");
    }
}

#[tokio::test]
async fn a_refusal_is_one_line_that_names_request_key_and_cause() {
    let site = Site::start().await;
    let api_key = site.key(json!({"rate_limit": {"burst": 1, "per_seconds": 60}})).await;
    site.get("/v1/authorize").bearer(&api_key).send().await;
    let (captured, _guard) = capture(tracing::Level::INFO);
    site.get("/v1/authorize?cost=1").bearer(&api_key).header("x-request-id", "r1").send().await;
    site.get("/v1/authorize").header("x-request-id", "r2").send().await;
    site.call(Method::PATCH, "/v1/keys/tk_x").bearer(&site.admin).header("x-request-id", "r3").json(&json!({})).send().await;
    let lines = captured.lines();
    let line = |id: &str| {
        let mut of_request = lines.iter().filter(|line| line["fields"]["request_id"] == id);
        let one = of_request.next().expect("a line");
        assert!(of_request.next().is_none(), "two lines for {id}");
        one.clone()
    };
    let limited = line("r1");
    assert_eq!(limited["fields"]["key_id"], api_key.split(':').next().expect("an id"));
    assert_eq!((&limited["fields"]["status"], &limited["fields"]["route"]), (&json!(429), &json!("/v1/authorize")), "no query");
    assert_eq!(limited["fields"]["outcome"], "limited");
    assert_eq!((&line("r2")["fields"]["cause"], &line("r2")["fields"]["outcome"]), (&json!("Missing"), &json!("denied")));
    let (refused, admin) = (line("r3"), site.admin.split(':').next().expect("an id"));
    assert_eq!((&refused["span"]["key_id"], &refused["fields"]["key_id"]), (&json!(admin), &json!(admin)), "a call names its key");
    assert_eq!((&refused["fields"]["route"], &refused["fields"]["outcome"]), (&json!("/v1/keys/{key_id}"), &json!("refused")));
    assert!(!refused.to_string().contains("tk_x"), "the path itself is in no line: {refused}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_no_flood_of_lines() {
    let site = Site::start().await;
    let (captured, _guard) = capture(tracing::Level::INFO);
    for _ in 0..2000 {
        site.get("/v1/authorize").send().await;
    }
    let lines = captured.lines().len();
    assert!((100..2000).contains(&lines), "{lines} lines");
}

#[tokio::test]
async fn what_a_second_may_not_cost_is_counted() {
    let recorder = Recorder::new().expect("a recorder");
    let site = Site::with(|options| {
        options.telemetry = TelemetryOptions { lines_per_second_max: 0, metrics: recorder.metrics(), ..TelemetryOptions::default() };
    })
    .await;
    let (captured, _guard) = capture(tracing::Level::INFO);
    site.get("/v1/authorize").send().await;
    site.get("/v1/keys").bearer(&site.admin).send().await;
    assert_eq!(captured.lines(), Vec::<Value>::new());
    assert!(recorder.render().contains("tollgate_request_lines_dropped_total 2\n"));
}

#[tokio::test]
async fn ids_and_paths_cannot_forge_lines() {
    let (captured, _guard) = capture(tracing::Level::TRACE);
    let site = Site::start().await;
    let before = captured.lines().len();
    for id in ["{\"level\":\"ERROR\"}", "\"", "\\n", "{}"] {
        site.get("/v1/%0a%22level%22/none").header("x-request-id", id).send().await;
    }
    assert!(captured.lines().len() > before);
}
