use axum::response::IntoResponse;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use tollgate_api::Problem;
use tollgate_gate::verdict::Unauthenticated;

use super::*;

async fn finished(failure: Failure) -> (u16, HeaderMap, String) {
    let mut response = failure.into_response();
    assert!(written(&mut response, "/v1/x"));
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

fn written(response: &mut Response, path: &str) -> bool {
    let origin = Origin::of(&HeaderMap::new(), [127, 0, 0, 1].into(), &[], tokio::time::Instant::now());
    finish(response, &Failed { origin: &origin, method: &Method::GET, path, account: None }, &RequestLog::default())
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn each_failure_has_its_status_and_type() {
    let (pointer, detail) = (text("/x"), text("d"));
    for (failure, status, kind) in [
        (Failure::DuplicateCredential, 400, "urn:tollgate:problem:duplicate-credential"),
        (Failure::CredentialInQuery, 400, "urn:tollgate:problem:credential-in-query"),
        (Failure::malformed_header("d"), 400, "urn:tollgate:problem:malformed-header"),
        (Failure::invalid_parameter("d"), 400, "urn:tollgate:problem:invalid-parameter"),
        (Failure::malformed_body("d"), 400, "urn:tollgate:problem:malformed-body"),
        (Failure::Unauthenticated { why: Unauthenticated::Revoked }, 401, "urn:tollgate:problem:unauthenticated"),
        (Failure::Forbidden { pointer: pointer.clone(), detail: detail.clone() }, 403, "urn:tollgate:problem:forbidden"),
        (Failure::NotFound, 404, "urn:tollgate:problem:not-found"),
        (Failure::MethodNotAllowed, 405, "urn:tollgate:problem:method-not-allowed"),
        (Failure::BodyTooSlow, 408, "urn:tollgate:problem:body-too-slow"),
        (Failure::Conflict { pointer, detail: detail.clone() }, 409, "urn:tollgate:problem:conflict"),
        (Failure::GenerationMismatch { detail }, 412, "urn:tollgate:problem:generation-mismatch"),
        (Failure::BodyTooLarge { bytes_max: 9 }, 413, "urn:tollgate:problem:body-too-large"),
        (Failure::UnsupportedMediaType, 415, "urn:tollgate:problem:unsupported-media-type"),
        (Failure::invalid_field("/x", "d"), 422, "urn:tollgate:problem:invalid-field"),
        (
            Failure::CostExceedsBurst { key_id: tollgate_keys::KeyId::from_parts(1, [0; 10]), burst: 9 },
            422,
            "urn:tollgate:problem:cost-exceeds-burst",
        ),
        (
            Failure::AbnormalUsage { retry_after_s: 1, told_as: StatusCode::TOO_MANY_REQUESTS },
            429,
            "https://iana.org/assignments/http-problem-types#abnormal-usage-detected",
        ),
        (Failure::TooManyStreams { detail: text("d"), retry_after_s: 5 }, 503, "urn:tollgate:problem:too-many-streams"),
        (Failure::Internal { cause: "c" }, 500, "urn:tollgate:problem:internal"),
        (
            Failure::Unavailable { cause: text("c"), retry_after_s: 1 },
            503,
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
        ),
    ] {
        let (found, headers, body) = finished(failure.clone()).await;
        let problem: Problem = serde_json::from_str(&body).expect("a problem");
        assert_eq!((found, problem.status, problem.kind.as_str()), (status, status, kind), "{failure:?}");
        assert_eq!(headers[header::CONTENT_TYPE], PROBLEM_JSON);
        assert!(!headers.contains_key(header::CONTENT_LENGTH), "the length is that of the body");
    }
}

#[tokio::test]
async fn causes_stay_inside() {
    let unavailable = Failure::Unavailable { cause: text("redis://:canary@host"), retry_after_s: 0 };
    let (_, headers, body) = finished(unavailable).await;
    assert_eq!(headers[header::RETRY_AFTER], "1");
    assert!(!body.contains("canary"), "{body}");
    let (_, _, body) = finished(Failure::Internal { cause: "canary" }).await;
    assert!(!body.contains("canary"), "{body}");
    let (_, _, body) = finished(Failure::Unauthenticated { why: Unauthenticated::Revoked }).await;
    assert!(!body.to_lowercase().contains("revoked"), "{body}");
}

#[tokio::test]
async fn a_long_path_is_cut() {
    let mut response = Failure::NotFound.into_response();
    assert!(written(&mut response, &"/a".repeat(10_000)));
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let problem: Problem = serde_json::from_slice(&body).expect("a problem");
    assert_eq!(problem.instance.len(), 256);
}

#[tokio::test]
async fn what_is_kept_of_one_answer_is_not_told_in_another() {
    for told_as in [StatusCode::TOO_MANY_REQUESTS, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
        let (status, _, body) = finished(Failure::AbnormalUsage { retry_after_s: 1, told_as }).await;
        let problem: Problem = serde_json::from_str(&body).expect("a problem");
        assert_eq!((status, problem.status), (told_as.as_u16(), told_as.as_u16()));
    }
    let (_, _, body) = finished(Failure::Unauthenticated { why: Unauthenticated::Unknown }).await;
    let (_, _, again) = finished(Failure::Unauthenticated { why: Unauthenticated::Expired }).await;
    assert_eq!(body.len(), again.len());
    assert!(body.contains("\"status\":401"), "{body}");
}

#[test]
fn path_and_request_id_are_written_as_json_wants_them() {
    let failure = Failure::Unauthenticated { why: Unauthenticated::Unknown };
    let texts = ["/v1/authorize", "", "/a b~", "/a\"b", "/a\\b", "/a\u{1}b", "/a\tb", "/ä", "/\u{7f}"];
    for (path, request_id) in texts.iter().flat_map(|path| texts.iter().map(move |id| (path, id))) {
        let written = body::write(&failure, path, request_id);
        let problem: Problem = serde_json::from_slice(&written).expect("a problem");
        assert_eq!((problem.instance.as_str(), problem.request_id.as_str()), (*path, *request_id));
        assert_eq!(written, serde_json::to_vec(&problem).expect("JSON"), "as serde writes the same problem");
    }
}
