//! A collector of spans in this process: takes OTLP as JSON and keeps it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tollgate_testkit::eventually;

/// Longer than any machine takes.
const WITHIN: Duration = Duration::from_mins(1);

/// What was sent to it.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    pub(crate) url: String,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    exports: Vec<Value>,
    calls: usize,
    refuses: Option<StatusCode>,
}

/// One span as it was sent.
#[derive(Debug, Clone)]
pub(crate) struct SentSpan(pub(crate) Value);

impl Collector {
    pub(crate) async fn start() -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let router = axum::Router::new().route("/v1/traces", post(hear)).with_state(Arc::clone(&heard));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, heard }
    }

    /// Answers this from now on and keeps nothing.
    pub(crate) fn refuse(&self, status: u16) {
        self.heard.lock().expect("a sound lock").refuses = Some(StatusCode::from_u16(status).expect("a status"));
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.heard.lock().expect("a sound lock").calls
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<SentSpan> {
        let exports = self.heard.lock().expect("a sound lock").exports.clone();
        let list = |value: &Value, name: &str| value[name].as_array().unwrap_or_else(|| panic!("no {name} in {value}")).clone();
        let of_resource = exports.iter().flat_map(|export| list(export, "resourceSpans"));
        let of_scope = of_resource.flat_map(|resource| list(&resource, "scopeSpans"));
        of_scope.flat_map(|scope| list(&scope, "spans")).map(SentSpan).collect()
    }

    /// The first span that is so, as soon as it is there.
    pub(crate) async fn span(&self, what: &str, is_it: impl Fn(&SentSpan) -> bool) -> SentSpan {
        let found = eventually(what, WITHIN, async || {
            let spans = self.spans();
            spans.iter().find(|span| is_it(span)).cloned().ok_or_else(|| anyhow::anyhow!("only {spans:?}"))
        });
        found.await.expect("a span")
    }
}

async fn hear(State(heard): State<Arc<Mutex<Heard>>>, Json(export): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut heard = heard.lock().expect("a sound lock");
    heard.calls += 1;
    if let Some(status) = heard.refuses {
        return (status, Json(Value::Null));
    }
    heard.exports.push(export);
    (StatusCode::OK, Json(serde_json::json!({})))
}

impl SentSpan {
    /// A text of it, such as `traceId`; empty where it has none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// An attribute that is a text; empty where there is none.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        let attributes = self.0["attributes"].as_array().expect("attributes");
        let found = attributes.iter().find(|attribute| attribute["key"] == key);
        found.and_then(|attribute| attribute["value"]["stringValue"].as_str()).unwrap_or_default()
    }
}
