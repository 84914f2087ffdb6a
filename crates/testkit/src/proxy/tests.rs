use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;
use crate::eventually;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

/// A server that sends everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                tokio::io::copy(&mut reads, &mut writes).await.ok();
            });
        }
    });
    address
}

async fn connected() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let stream = TcpStream::connect(proxy.addr()).await.unwrap();
    (proxy, stream)
}

async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn bytes_pass_and_are_counted() {
    let (proxy, mut stream) = connected().await;
    assert_eq!(round_trip(&mut stream, b"hello").await.unwrap(), b"hello");
    assert_eq!((proxy.connections(), proxy.bytes(Way::Up), proxy.bytes(Way::Down)), (1, 5, 5));
}

#[tokio::test]
async fn the_end_of_a_stream_passes() {
    let (_proxy, mut stream) = connected().await;
    stream.write_all(b"bye").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, b"bye");
}

#[tokio::test]
async fn a_cut_resets_open_connections_and_lets_new_ones_pass() {
    let (proxy, mut stream) = connected().await;
    round_trip(&mut stream, b"a").await.unwrap();
    proxy.cut();
    let ended = timeout(LONG, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
    let mut again = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(round_trip(&mut again, b"b").await.unwrap(), b"b");
}

#[tokio::test]
async fn a_lasting_cut_refuses_new_connections_until_it_is_mended() {
    let (proxy, _stream) = connected().await;
    proxy.set(Fault::Cut);
    let mut refused = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(timeout(LONG, round_trip(&mut refused, b"a")).await.unwrap().is_err());
    proxy.mend();
    let mut again = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(round_trip(&mut again, b"b").await.unwrap(), b"b");
}

#[tokio::test]
async fn a_black_hole_holds_answers_back_and_gives_them_later() {
    let (proxy, mut stream) = connected().await;
    proxy.set_way(Way::Down, Fault::BlackHole);
    stream.write_all(b"ask").await.unwrap();
    let passed = async || {
        anyhow::ensure!(proxy.bytes(Way::Up) == 3, "{}", proxy.bytes(Way::Up));
        Ok(())
    };
    eventually("the question passes", LONG, passed).await.unwrap();
    let mut answer = [0; 3];
    assert!(timeout(SHORT, stream.read_exact(&mut answer)).await.is_err());
    proxy.mend();
    timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"ask");
}

#[tokio::test]
async fn a_delay_holds_each_answer_that_long() {
    let (proxy, mut stream) = connected().await;
    proxy.set_way(Way::Down, Fault::Delay(SHORT));
    let start = Instant::now();
    round_trip(&mut stream, b"a").await.unwrap();
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_throttle_holds_the_rate_down() {
    let (proxy, mut stream) = connected().await;
    proxy.set_way(Way::Up, Fault::Throttle(1000));
    let start = Instant::now();
    round_trip(&mut stream, &[7; 300]).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(250));
}
