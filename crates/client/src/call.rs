//! A call before it is sent.

use reqwest::{
    Method, RequestBuilder, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, IF_MATCH},
};
use serde::Serialize;

use crate::{IdempotencyKey, retry::Repeat};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What to send, to whichever node.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a [&'a str],
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) if_generation: Option<u64>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) repeat: Repeat,
    pub(crate) idempotency_key: Option<&'a IdempotencyKey>,
    /// Headers that take the place of the client's own credential.
    pub(crate) shown: Option<&'a HeaderMap>,
}

impl<'a> Call<'a> {
    /// A call that does no harm when it is sent twice if it is a `GET`, else one that changes.
    pub(crate) fn new(method: Method, path: &'a [&'a str]) -> Self {
        let repeat = if method == Method::GET { Repeat::Harmless } else { Repeat::Changes };
        Self { method, path, query: Vec::new(), if_generation: None, body: None, repeat, idempotency_key: None, shown: None }
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Self {
        // The types of the wire are plain data: writing them cannot fail.
        self.body = Some(serde_json::to_vec(body).unwrap_or_default());
        self
    }

    pub(crate) fn repeat(self, repeat: Repeat) -> Self {
        Self { repeat, ..self }
    }

    /// Names the call: it can then be sent again.
    pub(crate) fn named(self, key: &'a IdempotencyKey) -> Self {
        Self { idempotency_key: Some(key), repeat: Repeat::Harmless, ..self }
    }

    /// The URL of the call at a node.
    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    /// Adds all but credential and request id.
    pub(crate) fn fill(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(generation) = self.if_generation {
            request = request.header(IF_MATCH, format!("\"{generation}\""));
        }
        if let Some(key) = self.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key.as_str());
        }
        match &self.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.clone()),
            None => request,
        }
    }
}
