//! nginx as the load balancer before some nodes.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use crate::process::{Launch, find_program};
use crate::{Port, Process, Scratch, eventually};

const UP_WITHIN: Duration = Duration::from_secs(20);

/// One nginx that shares requests out in turn, over kept connections.
#[derive(Debug)]
pub struct TestNginx {
    process: Process,
    port: Port,
    _folder: Scratch,
}

impl TestNginx {
    /// Starts it before these addresses.
    pub async fn start(upstreams: &[SocketAddr]) -> Result<Self> {
        Self::run(&before(upstreams)).await
    }

    /// Starts one that has nobody behind it and answers all with 204.
    pub async fn silent() -> Result<Self> {
        Self::run("server { listen ADDRESS backlog=1024; keepalive_requests 1000000000; location / { return 204; } }").await
    }

    async fn run(http: &str) -> Result<Self> {
        let folder = Scratch::new("nginx")?;
        let port = Port::take()?;
        let file = folder.path().join("nginx.conf");
        let http = http.replace("ADDRESS", &port.address().to_string());
        std::fs::write(&file, around(&http, &folder.path().display().to_string(), "warn"))?;
        let mut command = Command::new(find_program("nginx")?);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]).current_dir(folder.path());
        let process = Launch::new(command, folder.path()).start()?;
        let up = eventually("nginx listens", UP_WITHIN, async || {
            anyhow::ensure!(process.is_running(), "nginx has ended");
            Ok(TcpStream::connect(port.address()).await?)
        });
        up.await.with_context(|| process.log_tail())?;
        Ok(Self { process, port, _folder: folder })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The URL of it, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

/// A whole configuration around what `http` says, which logs from a level on. One process without a
/// master: it has no children that could outlive it.
pub(crate) fn around(http: &str, folder: &str, level: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {folder}/{kind};")).concat();
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr {level}; worker_rlimit_nofile 8192;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; {temporary}\n{http} }}\n"
    )
}

fn before(upstreams: &[SocketAddr]) -> String {
    let servers: Vec<String> = upstreams.iter().map(|upstream| format!(" server {upstream} fail_timeout=1s;")).collect();
    let servers = servers.concat();
    format!(
        "upstream nodes {{{servers} keepalive 128; }}\n\
         server {{ listen ADDRESS backlog=1024; keepalive_requests 1000000;\n\
         location / {{ proxy_pass http://nodes; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}",
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers every request with its own name.
    async fn named(name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{name}", name.len());
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        address
    }

    #[tokio::test]
    async fn requests_go_to_each_node_in_turn() {
        let nginx = TestNginx::start(&[named("one").await, named("two").await]).await.unwrap();
        let mut names = Vec::new();
        for _ in 0..4 {
            names.push(crate::get(nginx.address(), "/").await.unwrap().1);
        }
        names.sort();
        assert_eq!(names, ["one", "one", "two", "two"]);
    }
}
