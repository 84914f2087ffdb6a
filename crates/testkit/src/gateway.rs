//! A real gateway before one node, for clients of either version of HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use crate::process::{Launch, find_program};
use crate::{Port, Process, Scratch, eventually, nginx};

const UP_WITHIN: Duration = Duration::from_secs(20);

/// nginx or HAProxy, set up to pass on whatever it would let through: what is odd is the node's
/// to refuse.
#[derive(Debug)]
pub struct TestGateway {
    process: Process,
    http1: Port,
    http2: Port,
    _folder: Scratch,
}

impl TestGateway {
    /// nginx before `upstream`.
    pub async fn nginx(upstream: SocketAddr) -> Result<Self> {
        Self::start("nginx", nginx(upstream), |command, folder, file| {
            command.arg("-p").arg(folder).arg("-c").arg(file).args(["-e", "stderr"]);
        })
        .await
    }

    /// HAProxy before `upstream`.
    pub async fn haproxy(upstream: SocketAddr) -> Result<Self> {
        Self::start("haproxy", haproxy(upstream), |command, _, file| {
            command.arg("-db").arg("-f").arg(file);
        })
        .await
    }

    /// Where clients of HTTP/1.1 connect to.
    pub fn http1(&self) -> SocketAddr {
        self.http1.address()
    }

    /// Where clients of HTTP/2 connect to, who know beforehand that it is spoken there.
    pub fn http2(&self) -> SocketAddr {
        self.http2.address()
    }

    async fn start(name: &str, configuration: String, arguments: impl FnOnce(&mut Command, &Path, &Path)) -> Result<Self> {
        let (folder, http1, http2) = (Scratch::new(name)?, Port::take()?, Port::take()?);
        let file = folder.path().join("configuration");
        let text = configuration.replace("FOLDER", &folder.path().display().to_string());
        std::fs::write(&file, text.replace("HTTP1", &http1.address().to_string()).replace("HTTP2", &http2.address().to_string()))?;
        let mut command = Command::new(find_program(name)?);
        arguments(&mut command, folder.path(), &file);
        command.current_dir(folder.path());
        let process = Launch::new(command, folder.path()).start()?;
        let up = eventually("a gateway listens", UP_WITHIN, async || {
            anyhow::ensure!(process.is_running(), "{name} has ended");
            TcpStream::connect(http1.address()).await?;
            Ok(TcpStream::connect(http2.address()).await?)
        });
        up.await.with_context(|| process.log_tail())?;
        Ok(Self { process, http1, http2, _folder: folder })
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

fn nginx(upstream: SocketAddr) -> String {
    let http = format!(
        "underscores_in_headers on; ignore_invalid_headers off; large_client_header_buffers 8 32k;\n\
         upstream node {{ server {upstream}; keepalive 16; }}\n\
         server {{ listen HTTP1; listen HTTP2 http2;\n\
         location / {{ proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}",
    );
    nginx::around(&http, "FOLDER", "crit")
}

fn haproxy(upstream: SocketAddr) -> String {
    format!(
        "global\n maxconn 512\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n option forwardfor\n\
         frontend one\n bind HTTP1\n default_backend node\n\
         frontend two\n bind HTTP2 proto h2\n default_backend node\n\
         backend node\n server node {upstream}\n",
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each connection's first request with what it read.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(&[head.as_bytes(), &request[..length]].concat()).await.ok();
            }
        });
        address
    }

    #[tokio::test]
    async fn each_passes_requests_on_and_says_for_whom() {
        let upstream = echo().await;
        for gateway in [TestGateway::nginx(upstream).await.unwrap(), TestGateway::haproxy(upstream).await.unwrap()] {
            let (status, seen) = crate::get(gateway.http1(), "/path").await.unwrap();
            assert_eq!(status, 200, "{}", gateway.log_tail());
            assert!(seen.starts_with("GET /path HTTP/1.1\r\n") && seen.to_lowercase().contains("x-forwarded-for: 127.0.0.1"), "{seen}");
        }
    }
}
