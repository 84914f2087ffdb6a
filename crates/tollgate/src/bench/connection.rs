//! One connection: one request at a time, over HTTP/1.1.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::tally::NoAnswer;

/// A connection, made when it is first used and whenever it has ended.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    timeout: Duration,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Connection {
    pub(super) fn to(address: SocketAddr, timeout: Duration) -> Self {
        Self { address, timeout, sender: None }
    }

    /// Sends a request and reads its answer to the end; the status.
    pub(super) async fn ask(&mut self, request: Request<Empty<Bytes>>) -> Result<u16, NoAnswer> {
        let asked = tokio::time::timeout(self.timeout, self.try_ask(request)).await;
        let asked = asked.unwrap_or(Err(NoAnswer::TimedOut));
        if asked.is_err() {
            self.sender = None;
        }
        asked
    }

    async fn try_ask(&mut self, mut request: Request<Empty<Bytes>>) -> Result<u16, NoAnswer> {
        loop {
            // One that has ended meanwhile is replaced, once.
            let is_new = self.sender.is_none();
            let sender = match &mut self.sender {
                Some(sender) => sender,
                None => self.sender.insert(connect(self.address).await.ok_or(NoAnswer::Unconnected)?),
            };
            if sender.ready().await.is_err() {
                if is_new {
                    return Err(NoAnswer::Broken);
                }
                self.sender = None;
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let mut body = response.into_body();
                    while let Some(frame) = body.frame().await {
                        frame.map_err(|_| NoAnswer::Broken)?;
                    }
                    return Ok(status);
                }
                // The other end closed it before: nothing was sent.
                Err(mut error) => request = error.take_message().filter(|_| !is_new).ok_or(NoAnswer::Broken)?,
            }
            self.sender = None;
        }
    }
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with the sender; what has ended it shows at the next request.
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    Some(sender)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn a_target_that_closes_what_it_accepts_is_asked_once_and_told_as_broken() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                drop(stream);
            }
        });
        let mut connection = Connection::to(address, Duration::from_secs(10));
        let request = Request::get("/").header("host", "x").body(Empty::new()).expect("a request");
        assert_eq!(connection.ask(request).await, Err(NoAnswer::Broken));
        assert_eq!(accepted.load(Ordering::Relaxed), 1);
    }
}
