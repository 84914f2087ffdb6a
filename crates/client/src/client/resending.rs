//! What is sent again over a real wire, and to whom.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tollgate_api::{CheckBody, CreateKeyBody, PatchKeyBody};

use super::*;
use crate::{Authorize, ErrorKind, IdempotencyKey};

/// A node that gives these answers, each over a connection of its own, and tells what it was sent.
/// An empty answer breaks the connection.
async fn node(answers: &[&str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let requests = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = vec![0; 65_536];
            // A request this small arrives in one piece.
            let count = stream.read(&mut bytes).await.expect("a request");
            requests.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
            stream.write_all(answer.as_bytes()).await.expect("sent");
        }
        requests
    });
    (url, requests)
}

const DOWN: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 30\r\nconnection: close\r\n\r\n{\"keys\":[],\"next_cursor\":null}";

/// Does not keep a test waiting.
fn quick() -> ClientOptions {
    let retry = RetryPolicy { first_wait: Duration::from_millis(2), ..RetryPolicy::default() };
    // No deadline is as good as a long one.
    ClientOptions { retry, deadline: Duration::MAX, ..ClientOptions::default() }
}

fn client(urls: &[&str], options: &ClientOptions) -> Client {
    Client::of_nodes(urls, Some(Credential::parse("mine:open-sesame").expect("a credential")), options).expect("a client")
}

#[tokio::test]
async fn a_read_is_sent_again_under_the_same_request_id() {
    let (url, requests) = node(&[DOWN, "", PAGE]).await;
    client(&[&url], &quick()).list_keys(&crate::ListKeys::default()).await.expect("a page");
    let requests = requests.await.expect("requests");
    let id = |request: &String| request.lines().find(|line| line.starts_with("x-request-id")).expect("an id").to_owned();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| id(request) == id(&requests[0])), "{requests:?}");
}

#[tokio::test]
async fn a_charge_or_a_change_that_may_stand_is_sent_once() {
    for broken in [DOWN, ""] {
        let (url, requests) = node(&[broken]).await;
        let error = client(&[&url], &quick()).check(&CheckBody::default()).await.expect_err("no answer");
        assert!(matches!(error.kind, ErrorKind::Status(503) | ErrorKind::Broken(_)), "{error:?}");
        assert_eq!(requests.await.expect("requests").len(), 1);
        let (url, requests) = node(&[broken]).await;
        client(&[&url], &quick()).patch_key("k", None, &PatchKeyBody::default()).await.expect_err("no answer");
        assert_eq!(requests.await.expect("requests").len(), 1);
        let (url, requests) = node(&[broken]).await;
        client(&[&url], &quick()).create_key(&CreateKeyBody::default()).await.expect_err("no answer");
        assert_eq!(requests.await.expect("requests").len(), 1);
    }
}

#[tokio::test]
async fn a_named_creation_is_sent_again_under_its_name() {
    let refused = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, requests) = node(&["", DOWN, refused]).await;
    let key = IdempotencyKey::parse("order-7").expect("a name");
    let error = client(&[&url], &quick()).create_key_once(&CreateKeyBody::default(), &key).await.expect_err("a conflict");
    assert_eq!(error.status(), Some(409));
    let requests = requests.await.expect("requests");
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.lines().any(|line| line == "idempotency-key: order-7")), "{requests:?}");
}

#[tokio::test]
async fn a_charge_is_sent_again_where_the_caller_says_so() {
    let allowed = "HTTP/1.1 200 OK\r\nx-tollgate-key-id: mine\r\nx-tollgate-owner: acme\r\nx-tollgate-scopes: a b\r\n\
                   ratelimit: \"key\";r=7;t=1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, requests) = node(&["", allowed]).await;
    let careless = RetryPolicy { resend_charges: true, ..quick().retry };
    let client = client(&[&url], &ClientOptions { retry: careless, ..quick() });
    let ask = Authorize { cost: Some(3), scope: Some("a".into()) };
    let authorized = client.authorize(&ask).await.expect("allowed");
    assert_eq!((authorized.context.key_id.as_str(), authorized.context.owner.as_deref()), ("mine", Some("acme")));
    assert_eq!(authorized.context.scopes, ["a", "b"]);
    assert_eq!(client.rate_limits().expect("limits").remaining(), 7);
    let requests = requests.await.expect("requests");
    assert!(requests.iter().all(|request| request.starts_with("GET /v1/authorize?cost=3&scope=a ")), "{requests:?}");
}

#[tokio::test]
async fn a_yes_from_somebody_else_is_no_answer() {
    let (url, requests) = node(&[PAGE]).await;
    let error = client(&[&url], &quick()).authorize(&Authorize::default()).await.expect_err("nobody was named");
    assert!(matches!(error.kind, ErrorKind::Undecodable(_)), "{error:?}");
    requests.await.expect("a request");
}

#[tokio::test]
async fn a_charge_goes_to_the_next_node_where_the_first_is_gone_and_stays_there() {
    // Taken, so that nobody else listens there.
    let gone = TcpSocket::new_v4().expect("a socket");
    gone.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let gone_url = format!("http://{}", gone.local_addr().expect("an address"));
    let refused = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, requests) = node(&[refused, refused]).await;
    let client = client(&[&gone_url, &url], &quick());
    for _ in 0..2 {
        let error = client.check(&CheckBody::default()).await.expect_err("refused");
        assert_eq!(error.status(), Some(401), "{error:?}");
    }
    assert_eq!(requests.await.expect("requests").len(), 2);
    assert_eq!(client.shared.nodes.preferred().map(|(number, _)| number), Some(1));
}

#[tokio::test]
async fn the_deadline_holds_for_all_attempts_together() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let patient = RetryPolicy { attempts_max: 1_000_000, ..quick().retry };
    let client = client(&[&url], &ClientOptions { retry: patient, ..quick() }).with_deadline(Duration::from_millis(100));
    let began = Instant::now();
    let error = client.list_keys(&crate::ListKeys::default()).await.expect_err("silence");
    assert!(matches!(error.kind, ErrorKind::Timeout), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
