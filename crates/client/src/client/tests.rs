use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tollgate_api::{CheckBody, PatchKeyBody};

use super::*;
use crate::{ErrorKind, ListKeys};

const SECRET: &str = "open-sesame";

/// A node that gives one answer to one request and hands the request back.
async fn node(answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !is_whole(&request) {
            let mut part = [0; 4096];
            let count = stream.read(&mut part).await.expect("a request");
            request.extend_from_slice(&part[..count]);
        }
        stream.write_all(answer.as_bytes()).await.expect("an answer");
        String::from_utf8(request).expect("text")
    });
    (url, request)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.map_or(0, |length| length.parse().expect("a length")) <= body.len()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn client(url: &str) -> Client {
    let credential = Credential::parse(&format!("mine:{SECRET}")).expect("a credential");
    let id = RequestId::parse("my-request").expect("an id");
    Client::new(url, Some(credential)).expect("a client").with_request_id(id)
}

async fn error_of(raw: String) -> ClientError {
    let (url, request) = node(raw).await;
    let error = client(&url).check(&CheckBody::default()).await.expect_err("no answer");
    request.await.expect("a request");
    assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
    error
}

#[tokio::test]
async fn sends_credential_request_id_and_generation() {
    let (url, request) = node(answer("404 Not Found", "", "")).await;
    let sent = PatchKeyBody { name: Some("new".into()), ..PatchKeyBody::default() };
    client(&url).patch_key("tk_1", Some(7), &sent).await.expect_err("not found");
    let request = request.await.expect("a request");
    assert!(request.starts_with("PATCH /v1/keys/tk_1 HTTP/1.1\r\n"), "{request}");
    for line in ["x-request-id: my-request", "authorization: Bearer mine:open-sesame", "if-match: \"7\"", "content-type: application/json"]
    {
        assert!(request.lines().any(|sent| sent == line), "{line} is not in {request}");
    }
    assert!(request.ends_with("\r\n\r\n{\"name\":\"new\"}"), "{request}");
}

#[tokio::test]
async fn lists_with_filters_and_reads_the_page() {
    let (url, request) = node(answer("200 OK", "", r#"{"keys":[],"next_cursor":"c"}"#)).await;
    let list = ListKeys { owner: Some("acme".into()), cursor: Some("a&b".into()), page_size: Some(3), ..ListKeys::default() };
    let page = client(&format!("{url}/gate/")).list_keys(&list).await.expect("a page");
    assert_eq!(page.next_cursor.as_deref(), Some("c"));
    let request = request.await.expect("a request");
    assert!(request.starts_with("GET /gate/v1/keys?owner=acme&cursor=a%26b&page_size=3 HTTP/1.1"), "{request}");
}

#[tokio::test]
async fn a_problem_keeps_status_request_id_and_retry() {
    let body = r#"{"type":"urn:x","title":"Busy","status":200,"detail":"wait","instance":"/","request_id":"theirs"}"#;
    let headers = "content-type: application/problem+json; charset=utf-8\r\nretry-after: 9\r\nx-request-id: theirs\r\n";
    let error = error_of(answer("503 Service Unavailable", headers, body)).await;
    assert_eq!((error.status(), error.retry_after_s(), error.request_id.as_str()), (Some(503), Some(9), "theirs"));
    assert_eq!(error.to_string(), "503 Busy: wait");
}

#[tokio::test]
async fn what_is_no_problem_is_a_status() {
    let page = error_of(answer("502 Bad Gateway", "content-type: text/html\r\n", "<h1>open-sesame</h1>")).await;
    assert!(matches!(page.kind, ErrorKind::Status(502)), "{page:?}");
    assert_eq!(page.request_id, "my-request");
    let broken = error_of(answer("400 Bad Request", "content-type: application/problem+json\r\n", "{")).await;
    assert!(matches!(broken.kind, ErrorKind::Status(400)), "{broken:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let error = error_of(answer("307 Temporary Redirect", "location: http://127.0.0.1:9/\r\n", "")).await;
    assert!(matches!(error.kind, ErrorKind::Status(307)), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_quoted() {
    let error = error_of(answer("200 OK", "", r#"{"verdict":"open-sesame"}"#)).await;
    assert!(matches!(error.kind, ErrorKind::Undecodable(_)), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_silence_is_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let options = ClientOptions { timeout: Duration::from_millis(50), ..ClientOptions::default() };
    let error = Client::with_options(&url, None, &options).expect("a client").ready().await.expect_err("silence");
    assert!(matches!(error.kind, ErrorKind::Timeout), "{error:?}");
    drop(silent);
    let error = client(&url).ready().await.expect_err("nobody");
    assert!(matches!(error.kind, ErrorKind::Unreachable(_)), "{error:?}");
    assert_eq!(error.request_id, "my-request");
}

#[tokio::test]
async fn health_is_read_on_200_and_503() {
    let body = r#"{"ready":true,"components":[{"component":"redis","state":"down","reason":"gone"}]}"#;
    for (line, status) in [("200 OK", 200), ("503 Service Unavailable", 503)] {
        let (url, request) = node(answer(line, "content-type: application/json\r\n", body)).await;
        let health = client(&url).health().await.expect("health");
        assert_eq!((health.status, health.readiness.components.len()), (status, 1));
        assert!(request.await.expect("a request").starts_with("GET /health/full "));
    }
}

#[test]
fn refuses_urls_that_are_no_node() {
    for url in ["", "127.0.0.1:8080", "ftp://host", "http://", "http://u:p@host", "http://host/?a=b", "http://host/#a", "unix:/x"] {
        assert!(matches!(Client::new(url, None), Err(ClientSetupError::Url)), "{url}");
    }
}

#[test]
fn knows_what_travels_in_the_open() {
    for (url, exposed) in [
        ("http://127.0.0.1:1", false),
        ("http://[::1]:1", false),
        ("http://localhost", false),
        ("http://node.example", true),
        ("http://10.0.0.1", true),
    ] {
        assert_eq!(Client::new(url, None).expect("a client").is_exposed(), exposed, "{url}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", client("http://127.0.0.1:1"));
    assert!(shown.contains("mine:[redacted]") && !shown.contains(SECRET), "{shown}");
}
