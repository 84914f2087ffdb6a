//! Clients that say nothing, say it slowly, or say it without end (T9).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    fleet, memory_kib, resident_kib,
    volley::{Line, request},
};
use crate::support::Cluster;

const HOSTILE: usize = 10_000;
/// What a connection may take to say something, and then to say all of a head.
const LIMIT: Duration = Duration::from_secs(4);
/// A bound by the clock is at least five times the target.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// Memory for one connection that has said next to nothing.
const KIB_EACH: u64 = 16;

/// A node with room for all of them and some more.
async fn node() -> Cluster {
    let limit = format!("{}ms", LIMIT.as_millis());
    let fleet = fleet(1)
        .env("TOLLGATE_HTTP__CONNECTIONS_MAX", (HOSTILE + 100).to_string())
        .env("TOLLGATE_HTTP__FIRST_BYTE_TIMEOUT", &limit)
        .env("TOLLGATE_HTTP__HEADER_TIMEOUT", &limit)
        .env("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__PER_SECONDS", "1");
    Cluster::of(fleet).await
}

/// Silent, or a byte of a head now and then; tells how long the node put up with it.
async fn linger(mut stream: TcpStream, is_silent: bool) -> Duration {
    let (opened, mut answer) = (Instant::now(), Vec::new());
    let mut next = if is_silent { "" } else { "GET /v1/authorize HTTP/1.1\r\nx: " };
    loop {
        if stream.write_all(next.as_bytes()).await.is_err() {
            return opened.elapsed();
        }
        match tokio::time::timeout(LIMIT / 8, stream.read_buf(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return opened.elapsed(),
            Ok(Ok(_)) => {}
            Err(_) => next = if is_silent { "" } else { "x" },
        }
    }
}

/// Asks all the time, on one connection and on a new one each time in turn; gives how long each took.
async fn ask_on(address: SocketAddr, api_key: String, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let (mut kept, mut took) = (Line::open(address).await.expect("a connection"), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let mut fresh;
        let line = if took.len() % 2 == 0 {
            &mut kept
        } else {
            fresh = Line::open(address).await.expect("a connection");
            &mut fresh
        };
        line.send(&request(&api_key, "")).await.expect("sent");
        assert_eq!(line.answer().await.expect("an answer").status, 200);
        took.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_that_say_next_to_nothing_are_closed_and_hold_nobody_up() {
    let room = 2 * HOSTILE as u64;
    assert!(rlimit::increase_nofile_limit(room).expect("a limit") > HOSTILE as u64 + 500, "open files: see ulimit -Hn");
    let cluster = node().await;
    let (node, stop) = (&cluster.fleet.nodes[0], Arc::new(AtomicBool::new(false)));
    let rightful = tokio::spawn(ask_on(node.address(), cluster.fleet.admin_key.clone(), stop.clone()));
    let before = resident_kib(node);
    let mut hostile = JoinSet::new();
    for number in 0..HOSTILE {
        let stream = TcpStream::connect(node.address()).await.expect("a connection");
        hostile.spawn(linger(stream, number % 2 == 0));
        // Who comes after them is answered after they were let in: fewer wait at a time than the system drops.
        if number % 500 == 0 {
            let mut line = Line::open(node.address()).await.expect("a connection");
            line.send(&request(&cluster.fleet.admin_key, "")).await.expect("sent");
            assert_eq!(line.answer().await.expect("an answer").status, 200);
        }
    }
    let held = hostile.join_all().await;
    stop.store(true, Ordering::Relaxed);
    let mut took = rightful.await.expect("each was answered 200");
    took.sort_unstable();
    let longest = held.iter().max().expect("ten thousand");
    assert!(*longest < CLOSED_WITHIN, "closed after {longest:?}");
    assert!(held.iter().all(|held| *held > LIMIT / 2), "they were let in, and had their time");
    assert!(took.len() > 100, "{} requests meanwhile", took.len());
    assert!(took[took.len() * 99 / 100] < Duration::from_secs(1), "p99 of {} rightful: {:?}", took.len(), took[took.len() * 99 / 100]);
    let most = memory_kib(node, "VmHWM:");
    assert!(most < before + KIB_EACH * HOSTILE as u64, "{before} KiB became {most}");
}

/// HTTP/2 by the byte.
mod frames {
    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    /// `GET http: /` and a host, as indexed fields.
    pub(super) const HEAD: &[u8] = b"\x82\x86\x84\x41\x01x";
    pub(super) const POST: &[u8] = b"\x83\x86\x84\x41\x01x";
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;

    pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    pub(super) fn headers(flags: u8, stream: u32, head: &[u8]) -> Vec<u8> {
        frame(1, flags, stream, head)
    }
}

/// What a hostile client sends, again and again, with the number of the round.
type Script = fn(u32) -> Vec<u8>;

/// Requests that are taken back at once.
fn reset(round: u32) -> Vec<u8> {
    let stream = 2 * round + 1;
    [frames::headers(frames::END_STREAM | frames::END_HEADERS, stream, frames::HEAD), frames::frame(3, 0, stream, &[0, 0, 0, 8])].concat()
}

/// A head that never ends.
fn continuation(round: u32) -> Vec<u8> {
    let field = [b"\x40\x01y\x7f\x81\x07".as_slice(), &[b'z'; 1024]].concat();
    if round == 0 { frames::headers(0, 1, frames::HEAD) } else { frames::frame(9, 0, 1, &field) }
}

/// A body of nothing.
fn empty_data(round: u32) -> Vec<u8> {
    if round == 0 { frames::headers(frames::END_HEADERS, 1, frames::POST) } else { frames::frame(0, 0, 1, &[]) }
}

/// Questions whose answers nobody reads.
fn ping(_round: u32) -> Vec<u8> {
    frames::frame(6, 0, 0, &[7; 8])
}

/// Settings, each to be acknowledged.
fn settings(_round: u32) -> Vec<u8> {
    frames::frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
}

/// Sends up to a million of them, as fast as the node takes them; the answers stay unread. True where it ended
/// the connection, and false where it took nothing more for so long.
async fn flood(address: SocketAddr, script: Script, patience: Duration) -> bool {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(frames::PREFACE).await.expect("written");
    for rounds in (0..1_000_000_u32).step_by(100) {
        let bytes: Vec<u8> = (rounds..rounds + 100).flat_map(script).collect();
        match tokio::time::timeout(patience, stream.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return true,
            // It reads no more: it waits for its answers to be read.
            Err(_) => return false,
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http2_frames_take_no_memory() {
    let cluster = node().await;
    let (node, stop) = (&cluster.fleet.nodes[0], Arc::new(AtomicBool::new(false)));
    let rightful = tokio::spawn(ask_on(node.address(), cluster.fleet.admin_key.clone(), stop.clone()));
    let before = resident_kib(node);
    let scripts: [(&str, Script); 5] =
        [("resets", reset), ("continuations", continuation), ("empty data", empty_data), ("pings", ping), ("settings", settings)];
    for (name, script) in scripts {
        // These two have no honest use, and must be ended.
        let is_ended = matches!(name, "resets" | "continuations");
        let patience = Duration::from_secs(if is_ended { 30 } else { 2 });
        let mut floods = JoinSet::new();
        for _ in 0..4 {
            floods.spawn(flood(node.address(), script, patience));
        }
        let ended = floods.join_all().await;
        let most = memory_kib(node, "VmHWM:");
        // Some thousand frames a second would be more, were they kept; what the allocator keeps differs by 10 MiB.
        assert!(most < before + 32 * 1024, "{name}: {before} KiB became {most}, ended: {ended:?}");
        assert!(!is_ended || ended == [true; 4], "{name}: ended {ended:?}");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(rightful.await.expect("each was answered 200").len() > 10);
}
