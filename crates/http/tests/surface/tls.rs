//! Listeners that speak TLS: what they take, what they refuse, and what they show.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use reqwest::Client;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tollgate_http::{Certificate, CertificateAndKey, CertificateError, Phase, Server, ServerOptions, Surface};
use tollgate_testkit::{TestAuthority, TestCertificate};

use crate::raw::{PATIENCE, Raw, Running};

const SHORT: Duration = Duration::from_millis(60);
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// More than the buffers of both ends hold.
const LARGE: usize = 16 * 1024 * 1024;
/// Curves, forms of their points, and signatures that a client of before TLS 1.3 offers.
const EXTENSIONS: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 0x17, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3];

/// The greeting of a client whose newest version is this: 3 and 2 for TLS 1.1, 3 and 3 for 1.2.
fn hello(version: [u8; 2]) -> Vec<u8> {
    let suites: &[u8] = &[0, 2, 0xc0, 0x2b];
    let body = [&version[..], &[7; 32], &[0], suites, &[1, 0], &[0, 22], EXTENSIONS].concat();
    let length = u8::try_from(body.len()).expect("short");
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &body[..]].concat()
}

fn pair(certificate: &TestCertificate) -> CertificateAndKey {
    CertificateAndKey::from_pem(certificate.chain().as_bytes(), certificate.key().as_bytes()).expect("a good pair")
}

/// A listener that shows a certificate, which can be replaced.
async fn serve(certificate: &TestCertificate, options: ServerOptions) -> (Running, Certificate) {
    let shown = Certificate::new(pair(certificate));
    let server = Server::bind(([127, 0, 0, 1], 0).into(), options).await.expect("a free port").with_certificate(Some(shown.clone()));
    let address = server.local_addr().expect("an address");
    let (phase, told) = watch::channel(Phase::Serve);
    let routes = Router::new().route("/", get(|| async { "hello" })).route("/large", get(|| async { "x".repeat(LARGE) }));
    let surface = Surface::new(routes);
    (Running { address, phase, served: tokio::spawn(server.serve(surface, told)) }, shown)
}

fn authority() -> (TestAuthority, TestCertificate) {
    let authority = TestAuthority::new().expect("an authority");
    let certificate = authority.issue(&["127.0.0.1"]).expect("a certificate");
    (authority, certificate)
}

/// A client that trusts these and nobody else.
fn client(authorities: &[&TestAuthority]) -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    let roots = authorities.iter().map(|authority| reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate"));
    Client::builder().no_proxy().tls_certs_only(roots).pool_max_idle_per_host(0).build().expect("a client")
}

/// A connection that offers these protocols within TLS.
async fn connect(address: SocketAddr, authority: &TestAuthority, protocols: &[&str]) -> TlsStream<TcpStream> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate")).expect("a good root");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}

/// Sends a request and takes all of its answer, so that the next one may follow.
async fn ask(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(GET.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nhello") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn requests_are_answered_over_both_versions_of_http() {
    let (authority, certificate) = authority();
    let (running, _shown) = serve(&certificate, ServerOptions::default()).await;
    let answer = client(&[&authority]).get(format!("https://{}/", running.address)).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), "hello");
    for (offered, agreed) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let stream = connect(running.address, &authority, offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes));
    }
    ask(&mut connect(running.address, &authority, &[]).await).await;
}

#[tokio::test]
async fn a_large_answer_reaches_a_client_that_begins_to_read_late() {
    let (authority, certificate) = authority();
    let (running, _shown) = serve(&certificate, ServerOptions::default()).await;
    let mut stream = connect(running.address, &authority, &[]).await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    // Meanwhile the listener, on this same thread, writes all that the socket takes.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    // The connection stays open: nothing but the answer itself brings its end.
    let whole = async {
        let (mut head, mut body) = (Vec::new(), vec![0; LARGE]);
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        stream.read_exact(&mut body).await.expect("a body");
    };
    tokio::time::timeout(PATIENCE, whole).await.expect("in time");
}

#[tokio::test]
async fn versions_before_1_2_are_refused() {
    let (_authority, certificate) = authority();
    let (running, _shown) = serve(&certificate, ServerOptions::default()).await;
    for (version, answer, what) in [([3, 2], (21, [2, 70]), "a fatal alert protocol_version"), ([3, 3], (22, [2, 0]), "a greeting")] {
        let mut raw = Raw::open(running.address).await;
        raw.send(hello(version)).await;
        let told = raw.take(7).await;
        assert_eq!((told[0], &told[5..]), (answer.0, &answer.1[..]), "{what}: {told:?}");
    }
}

#[tokio::test]
async fn requests_in_plain_text_have_no_answer() {
    let (_authority, certificate) = authority();
    let (running, _shown) = serve(&certificate, ServerOptions::default()).await;
    let mut raw = Raw::open(running.address).await;
    raw.send(GET).await;
    let told = raw.rest().await;
    assert!(!told.contains("HTTP") && !told.contains("hello"), "{told}");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let (_authority, certificate) = authority();
    let (running, _shown) = serve(&certificate, ServerOptions { header_timeout: SHORT, ..ServerOptions::default() }).await;
    let mut raw = Raw::open(running.address).await;
    raw.send(&hello([3, 3])[..20]).await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_end() {
    let (_authority, certificate) = authority();
    let (running, _shown) = serve(&certificate, ServerOptions::default()).await;
    let mut raw = Raw::open(running.address).await;
    raw.send(&hello([3, 3])[..20]).await;
    running.phase.send_replace(Phase::Stop);
    let served = tokio::time::timeout(PATIENCE, running.served).await.expect("it ends").expect("no panic");
    assert_eq!(served.connections_cut, 0);
}

#[tokio::test]
async fn certificates_are_refused_by_clients_that_cannot_trust_them() {
    let (authority, certificate) = authority();
    let (running, shown) = serve(&certificate, ServerOptions::default()).await;
    let stranger = TestAuthority::new().expect("an authority");
    let url = format!("https://{}/", running.address);
    let why = async |trusted: &TestAuthority| {
        let error = client(&[trusted]).get(&url).send().await.expect_err("refused");
        format!("{error:?}")
    };
    assert!(why(&stranger).await.contains("UnknownIssuer"));
    shown.replace(pair(&authority.issue(&["other.example"]).expect("a certificate")));
    assert!(why(&authority).await.contains("NotValidForName"));
    shown.replace(pair(&authority.issue_expired(&["127.0.0.1"], &certificate).expect("a certificate")));
    assert!(why(&authority).await.contains("Expired"));
    shown.replace(pair(&authority.issue_early(&["127.0.0.1"], &certificate).expect("a certificate")));
    assert!(why(&authority).await.contains("NotValidYet"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_fails_no_request() {
    let ((first, one), (second, two)) = (authority(), authority());
    let (running, shown) = serve(&one, ServerOptions { header_timeout: PATIENCE, ..ServerOptions::default() }).await;
    let mut kept = connect(running.address, &first, &[]).await;
    // A connection that has sent nothing may be cut before the test ends.
    ask(&mut kept).await;
    let (failed, done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (client, url) = (client(&[&first, &second]), format!("https://{}/", running.address));
        let (failed, done, stop) = (Arc::clone(&failed), Arc::clone(&done), Arc::clone(&stop));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // A connection of its own each time.
                match client.get(&url).send().await {
                    Ok(answer) if answer.status() == 200 => done.fetch_add(1, Ordering::Relaxed),
                    _ => failed.fetch_add(1, Ordering::Relaxed),
                };
            }
        });
    }
    // Each certificate is shown while requests come and go.
    for turn in 0..10 {
        let before = done.load(Ordering::Relaxed) + failed.load(Ordering::Relaxed);
        shown.replace(pair(if turn % 2 == 0 { &two } else { &one }));
        while done.load(Ordering::Relaxed) + failed.load(Ordering::Relaxed) < before + 6 {
            // Spinning would keep a small machine from the requests.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    assert_eq!(failed.load(Ordering::Relaxed), 0);
    assert!(done.load(Ordering::Relaxed) >= 60);
    // Who was connected before goes on; who connects now sees the last one, also if he has been here before.
    shown.replace(pair(&one));
    let known = client(&[&first]);
    assert!(known.get(format!("https://{}/", running.address)).send().await.is_ok());
    shown.replace(pair(&two));
    assert!(known.get(format!("https://{}/", running.address)).send().await.is_err());
    ask(&mut kept).await;
    assert!(client(&[&first]).get(format!("https://{}/", running.address)).send().await.is_err());
    assert!(client(&[&second]).get(format!("https://{}/", running.address)).send().await.is_ok());
}

#[test]
fn a_pair_that_cannot_be_used_says_why() {
    let ((_, one), (_, two)) = (authority(), authority());
    let why = |chain: &str, key: &str| CertificateAndKey::from_pem(chain.as_bytes(), key.as_bytes()).map(|_| ()).expect_err("refused");
    assert_eq!(why("", &one.key()), CertificateError::NoCertificate);
    assert_eq!(why(&one.key(), &one.key()), CertificateError::NoCertificate);
    assert_eq!(why("-----BEGIN CERTIFICATE-----\nAAAA\n", &one.key()), CertificateError::NoCertificate);
    assert_eq!(why("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &one.key()), CertificateError::Unreadable);
    assert_eq!(why(one.chain(), ""), CertificateError::NoKey);
    assert_eq!(why(one.chain(), one.chain()), CertificateError::NoKey);
    assert_eq!(why(one.chain(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), CertificateError::KeyKind);
    assert_eq!(why(one.chain(), &two.key()), CertificateError::Mismatch);
    let shown = format!("{:?} {:?}", pair(&one), Certificate::new(pair(&one)));
    let secret = one.key().lines().nth(1).expect("a line").to_owned();
    assert!(!shown.contains(&secret), "{shown}");
}
