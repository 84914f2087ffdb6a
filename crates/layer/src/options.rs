//! Bounds of a gate, and what it does without nodes.

use std::time::Duration;

use tollgate_client::{ClientOptions, RetryPolicy};

/// What becomes of a request while no node answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutageMode {
    /// It is answered 503 with `Retry-After`.
    #[default]
    FailClosed,
    /// It passes, and nobody knows whose it is: no credential was looked at, so there is no
    /// [`AuthContext`](tollgate_api::AuthContext), and the identity headers are empty. For apps that
    /// are only limited by the gate and do not rely on it for who may do what.
    FailOpen,
}

/// How a gate asks its nodes.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// The longest wait for one node; half of it for the connection. 1 s where not set.
    pub timeout: Duration,
    /// The longest that a request waits for the gate in all. 2 s where not set.
    pub deadline: Duration,
    /// Requests that wait for the gate at most; one more is answered 503. 1024 where not set.
    pub calls_max: usize,
    /// What to do while no node answers: `FailClosed` where not set.
    pub outage: OutageMode,
    /// Whether a node that was sent a decision and does not answer is followed by the next one,
    /// although the first may have charged the key. Where not set, the request is an outage's, and
    /// the next one goes to the next node.
    pub resend_unanswered: bool,
    /// Whether the app is to see the credential, which it does not need. Not, where not set.
    pub keeps_credential: bool,
    /// Connections to each node that are kept while nothing is sent over them. 64 where not set.
    pub idle_connections_max: usize,
    /// Certificate authorities to trust besides the machine's: PEM.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            deadline: Duration::from_secs(2),
            calls_max: 1024,
            outage: OutageMode::default(),
            resend_unanswered: false,
            keeps_credential: false,
            idle_connections_max: 64,
            ca_pem: None,
        }
    }
}

impl GateOptions {
    /// A client that asks each node once at most and waits for none: the caller of the app is who
    /// has to wait, and is told so.
    pub(crate) fn client_options(&self, nodes: usize) -> ClientOptions {
        let attempts_max = u32::try_from(nodes).unwrap_or(u32::MAX);
        ClientOptions {
            connect_timeout: self.timeout / 2,
            timeout: self.timeout,
            deadline: self.deadline,
            retry: RetryPolicy { attempts_max, resend_charges: self.resend_unanswered, ..RetryPolicy::never() },
            idle_connections_max: self.idle_connections_max,
            ca_pem: self.ca_pem.clone(),
            ..ClientOptions::default()
        }
    }
}
