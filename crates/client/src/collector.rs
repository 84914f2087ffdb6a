//! Sends spans to an OpenTelemetry collector: what nodes and commands have to say, by the one HTTP client
//! of the house.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{StatusCode, Url, header::CONTENT_TYPE};

use crate::{
    ClientOptions, ClientSetupError, ErrorKind,
    nodes::Nodes,
    transport::{told, transport},
};

/// A collector that takes OTLP over HTTP, as JSON.
#[derive(Debug, Clone)]
pub struct Collector {
    http: reqwest::Client,
    traces: Url,
    timeout: Duration,
    is_exposed: bool,
}

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// No answer, or a broken one.
    #[error("the collector cannot be reached: {0}")]
    Unreachable(String),
    /// It has answered, and no.
    #[error("the collector answers {0}")]
    Refused(u16),
}

impl Collector {
    /// The collector at `endpoint`, such as `http://127.0.0.1:4318`. A call takes at most `timeout`.
    pub fn new(endpoint: &str, timeout: Duration) -> Result<Self, ClientSetupError> {
        let nodes = Nodes::parse(&[endpoint])?;
        let options = ClientOptions { connect_timeout: timeout, idle_connections_max: 1, ..ClientOptions::default() };
        let http = transport(&nodes, &options)?;
        let (_, base) = nodes.preferred().ok_or(ClientSetupError::Url)?;
        let mut traces = base.clone();
        if let Ok(mut path) = traces.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "traces"]);
        }
        Ok(Self { http, traces, timeout, is_exposed: nodes.are_exposed() })
    }

    /// Whether what is sent can be read on its way to another machine.
    pub fn is_exposed(&self) -> bool {
        self.is_exposed
    }

    /// Sends one `ExportTraceServiceRequest`, once.
    pub async fn send_spans(&self, json: Bytes) -> Result<(), CollectorError> {
        let request = self.http.post(self.traces.clone()).header(CONTENT_TYPE, "application/json").body(json).timeout(self.timeout);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(CollectorError::Refused(status.as_u16())) }
    }
}

impl CollectorError {
    /// Whether the same may be taken later, as the protocol has it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status) => {
                let later =
                    [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
                later.iter().any(|later| later.as_u16() == *status)
            }
        }
    }
}

fn unreachable(error: reqwest::Error) -> CollectorError {
    CollectorError::Unreachable(match told(error) {
        ErrorKind::Unreachable(why) | ErrorKind::Broken(why) => why,
        _ => "no answer in time".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_to_the_path_of_the_protocol() {
        for (endpoint, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/base", "http://127.0.0.1:4318/base/v1/traces"),
        ] {
            assert_eq!(Collector::new(endpoint, Duration::from_secs(1)).expect("a collector").traces.as_str(), url);
        }
        assert!(Collector::new("http://user@127.0.0.1:4318", Duration::from_secs(1)).is_err());
    }

    #[test]
    fn what_may_be_taken_later_is_sent_again() {
        assert!(CollectorError::Unreachable(String::new()).is_transient());
        for (status, is_transient) in
            [(429, true), (502, true), (503, true), (504, true), (400, false), (401, false), (404, false), (500, false)]
        {
            assert_eq!(CollectorError::Refused(status).is_transient(), is_transient, "{status}");
        }
    }
}
