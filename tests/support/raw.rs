//! HTTP by the byte, for what a client library would not send.

use std::net::SocketAddr;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{Answer, Asked};

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("written");
    }

    /// Waits until it is told to go on with the body.
    pub(crate) async fn continues(&mut self) {
        let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        self.0.read_exact(&mut told).await.expect("told to go on");
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Reads one answer, whose request was for `target`.
    pub(crate) async fn answer(&mut self, target: &str) -> Answer {
        let mut bytes = Vec::new();
        let head_length = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.0.read_buf(&mut bytes).await.expect("read") > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
        };
        let body = bytes.split_off(head_length);
        let (status, headers) = head(&String::from_utf8(bytes).expect("a head is text"));
        let mut answer = Answer { status, headers, body };
        let length: usize = answer.header("content-length").parse().expect("a length");
        while answer.body.len() < length {
            assert!(self.0.read_buf(&mut answer.body).await.expect("read") > 0, "the connection ended within the body");
        }
        let path = target.split('?').next().unwrap_or_default();
        answer.checked(&Asked { what: target, path, request_id: None, with_body: true })
    }

    /// Sends one whole request: method and target, header lines, body.
    pub(crate) async fn ask(address: SocketAddr, request: &str, headers: &[String], body: &str) -> Answer {
        let mut wire = Self::open(address).await;
        let lines = headers.iter().fold(String::new(), |lines, line| lines + line + "\r\n");
        wire.send(format!("{request} HTTP/1.1\r\nhost: tollgate\r\n{lines}content-length: {}\r\n\r\n{body}", body.len())).await;
        wire.answer(request.split(' ').nth(1).unwrap_or_default()).await
    }
}

fn head(text: &str) -> (u16, HeaderMap) {
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok()).expect("a status");
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers = pairs.map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        (name, HeaderValue::from_str(value.trim()).expect("a header's value"))
    });
    (status, headers.collect())
}
