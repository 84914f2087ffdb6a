//! An answer, and what holds for every one.

use reqwest::header::HeaderMap;
use serde_json::Value;
use tollgate_api::{CheckAnswer, Problem};

/// A whole answer that has passed [`Answer::checked`].
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What the answer's request was.
pub(crate) struct Asked<'a> {
    /// For messages: method and path with query.
    pub(crate) what: &'a str,
    /// The path alone.
    pub(crate) path: &'a str,
    /// The id that was sent, where it was sane.
    pub(crate) request_id: Option<&'a str>,
    /// Whether the answer has a body at all (not to HEAD).
    pub(crate) with_body: bool,
}

impl Answer {
    /// Fails the test unless the answer keeps the promises that every answer keeps.
    #[track_caller]
    pub(crate) fn checked(self, asked: &Asked<'_>) -> Self {
        let what = format!("{}: {} {}", asked.what, self.status, self.text());
        let ids: Vec<_> = self.headers.get_all("x-request-id").iter().collect();
        assert!(ids.len() == 1 && tollgate_api::is_sane_request_id(self.header("x-request-id")), "one request id: {what}");
        if let Some(sent) = asked.request_id {
            assert_eq!(self.header("x-request-id"), sent, "{what}");
        }
        assert_eq!(self.header("cache-control"), "no-store", "{what}");
        assert_ne!(self.status, 500, "{what}");
        let is_health = self.status == 503 && asked.path.starts_with("/health/") && self.header("content-type") == "application/json";
        if self.status >= 400 && !is_health {
            self.check_problem(asked, &what);
        }
        self
    }

    fn check_problem(&self, asked: &Asked<'_>, what: &str) {
        assert_eq!(self.header("content-type"), tollgate_api::PROBLEM_JSON, "{what}");
        for secret in ["tks_", "tku_"] {
            assert!(!self.text().contains(secret), "a secret is repeated: {what}");
        }
        let waits = self.header("retry-after").parse::<u64>();
        let is_later = self.status == 503 || self.status == 429 || self.is_limited();
        assert_eq!(waits.is_ok_and(|seconds| seconds >= 1), is_later, "retry-after: {what}");
        assert_eq!(self.headers.contains_key("www-authenticate"), self.status == 401, "{what}");
        if !self.is_limited() {
            assert!(!self.tells_limits(), "rate-limit headers: {what}");
        }
        if !asked.with_body {
            return;
        }
        let problem = self.problem();
        assert!(problem.kind.starts_with("urn:tollgate:problem:") || problem.kind.starts_with("https://iana.org/"), "{what}");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty() && !problem.detail.ends_with('.'), "{what}");
        assert_eq!(problem.status, self.status, "{what}");
        let is_told_whole = problem.instance == asked.path;
        let is_cut = asked.path.starts_with(&problem.instance) && problem.instance.len() == 256;
        let is_without_secret = problem.instance.ends_with(":***");
        assert!(is_told_whole || is_cut || is_without_secret, "{what}");
        assert_eq!(problem.request_id, self.header("x-request-id"), "{what}");
        assert_eq!(self.is_limited(), !problem.violated_policies.is_empty(), "{what}");
    }

    /// Whether a limit of a key refused, also where a gateway asked to be told so as 403.
    pub(crate) fn is_limited(&self) -> bool {
        let is_told = |kind| self.text().contains(kind);
        (self.status == 429 && !is_told("#abnormal-usage-detected")) || (self.status == 403 && is_told("#quota-exceeded"))
    }

    /// Whether any header tells how limits stand.
    pub(crate) fn tells_limits(&self) -> bool {
        self.headers.keys().any(|name| name.as_str().contains("ratelimit"))
    }

    /// A header's text, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("a header is text")).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The body as a problem.
    #[track_caller]
    pub(crate) fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The body as what `/v1/check` and `/v1/limit` answer.
    #[track_caller]
    pub(crate) fn check(&self) -> CheckAnswer {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The status and the last word of the problem's type.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String) {
        let kind = self.problem().kind;
        (self.status, kind.rsplit([':', '#']).next().unwrap_or_default().to_owned())
    }

    /// Fails the test unless the answer has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}
