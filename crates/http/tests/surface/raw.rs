//! Raw sockets: what a client library would never send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};
use tollgate_http::{Phase, Served, Server, ServerOptions, Surface};

/// No answer after this is no answer at all: far above every time-out that the tests set.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port of its own.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) served: JoinHandle<Served>,
}

/// Serves `surface` until told otherwise.
pub(crate) async fn serve(surface: Surface, options: ServerOptions) -> Running {
    let server = Server::bind(([127, 0, 0, 1], 0).into(), options).await.expect("a free port");
    let address = server.local_addr().expect("an address");
    let (phase, told) = watch::channel(Phase::Serve);
    Running { address, phase, served: tokio::spawn(server.serve(surface, told)) }
}

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Raw {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("a connection"), seen: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("a socket that takes bytes");
    }

    /// Whatever still comes until the server closes.
    pub(crate) async fn rest(mut self) -> String {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut self.seen)).await;
        // A reset is an end too: the server had no use for what was sent.
        read.expect("the server closes").map(|_| ()).unwrap_or_default();
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Exactly so many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            self.more().await;
        }
        self.seen.drain(..count).collect()
    }

    /// One response: its head, and as much body as `content-length` says.
    pub(crate) async fn response(&mut self) -> Response {
        let head = loop {
            if let Some(end) = self.seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(self.take(end + 4).await).expect("a head in ASCII").to_lowercase();
            }
            self.more().await;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().expect("a length"));
        let body = String::from_utf8(self.take(length).await).expect("a body in UTF-8");
        Response { head, body }
    }

    async fn more(&mut self) {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.seen)).await;
        let count = read.expect("an answer in time").expect("a readable socket");
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&self.seen));
    }
}

/// A response, its head in lower case.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}
