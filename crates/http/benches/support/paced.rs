//! Load at a fixed rate. Latencies count from the instant a request was due, if its connection was late.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Until then all connections are there.
const BEGIN_WITHIN: Duration = Duration::from_millis(200);

pub(crate) fn request(path: &str, api_key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {api_key}\r\n\r\n").into_bytes()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// When it was sent, and when it was answered.
    pub(crate) at: (Instant, Instant),
    latency: Duration,
}

/// Sends each once, over so many connections, as fast as they are answered. All must be answered with
/// `expected`.
pub(crate) async fn once(node: SocketAddr, requests: &Arc<Vec<Vec<u8>>>, connections: usize, expected: u16) -> Result<()> {
    let mut running = JoinSet::new();
    for connection in 0..connections {
        let requests = Arc::clone(requests);
        running.spawn(async move {
            let mut stream = TcpStream::connect(node).await?;
            stream.set_nodelay(true)?;
            for request in requests.iter().skip(connection).step_by(connections) {
                stream.write_all(request).await?;
                let status = answer(&mut stream).await?;
                anyhow::ensure!(status == expected, "answered {status} instead of {expected}");
            }
            Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Sends at a fixed rate, spread over connections and nodes.
pub(crate) async fn load(
    nodes: &[SocketAddr],
    requests: &Arc<Vec<Vec<u8>>>,
    rate: u64,
    connections: u64,
    seconds: u64,
) -> Result<Vec<Answer>> {
    let mut running = JoinSet::new();
    let pause = Duration::from_secs_f64(f64::from(u32::try_from(connections)?) / f64::from(u32::try_from(rate)?));
    let count = rate * seconds / connections;
    let begun = Instant::now() + BEGIN_WITHIN;
    for connection in 0..connections {
        // One after the other: together they would be a burst of this tool's making.
        let begun = begun + pause * u32::try_from(connection)? / u32::try_from(connections)?;
        let node = *nodes.get(usize::try_from(connection)? % nodes.len()).context("no nodes")?;
        let requests = Arc::clone(requests);
        let first = usize::try_from(connection)? * requests.len() / usize::try_from(connections)?;
        running.spawn(async move { paced(node, &requests, (first, count), (begun, pause)).await });
    }
    let mut answers = Vec::new();
    while let Some(done) = running.join_next().await {
        answers.extend(done??);
    }
    Ok(answers)
}

async fn paced(
    node: SocketAddr,
    requests: &[Vec<u8>],
    (first, count): (usize, u64),
    (begun, pause): (Instant, Duration),
) -> Result<Vec<Answer>> {
    let mut stream = TcpStream::connect(node).await?;
    stream.set_nodelay(true)?;
    let mut answers = Vec::new();
    for number in 0..count {
        let due = begun + pause * u32::try_from(number)?;
        let late = Instant::now() > due;
        if !late {
            tokio::time::sleep_until(due.into()).await;
        }
        // Our own timer's lateness is not the server's.
        let from = if late { due } else { Instant::now() };
        let sent = Instant::now();
        let request = requests.get((first + usize::try_from(number)?) % requests.len()).context("no requests")?;
        stream.write_all(request).await?;
        let status = answer(&mut stream).await?;
        answers.push(Answer { status, at: (sent, Instant::now()), latency: from.elapsed() });
    }
    Ok(answers)
}

/// Reads one answer and tells its status.
async fn answer(stream: &mut TcpStream) -> Result<u16> {
    let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut room).await?;
        anyhow::ensure!(read > 0, "the node closed a connection");
        bytes.extend_from_slice(room.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
        if body.len() >= length {
            return head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an answer has a status");
        }
    }
}

/// The latency in ms that so many of a hundred answers kept to.
pub(crate) fn latency_ms(answers: &[Answer], percent: usize) -> f64 {
    let mut sorted: Vec<Duration> = answers.iter().map(|answer| answer.latency).collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() * percent / 100).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}
