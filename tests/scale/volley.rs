//! Requests by the million: many on the way on one connection, and of an answer its status alone.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Requests that are on the way at one time on one connection.
const DEPTH: usize = 32;

/// How often each status was answered.
pub(super) type Statuses = BTreeMap<u16, usize>;

/// A request for a decision, with an api key and whatever other header lines there are.
pub(super) fn request(api_key: &str, lines: &str) -> String {
    format!("GET /v1/authorize HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {api_key}\r\n{lines}\r\n")
}

/// Sends the requests of every number below `count` to the nodes, over `connections` to each.
pub(super) async fn volley(
    nodes: &[SocketAddr],
    connections: usize,
    count: usize,
    request: impl Fn(usize) -> String + Clone + Send + 'static,
) -> Statuses {
    let (mut running, step) = (JoinSet::new(), nodes.len() * connections);
    for place in 0..step {
        let (node, request) = (nodes[place % nodes.len()], request.clone());
        running.spawn(async move { fire(node, (place..count).step_by(step).map(request)).await });
    }
    let mut all = Statuses::new();
    while let Some(some) = running.join_next().await {
        for (status, count) in some.expect("no panic") {
            *all.entry(status).or_default() += count;
        }
    }
    all
}

/// Sends them over one connection.
pub(super) async fn fire(node: SocketAddr, mut requests: impl Iterator<Item = String>) -> Statuses {
    let mut stream = TcpStream::connect(node).await.expect("a connection");
    stream.set_nodelay(true).expect("set");
    let (mut statuses, mut received) = (Statuses::new(), Vec::new());
    loop {
        let some: Vec<String> = requests.by_ref().take(DEPTH).collect();
        if some.is_empty() {
            return statuses;
        }
        stream.write_all(some.concat().as_bytes()).await.expect("sent");
        let mut missing = some.len();
        while missing > 0 {
            assert!(stream.read_buf(&mut received).await.expect("read") > 0, "the node closed a connection");
            let mut read = 0;
            while let Some((status, length)) = answer(&received[read..]) {
                *statuses.entry(status).or_default() += 1;
                (read, missing) = (read + length, missing - 1);
            }
            received.drain(..read);
        }
    }
}

/// Status and length of the first answer, if it is whole.
fn answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let text = std::str::from_utf8(bytes).expect("answers are text");
    let head = text.find("\r\n\r\n")? + 4;
    let length = text[..head]
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest[..rest.find('\r').expect("a line's end")].parse::<usize>().expect("a length"));
    let status = text.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
    (text.len() >= head + length).then_some((status, head + length))
}
