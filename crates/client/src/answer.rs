//! An answer that was read to its end.

use std::time::Duration;

use reqwest::Response;
use serde::de::DeserializeOwned;
use tollgate_api::{AuthContext, PROBLEM_JSON, Problem, REQUEST_ID_HEADER, is_sane_request_id};

use crate::{ClientError, ErrorKind, GateHeaders, Refusal, RequestId, authorize, retry::Failed, transport::told};

/// The most bytes of an answer: a page of 1000 keys with 4 KiB of metadata each fits four times.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Status, what was told beside it, and the body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: GateHeaders,
    pub(crate) request_id: String,
    /// Who was let in, where it says so.
    pub(crate) identity: Option<AuthContext>,
    is_problem: bool,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(mut response: Response, sent: &RequestId) -> Result<Self, ErrorKind> {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is_problem = text("content-type").is_some_and(|media_type| media_type.starts_with(PROBLEM_JSON));
        let request_id = text(REQUEST_ID_HEADER).filter(|id| is_sane_request_id(id)).unwrap_or_else(|| sent.to_string());
        let (status, headers) = (response.status().as_u16(), GateHeaders::of(response.headers()));
        let identity = authorize::identity(response.headers(), &request_id);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ErrorKind::Undecodable(format!("it is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { status, headers, request_id, identity, is_problem, body })
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // The place only: the text of serde's error may quote the answer, and that may hold a secret.
            let why = format!("it is not the JSON that was expected (line {}, column {})", error.line(), error.column());
            ClientError { kind: ErrorKind::Undecodable(why), request_id: self.request_id.clone() }
        })
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
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
                ErrorKind::Problem(Box::new(Refusal { problem, retry_after_s: self.headers.retry_after_s(), headers: self.headers }))
            }
            None => ErrorKind::Status(self.status),
        };
        ClientError { kind, request_id: self.request_id }
    }

    /// Whether the answer is one that another attempt may better.
    fn failed(&self) -> Option<Failed> {
        let retry_after = self.headers.retry_after_s().map(Duration::from_secs);
        match self.status {
            // A limit refused, so nothing was charged or done; every node would say the same.
            429 => Some(Failed { is_undone: true, is_of_node: false, retry_after }),
            // The node, or a balancer before it, cannot say what became of the call.
            502..=504 => Some(Failed { is_undone: false, is_of_node: true, retry_after }),
            _ => None,
        }
    }
}

/// Whether and how an attempt came to nothing that another may mend.
pub(crate) fn failed(result: &Result<Answer, ClientError>) -> Option<Failed> {
    let kind = match result {
        Ok(answer) => return answer.failed(),
        Err(error) => &error.kind,
    };
    match kind {
        ErrorKind::Unreachable(_) => Some(Failed { is_undone: true, is_of_node: true, retry_after: None }),
        ErrorKind::Broken(_) | ErrorKind::Timeout => Some(Failed { is_undone: false, is_of_node: true, retry_after: None }),
        ErrorKind::Problem(_) | ErrorKind::Status(_) | ErrorKind::Undecodable(_) => None,
    }
}
