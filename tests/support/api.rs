//! The client: one node or balancer, and whose key it shows.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tollgate_testkit::{Node, eventually};

use super::answer::{Answer, Asked};

/// Where to send calls, and with which credential. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: Client,
    base: String,
    credential: Option<String>,
}

/// A call that is being put together.
#[derive(Debug)]
pub(crate) struct Call {
    builder: RequestBuilder,
    method: Method,
    target: String,
    request_id: Option<String>,
}

impl Api {
    /// Without a credential.
    pub(crate) fn new(base: impl Into<String>) -> Self {
        // Fails where the process has a provider already, which is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        Self { http, base: base.into(), credential: None }
    }

    /// The same of a node.
    pub(crate) fn of(node: &Node) -> Self {
        Self::new(node.url())
    }

    /// The same with a credential.
    pub(crate) fn with(&self, api_key: &str) -> Self {
        Self { credential: Some(api_key.to_owned()), ..self.clone() }
    }

    /// The same without one.
    pub(crate) fn without_key(&self) -> Self {
        Self { credential: None, ..self.clone() }
    }

    /// The same on connections of its own.
    pub(crate) fn apart(&self) -> Self {
        Self { http: Self::new("").http, ..self.clone() }
    }

    pub(crate) fn call(&self, method: Method, target: &str) -> Call {
        let builder = self.http.request(method.clone(), format!("{}{target}", self.base));
        let builder = match &self.credential {
            Some(api_key) => builder.bearer_auth(api_key),
            None => builder,
        };
        Call { builder, method, target: target.to_owned(), request_id: None }
    }

    pub(crate) fn get(&self, target: &str) -> Call {
        self.call(Method::GET, target)
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> Call {
        self.call(Method::POST, target).json(body)
    }

    pub(crate) fn patch(&self, target: &str, body: &Value) -> Call {
        self.call(Method::PATCH, target).json(body)
    }

    pub(crate) fn put(&self, target: &str, body: &Value) -> Call {
        self.call(Method::PUT, target).json(body)
    }

    /// `GET /v1/authorize`, with this query where it is not empty.
    pub(crate) async fn authorize(&self, query: &str) -> Answer {
        let target = if query.is_empty() { "/v1/authorize".to_owned() } else { format!("/v1/authorize?{query}") };
        self.get(&target).send().await
    }

    /// Asks how the key's limits stand and charges nothing.
    pub(crate) async fn peek(&self) -> tollgate_api::CheckAnswer {
        self.post("/v1/check", &serde_json::json!({ "peek": true })).send().await.check()
    }
}

/// Asks until it is told more than that a store is slow: to open a connection, or to count, which is given up after a
/// second.
pub(crate) async fn in_the_end(call: impl Fn() -> Call) -> Answer {
    let told = eventually("an answer", Duration::from_mins(1), async || {
        let answer = call().send().await;
        anyhow::ensure!(answer.status != 503, "{}", answer.text());
        Ok(answer)
    });
    told.await.unwrap()
}

impl Call {
    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Sends this request id; it must come back.
    pub(crate) fn request_id(mut self, id: &str) -> Self {
        self.request_id = Some(id.to_owned());
        self.header("x-request-id", id)
    }

    /// A body as it is.
    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.builder = self.builder.header("content-type", content_type).body(body.into());
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sends it, and gives the answer as soon as its head is there.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.builder.send().await.unwrap_or_else(|error| panic!("{} {}: {error:?}", self.method, self.target))
    }

    /// Sends it; a broken connection fails the test.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.target);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// Sends it; a broken connection is an error.
    pub(crate) async fn try_send(self) -> reqwest::Result<Answer> {
        let Self { builder, method, target, request_id } = self;
        let response = builder.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, body: response.bytes().await?.to_vec() };
        let path = target.split('?').next().unwrap_or_default();
        let what = format!("{method} {target}");
        Ok(answer.checked(&Asked { what: &what, path, request_id: request_id.as_deref(), with_body: method != Method::HEAD }))
    }
}
