use std::sync::Arc;

use tollgate_api::Problem;
use tollgate_client::{GateHeaders, Refusal};

use super::*;

fn problem(status: u16, retry_after_s: Option<u64>) -> Failure {
    let problem = Problem { status, title: "Title".into(), detail: "detail".into(), ..Problem::default() };
    failure(ErrorKind::Problem(Box::new(Refusal { problem, retry_after_s, headers: GateHeaders::default() })))
}

fn failure(kind: ErrorKind) -> Failure {
    ClientError { kind, request_id: "r-1".into() }.into()
}

#[test]
fn every_status_has_its_exit() {
    for (status, code) in [
        (400, 6),
        (401, 3),
        (403, 4),
        (404, 5),
        (405, 1),
        (408, 8),
        (409, 6),
        (412, 6),
        (413, 6),
        (415, 6),
        (418, 1),
        (422, 6),
        (429, 7),
        (500, 1),
        (502, 8),
        (503, 8),
        (504, 8),
        (307, 1),
    ] {
        assert_eq!(problem(status, None).exit.code(), code, "{status} with a problem");
        assert_eq!(failure(ErrorKind::Status(status)).exit.code(), code, "{status} without");
    }
    assert_eq!(Exit::Done.code(), 0);
    assert_eq!(Exit::Usage.code(), 2);
    assert_eq!(Exit::Settings.code(), 64);
}

#[test]
fn no_answer_is_unreachable() {
    assert_eq!(failure(ErrorKind::Timeout).exit, Exit::Unreachable);
    assert_eq!(failure(ErrorKind::Unreachable("refused".into())).exit, Exit::Unreachable);
    assert_eq!(failure(ErrorKind::Undecodable("nonsense".into())).exit, Exit::Other);
}

#[test]
fn every_failure_of_a_call_has_a_remedy_of_one_line_with_the_request_id() {
    let statuses = [301, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 418, 422, 429, 500, 502, 503, 504];
    let problems = statuses.into_iter().flat_map(|status| [problem(status, Some(3)), failure(ErrorKind::Status(status))]);
    let others = [ErrorKind::Timeout, ErrorKind::Unreachable("gone".into()), ErrorKind::Undecodable("odd".into())].map(failure);
    for failure in problems.chain(others) {
        let text = failure.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("error: ") && lines[1].starts_with("help: "), "{text}");
        assert!(lines[1].ends_with(" (request id r-1)") && failure.remedy.len() > 10, "{text}");
    }
}

#[test]
fn where_there_is_no_answer_the_help_fits_the_reason() {
    let help = |why: &str| failure(ErrorKind::Unreachable(why.into())).remedy;
    assert!(help("client error (Connect): dns error: failed to lookup address information").contains("nobody knows that name"));
    assert!(help("client error (Connect): invalid peer certificate: UnknownIssuer").contains("--ca-file"));
    assert!(help("client error (Connect): tcp connect error: Connection refused").contains("is a node running there?"));
}

#[test]
fn a_limited_caller_is_told_when_to_retry() {
    assert!(problem(429, Some(17)).remedy.contains("in 17 s"));
    assert!(problem(503, Some(2)).remedy.contains("in 2 s"));
}

#[test]
fn a_store_that_cannot_be_used_is_unreachable() {
    for (error, code) in [
        (KeyStoreError::Unreachable("gone".into()), 8),
        (KeyStoreError::Unusable("not migrated".into()), 8),
        (KeyStoreError::NotFound, 5),
        (KeyStoreError::Exists(Arc::from("it")), 6),
        (KeyStoreError::Refused(ConfigError::invalid("/name", "too long")), 6),
        (KeyStoreError::Refused(ConfigError::forbidden("/scopes", "no")), 4),
    ] {
        assert_eq!(Failure::from(error.clone()).exit.code(), code, "{error}");
        assert_eq!(Failure::from(MintError::Store(error.clone())).exit.code(), code, "{error}");
        assert_eq!(Failure::from(SigningError::Store(error.clone())).exit.code(), code, "{error}");
    }
    assert_eq!(Failure::from(SigningError::MasterKeyForm).exit, Exit::Settings);
}
