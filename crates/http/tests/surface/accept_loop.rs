//! The accept loop over raw sockets: what a client may take, and how a listener ends.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use tokio::sync::{Notify, Semaphore};
use tollgate_http::{Phase, ServerOptions, Surface};

use crate::raw::{Raw, Running, serve};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const SHORT: Duration = Duration::from_millis(60);

fn hello() -> Surface {
    Surface::new(Router::new().route("/", get(|| async { "hello" })).route("/panic", get(panics)))
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

async fn hello_with(change: impl FnOnce(&mut ServerOptions)) -> Running {
    let mut options = ServerOptions::default();
    change(&mut options);
    serve(hello(), options).await
}

/// A surface whose one handler says when it was entered, and waits to be let go.
struct Held {
    entered: Arc<Semaphore>,
    go: Arc<Notify>,
}

impl Held {
    async fn start(options: ServerOptions) -> (Self, Running) {
        let held = Self { entered: Arc::new(Semaphore::new(0)), go: Arc::new(Notify::new()) };
        let (entered, go) = (Arc::clone(&held.entered), Arc::clone(&held.go));
        let handler = move || async move {
            entered.add_permits(1);
            go.notified().await;
            "done"
        };
        (held, serve(Surface::new(Router::new().route("/", get(handler))), options).await)
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let running = hello_with(|options| options.first_byte_timeout = SHORT).await;
    assert_eq!(Raw::open(running.address).await.rest().await, "");
}

#[tokio::test]
async fn slow_headers_are_closed() {
    let running = hello_with(|options| options.header_timeout = SHORT).await;
    for start in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n", "P", "PRI * HTTP/2.0\r\n"] {
        let mut raw = Raw::open(running.address).await;
        raw.send(start).await;
        assert_eq!(raw.rest().await, "", "after {start:?}");
    }
}

#[tokio::test]
async fn slow_headers_of_a_later_request_are_closed() {
    let running = hello_with(|options| options.header_timeout = SHORT).await;
    let mut raw = Raw::open(running.address).await;
    raw.send(GET).await;
    assert_eq!(raw.response().await.body, "hello");
    raw.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn idle_connections_outlive_the_header_timeout_but_not_their_own() {
    let running = hello_with(|options| options.header_timeout = Duration::from_millis(20)).await;
    let mut raw = Raw::open(running.address).await;
    raw.send(GET).await;
    assert_eq!(raw.response().await.status(), "200");
    // The idle time is what is tested; nothing waits for it to be long enough.
    tokio::time::sleep(Duration::from_millis(150)).await;
    raw.send(GET).await;
    assert_eq!(raw.response().await.status(), "200");

    let running = hello_with(|options| options.keep_alive_timeout = SHORT).await;
    let mut raw = Raw::open(running.address).await;
    raw.send(GET).await;
    assert_eq!(raw.response().await.status(), "200");
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn oversized_headers_are_431() {
    let running = hello_with(|_| ()).await;
    for head in [
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(20_000)),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: 1\r\n".repeat(200)),
    ] {
        let mut raw = Raw::open(running.address).await;
        raw.send(head).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn ambiguous_requests_are_400_and_closed() {
    let running = hello_with(|_| ()).await;
    for head in [
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let mut raw = Raw::open(running.address).await;
        raw.send(head).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.matches("HTTP/1.1").count() == 1, "{head:?} became {answer:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let running = hello_with(|_| ()).await;
    let mut raw = Raw::open(running.address).await;
    let ids: Vec<String> = (0..16).map(|number| format!("id-{number}")).collect();
    let requests: Vec<String> = ids.iter().map(|id| format!("GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: {id}\r\n\r\n")).collect();
    raw.send(requests.concat()).await;
    for id in ids {
        let response = raw.response().await;
        assert!(response.head.contains(&format!("x-request-id: {id}\r\n")), "{}", response.head);
        assert_eq!(response.body, "hello");
    }
}

#[tokio::test]
async fn what_came_before_a_head_that_cannot_be_read_is_answered_too() {
    let running = hello_with(|_| ()).await;
    let mut raw = Raw::open(running.address).await;
    raw.send([GET, GET, "GET / HTTP/1.1\r\nHost : x\r\n\r\n", GET].concat()).await;
    let answers = raw.rest().await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.split(' ').next()).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answers}");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let running = hello_with(|_| ()).await;
    let mut raw = Raw::open(running.address).await;
    // The preface, empty settings, and one request of indexed header fields: GET, http, /.
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    raw.send(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x").await;
    loop {
        let frame = raw.take(9).await;
        let length = usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2]);
        let payload = raw.take(length).await;
        if frame[3] == 1 {
            assert_eq!(payload[0], 0x88, "the first field is the indexed `:status: 200`");
            break;
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_lives_on() {
    let running = hello_with(|_| ()).await;
    let mut raw = Raw::open(running.address).await;
    raw.send("GET /panic HTTP/1.1\r\nHost: x\r\nX-Request-Id: p1\r\n\r\n").await;
    let response = raw.response().await;
    assert_eq!(response.status(), "500");
    assert!(
        response.body.contains("urn:tollgate:problem:internal") && response.body.contains("\"request_id\":\"p1\""),
        "{}",
        response.body
    );
    assert!(!response.body.contains("on purpose"));
    raw.send(GET).await;
    assert_eq!(raw.response().await.status(), "200");
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_one_to_end() {
    let running = hello_with(|options| options.connections_max = 1).await;
    let mut first = Raw::open(running.address).await;
    first.send(GET).await;
    assert_eq!(first.response().await.status(), "200");
    let mut second = Raw::open(running.address).await;
    second.send(GET).await;
    first.send(GET).await;
    assert_eq!(first.response().await.status(), "200");
    drop(first);
    assert_eq!(second.response().await.status(), "200");
}

#[tokio::test]
async fn draining_serves_on_and_closes_each_connection() {
    let running = hello_with(|_| ()).await;
    let mut early = Raw::open(running.address).await;
    early.send(GET).await;
    assert!(!early.response().await.head.contains("connection: close"));
    running.phase.send(Phase::Drain).expect("a server that listens");
    let mut late = Raw::open(running.address).await;
    late.send(GET).await;
    let answer = late.rest().await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    early.send(GET).await;
    let answer = early.rest().await.to_lowercase();
    assert!(answer.contains("connection: close"), "{answer}");
    running.phase.send(Phase::Stop).expect("a server that listens");
    assert_eq!(running.served.await.expect("an end").connections_cut, 0);
}

#[tokio::test]
async fn stopping_ends_what_is_in_flight_and_what_is_idle() {
    let (held, running) = Held::start(ServerOptions::default()).await;
    let mut busy = Raw::open(running.address).await;
    busy.send(GET).await;
    held.entered.acquire().await.expect("open").forget();
    let silent = Raw::open(running.address).await;
    running.phase.send(Phase::Stop).expect("a server that listens");
    assert_eq!(silent.rest().await, "");
    held.go.notify_one();
    let answer = busy.rest().await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    assert_eq!(running.served.await.expect("an end").connections_cut, 0);
    assert!(tokio::net::TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_cut() {
    let (held, running) = Held::start(ServerOptions { stop_grace: SHORT, ..ServerOptions::default() }).await;
    let mut busy = Raw::open(running.address).await;
    busy.send(GET).await;
    held.entered.acquire().await.expect("open").forget();
    running.phase.send(Phase::Stop).expect("a server that listens");
    assert_eq!(busy.rest().await, "");
    assert_eq!(running.served.await.expect("an end").connections_cut, 1);
}
