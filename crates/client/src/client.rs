//! One call: sent, bounded, read.

use std::{error::Error as _, fmt, time::Duration};

use reqwest::{Certificate, Method, Response, Url, header, redirect};
use serde::{Serialize, de::DeserializeOwned};
use tollgate_api::{PROBLEM_JSON, Problem, REQUEST_ID_HEADER, is_sane_request_id};

use crate::{ClientError, ClientSetupError, Credential, ErrorKind, Refusal, RequestId};

/// The most bytes of an answer: a page of 1000 keys with 4 KiB of metadata each fits four times.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A client of one node, or of the balancer in front of many. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    credential: Option<Credential>,
    request_id: Option<RequestId>,
}

/// Bounds of a client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest that one call may take in all.
    pub timeout: Duration,
    /// Certificate authorities to trust besides the machine's: PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// A call before it is sent.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a [&'a str],
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) if_generation: Option<u64>,
    pub(crate) body: Option<Vec<u8>>,
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    is_problem: bool,
    retry_after_s: Option<u64>,
    request_id: String,
    body: Vec<u8>,
}

impl Default for ClientOptions {
    /// 3 s for a connection, 15 s for a call: longer than a node takes for any.
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(3), timeout: Duration::from_secs(15), ca_pem: None }
    }
}

impl Client {
    /// A client of the node at `url`, such as `http://127.0.0.1:8080`.
    pub fn new(url: &str, credential: Option<Credential>) -> Result<Self, ClientSetupError> {
        Self::with_options(url, credential, &ClientOptions::default())
    }

    /// The same with other bounds or other certificate authorities.
    pub fn with_options(url: &str, credential: Option<Credential>, options: &ClientOptions) -> Result<Self, ClientSetupError> {
        let base = base(url)?;
        Ok(Self { http: transport(&base, options)?, base, credential, request_id: None })
    }

    /// Sends this id with every call, instead of a new one with each.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Whether what is sent, the credential too, can be read on its way to another machine.
    pub fn is_exposed(&self) -> bool {
        self.base.scheme() == "http" && !is_loopback(&self.base)
    }

    /// Sends a call and reads its answer as `T`.
    pub(crate) async fn send<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ClientError> {
        let answer = self.ask(call).await?;
        if (200..300).contains(&answer.status) { answer.decode() } else { Err(answer.refusal()) }
    }

    /// Sends a call and reads the answer whatever its status.
    pub(crate) async fn ask(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let request_id = self.request_id.clone().unwrap_or_else(RequestId::generate);
        let failed = |kind| ClientError { kind, request_id: request_id.to_string() };
        let response = self.request(call, &request_id).send().await.map_err(|error| failed(told(error)))?;
        Answer::read(response, &request_id).await.map_err(failed)
    }

    fn request(&self, call: Call<'_>, request_id: &RequestId) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.http.request(call.method, url).header(REQUEST_ID_HEADER, request_id.as_str());
        if let Some(credential) = &self.credential {
            // Marked as sensitive, so that it is never printed on the way.
            request = request.bearer_auth(credential.expose());
        }
        if let Some(generation) = call.if_generation {
            request = request.header(header::IF_MATCH, format!("\"{generation}\""));
        }
        match call.body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(body),
            None => request,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http: _, base, credential, request_id } = self;
        let mut out = f.debug_struct("Client");
        out.field("base", &base.as_str()).field("credential", credential).field("request_id", request_id).finish_non_exhaustive()
    }
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, query: Vec::new(), if_generation: None, body: None }
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Self {
        // The types of the wire are plain data: writing them cannot fail.
        self.body = Some(serde_json::to_vec(body).unwrap_or_default());
        self
    }
}

impl Answer {
    async fn read(mut response: Response, sent: &RequestId) -> Result<Self, ErrorKind> {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is_problem = text("content-type").is_some_and(|media_type| media_type.starts_with(PROBLEM_JSON));
        let retry_after_s = text("retry-after").and_then(|seconds| seconds.parse().ok());
        let request_id = text(REQUEST_ID_HEADER).filter(|id| is_sane_request_id(id)).unwrap_or_else(|| sent.to_string());
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ErrorKind::Undecodable(format!("it is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { status, is_problem, retry_after_s, request_id, body })
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // The place only: the text of serde's error may quote the answer, and that may hold a secret.
            let why = format!("it is not the JSON that was expected (line {}, column {})", error.line(), error.column());
            ClientError { kind: ErrorKind::Undecodable(why), request_id: self.request_id.clone() }
        })
    }

    pub(crate) fn is_problem(&self) -> bool {
        self.is_problem
    }

    pub(crate) fn refusal(self) -> ClientError {
        let problem = self.is_problem.then(|| serde_json::from_slice::<Problem>(&self.body).ok()).flatten();
        let kind = match problem {
            // The status line is what counts: the body's is a copy for people.
            Some(problem) => {
                let problem = Problem { status: self.status, ..problem };
                ErrorKind::Problem(Box::new(Refusal { problem, retry_after_s: self.retry_after_s }))
            }
            None => ErrorKind::Status(self.status),
        };
        ClientError { kind, request_id: self.request_id }
    }
}

fn base(url: &str) -> Result<Url, ClientSetupError> {
    let base = Url::parse(url).map_err(|_| ClientSetupError::Url)?;
    let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none() && base.fragment().is_none();
    if plain && base.has_host() && matches!(base.scheme(), "http" | "https") { Ok(base) } else { Err(ClientSetupError::Url) }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

fn transport(base: &Url, options: &ClientOptions) -> Result<reqwest::Client, ClientSetupError> {
    // Fails where the process has a provider already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(options.connect_timeout)
        .timeout(options.timeout)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
    if base.scheme() == "http" {
        // Certificates are not looked for, so that a machine without any can speak plain text.
        builder = builder.tls_certs_only([]);
    }
    if let Some(pem) = &options.ca_pem {
        let tls = |error: reqwest::Error| ClientSetupError::Tls(whole(&error));
        let authorities = Certificate::from_pem_bundle(pem).map_err(tls)?;
        builder = builder.tls_certs_merge(authorities);
    }
    builder.build().map_err(|error| ClientSetupError::Tls(whole(&error)))
}

fn told(error: reqwest::Error) -> ErrorKind {
    if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Unreachable(whole(&error.without_url())) }
}

/// An error and all that led to it: the outermost alone says little.
fn whole(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
