//! Requests by the million: many on the way on one connection, and of an answer only what counts.

use std::{collections::BTreeMap, io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Requests that are on the way at one time on one connection.
const DEPTH: usize = 32;

/// How often each status was answered.
pub(super) type Statuses = BTreeMap<u16, usize>;

/// What is kept of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    /// Whether it says when to come back.
    pub(super) says_when: bool,
}

/// A connection to a node.
pub(super) struct Line {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A request for a decision, with an api key and whatever other header lines there are.
pub(super) fn request(api_key: &str, lines: &str) -> String {
    request_for("", api_key, lines)
}

/// The same with a query, which begins with its question mark.
pub(super) fn request_for(query: &str, api_key: &str, lines: &str) -> String {
    format!("GET /v1/authorize{query} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {api_key}\r\n{lines}\r\n")
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
        running.spawn(async move { fire(node, (place..count).step_by(step).map(request)).await.expect("answers") });
    }
    let mut all = Statuses::new();
    while let Some(some) = running.join_next().await {
        for (status, count) in some.expect("no panic") {
            *all.entry(status).or_default() += count;
        }
    }
    all
}

async fn fire(node: SocketAddr, mut requests: impl Iterator<Item = String>) -> io::Result<Statuses> {
    let (mut line, mut statuses) = (Line::open(node).await?, Statuses::new());
    loop {
        let some: Vec<String> = requests.by_ref().take(DEPTH).collect();
        if some.is_empty() {
            return Ok(statuses);
        }
        line.send(&some.concat()).await?;
        for _ in some {
            *statuses.entry(line.answer().await?.status).or_default() += 1;
        }
    }
}

impl Line {
    pub(super) async fn open(node: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(node).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends one request, or several at once.
    pub(super) async fn send(&mut self, requests: &str) -> io::Result<()> {
        self.stream.write_all(requests.as_bytes()).await
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> io::Result<Told> {
        self.whole_answer().await.map(|(told, _)| told)
    }

    /// The next answer and its body.
    pub(super) async fn whole_answer(&mut self) -> io::Result<(Told, Vec<u8>)> {
        loop {
            if let Some((told, head, body)) = first(&self.received) {
                let body = self.received[head..head + body].to_vec();
                self.received.drain(..head + body.len());
                return Ok((told, body));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The first answer, if it is whole, with the lengths of its head and body.
fn first(bytes: &[u8]) -> Option<(Told, usize, usize)> {
    let text = std::str::from_utf8(bytes).expect("answers are text");
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let body = head.split("\r\ncontent-length: ").nth(1).map_or(0, |rest| {
        let digits = rest.split('\r').next().expect("a line");
        digits.parse::<usize>().expect("a length")
    });
    let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
    (rest.len() >= body).then(|| (Told { status, says_when: head.contains("\r\nretry-after: ") }, head.len() + 4, body))
}
