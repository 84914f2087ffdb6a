//! Nodes, an app and a way to ask it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tollgate_layer::{AuthContext, GateLayer, GateOptions, OutageMode, RemoteGate};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Waits longer than any answer takes on a slow machine, so that only silence runs into it.
pub(crate) const PATIENT: GateOptions = GateOptions {
    timeout: Duration::from_mins(1),
    deadline: Duration::from_mins(2),
    calls_max: 10,
    outage: OutageMode::FailClosed,
    resend_unanswered: false,
    keeps_credential: false,
    idle_connections_max: 1,
    ca_pem: None,
};

/// A node that gives the same answer to everybody, and remembers what it was asked.
pub(crate) struct StubNode {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl StubNode {
    pub(crate) async fn start(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let (parts, ()) = answer.body(()).unwrap().into_parts();
        let (body, asked) = (body.to_owned(), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&asked);
        let router = Router::new().fallback(move |request: Request| {
            seen.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
            let answer = Response::from_parts(parts.clone(), Body::from(body.clone()));
            async move { answer }
        });
        Self { url: serve(router).await, asked }
    }

    /// Lets the key `k` of `acme` in, with one token left.
    pub(crate) async fn allowing() -> Self {
        let headers = [
            ("x-tollgate-key-id", "k"),
            ("x-tollgate-owner", "acme"),
            ("x-tollgate-scopes", "a b"),
            ("ratelimit-policy", "\"key\";q=5;w=60"),
            ("ratelimit", "\"key\";r=1;t=48"),
            ("server", "stub"),
        ];
        Self::start(200, &headers, "").await
    }

    /// Answers with a problem, as a node does.
    pub(crate) async fn refusing(status: u16, headers: &[(&str, &str)]) -> Self {
        let problem = format!(
            r#"{{"type":"urn:x","title":"No","status":{status},"detail":"not you","instance":"/v1/authorize","request_id":"r","pointer":"/cost"}}"#
        );
        let headers = [&[("content-type", "application/problem+json")], headers].concat();
        Self::start(status, &headers, &problem).await
    }

    /// Path with query and headers of what it was asked.
    pub(crate) fn asked(&self) -> Vec<(String, HeaderMap)> {
        self.asked.lock().unwrap().clone()
    }
}

/// Serves a router until the test ends.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The URL of a port that is taken and on which nobody listens.
pub(crate) fn gone() -> (String, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (format!("http://{}", socket.local_addr().unwrap()), socket)
}

/// A listener that takes connections and never answers.
pub(crate) async fn silent() -> (String, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// The URL of somebody who hangs up whatever he is asked.
pub(crate) async fn breaking() -> String {
    let (url, listener) = silent().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Reads first, so that the request is certain to have been sent.
            let mut byte = [0];
            tokio::io::AsyncReadExt::read(&mut stream, &mut byte).await.ok();
        }
    });
    url
}

pub(crate) fn gate(urls: &[&str], options: &GateOptions) -> RemoteGate {
    RemoteGate::new(urls, options).unwrap()
}

/// What came of a request: the answer, and what the app saw of it where it saw it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) app: Option<(HeaderMap, Option<AuthContext>)>,
}

impl Outcome {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn problem(&self) -> tollgate_api::Problem {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        assert!(self.app.is_none(), "the app was asked: {self:?}");
        let problem: tollgate_api::Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }
}

/// Sends a request for `/orders?x=1` through the layer to an app that answers 200.
pub(crate) async fn ask(layer: &GateLayer, headers: &[(&str, &str)]) -> Outcome {
    let saw = Arc::<Mutex<Option<_>>>::default();
    let seen = Arc::clone(&saw);
    let app = service_fn(move |request: Request| {
        *seen.lock().unwrap() = Some((request.headers().clone(), request.extensions().get::<AuthContext>().cloned()));
        async { Ok::<_, Infallible>(StatusCode::OK.into_response()) }
    });
    let mut request = Request::get("/orders?x=1").body(Body::empty()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let response = layer.layer(app).ready().await.unwrap().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let app = saw.lock().unwrap().take();
    Outcome { status: parts.status.as_u16(), headers: parts.headers, body, app }
}
