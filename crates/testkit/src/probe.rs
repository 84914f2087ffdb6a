//! Just enough HTTP to ask a server whether it is up.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks for `path` and returns the status and the body.
pub async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).context("an answer without a status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// Asks for `path` and returns the status.
pub async fn status(address: SocketAddr, path: &str) -> Result<u16> {
    Ok(get(address, path).await?.0)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn status_and_body_are_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nwhy").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        let (answer, request) = tokio::join!(get(address, "/health/ready"), server);
        assert_eq!(answer.unwrap(), (503, "why".to_owned()));
        assert!(request.starts_with("GET /health/ready HTTP/1.1\r\n"));
    }
}
