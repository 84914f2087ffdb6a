//! One connection: one request at a time, over HTTP/1.1.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::tally::NoAnswer;

/// From a connection that cannot be made to the next attempt.
const PAUSE: Duration = Duration::from_millis(10);

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
        if asked == Err(NoAnswer::Unconnected) {
            tokio::time::sleep(PAUSE).await;
        }
        asked
    }

    async fn try_ask(&mut self, mut request: Request<Empty<Bytes>>) -> Result<u16, NoAnswer> {
        loop {
            let sender = match &mut self.sender {
                Some(sender) => sender,
                None => self.sender.insert(connect(self.address).await.ok_or(NoAnswer::Unconnected)?),
            };
            if sender.ready().await.is_err() {
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
                Err(mut error) => request = error.take_message().ok_or(NoAnswer::Broken)?,
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
