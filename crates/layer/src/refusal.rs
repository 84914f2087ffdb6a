//! A request that may not pass: the node's problem, as an answer of the app.

use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use tollgate_api::{PROBLEM_JSON, Problem, REQUEST_ID_HEADER};
use tollgate_client::{ClientError, ErrorKind, GateHeaders, RequestId};

/// Longest path that is repeated in a problem, in characters.
const PATH_CHARACTERS_MAX: usize = 256;

/// What the client of the app is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Problem,
    headers: GateHeaders,
}

impl Refusal {
    /// What a node said, if it is meant for the client of the app; else that nobody can decide.
    pub(crate) fn of(error: ClientError, parts: &Parts) -> Self {
        if !is_for_clients(&error) {
            return Self::unavailable(parts, error.request_id);
        }
        match error.kind {
            ErrorKind::Problem(refusal) => {
                let tollgate_client::Refusal { problem, headers, retry_after_s: _ } = *refusal;
                // The node's path and field are of the gate's call, which the client did not make.
                let problem = Problem { instance: path(parts), pointer: None, ..problem };
                Self { problem, headers }
            }
            ErrorKind::Status(_) | ErrorKind::Undecodable(_) | ErrorKind::Unreachable(_) | ErrorKind::Broken(_) | ErrorKind::Timeout => {
                Self::unavailable(parts, error.request_id)
            }
        }
    }

    /// Too many requests wait for the gate already. Not an outage, or a flood would open the gate.
    pub(crate) fn busy(parts: &Parts, request_id: &RequestId) -> Self {
        Self::unavailable(parts, request_id.to_string())
    }

    fn unavailable(parts: &Parts, request_id: String) -> Self {
        let problem = Problem {
            kind: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity".into(),
            title: "Cannot decide at the moment".into(),
            status: StatusCode::SERVICE_UNAVAILABLE.as_u16(),
            detail: "nobody can say whether this request may pass; try again".into(),
            instance: path(parts),
            request_id,
            ..Problem::default()
        };
        Self { problem, headers: GateHeaders::default() }
    }

    /// The answer.
    pub(crate) fn into_response<B: From<Vec<u8>>>(self) -> Response<B> {
        // A problem is plain data: writing it cannot fail.
        let mut response = Response::new(serde_json::to_vec(&self.problem).unwrap_or_default().into());
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.clone_from(self.headers.as_map());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE && !headers.contains_key(header::RETRY_AFTER) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Ok(id) = HeaderValue::from_str(&self.problem.request_id) {
            headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
        }
        response
    }
}

/// Whether an error is a node's word about the request of the app's client. Others are about the call
/// that this layer made of it, or about the node.
pub(crate) fn is_for_clients(error: &ClientError) -> bool {
    matches!(&error.kind, ErrorKind::Problem(refusal) if matches!(refusal.problem.status, 400 | 401 | 403 | 422 | 429 | 503))
}

fn path(parts: &Parts) -> String {
    parts.uri.path().chars().take(PATH_CHARACTERS_MAX).collect()
}
