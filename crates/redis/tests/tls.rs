//! The way to Redis over TLS: who is spoken to, and who is not.

#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use std::{path::PathBuf, sync::Arc};

use store::{PATIENT, ask, is_allowed, joined, one};
use tollgate_gate::ports::{BucketStore as _, BucketsHealth, Bus as _, Heard};
use tollgate_redis::{Options, OptionsError, RedisBuckets, RedisBus};
use tollgate_telemetry::Metrics;
use tollgate_testkit::{Port, RedisOptions, TestAuthority, TestCertificate, TestRedis, TestRedisCluster, eventually};

/// A Redis that shows a certificate for these names on a port of its own.
struct Shown {
    redis: TestRedis,
    port: Port,
    authority: TestAuthority,
    certificate: TestCertificate,
}

async fn shown(names: &[&str]) -> Shown {
    let (authority, port) = (TestAuthority::new().expect("an authority"), Port::take().expect("a port"));
    let certificate = authority.issue(names).expect("a certificate");
    let redis = TestRedis::with(RedisOptions::default().tls(&port, &certificate)).await.expect("redis starts");
    Shown { redis, port, authority, certificate }
}

impl Shown {
    fn options(&self, ca_file: PathBuf) -> Options {
        Options { ca_file: Some(ca_file), ..Options::new(format!("rediss://{}/", self.port.address())) }
    }

    /// Ends the connections of everybody else.
    async fn hang_up(&self) {
        self.redis.command(&["client", "kill", "type", "normal", "skipme", "yes"]).await.expect("redis answers");
    }
}

/// Waits until the store says that it is down, and why, in these words.
async fn is_refused(store: &RedisBuckets, words: &str) {
    let told = eventually(words, PATIENT, async || match store.health().await {
        BucketsHealth::Down(why) if why.contains(words) => Ok(why),
        other => anyhow::bail!("{other:?}"),
    });
    let why = told.await.expect("a reason");
    assert!(why.starts_with("no TLS connection: "), "{why}");
    assert!(!is_allowed(&store.decide(one("tk_a"), tokio::time::Instant::now()).await), "{why}");
}

async fn is_up(store: &Arc<RedisBuckets>) {
    store::rejoin(store).await;
    let told = ask(store, one("tk_a")).await;
    assert!(is_allowed(&told), "{told:?}");
}

#[tokio::test]
async fn a_redis_is_used_that_an_authority_of_ours_vouches_for() {
    let shown = shown(&["127.0.0.1"]).await;
    let options = shown.options(shown.authority.file());
    is_up(&joined(&options).await).await;
    let bus = RedisBus::connect(&options).expect("good options");
    let heard = tokio::time::timeout(PATIENT, bus.next()).await.expect("something is heard");
    assert!(matches!(heard, Heard::Joined), "{heard:?}");
}

#[tokio::test]
async fn a_redis_is_refused_that_is_another_or_nobody_vouches_for_or_is_out_of_date() {
    let shown = shown(&["redis.example"]).await;
    let connect = |ca_file| RedisBuckets::connect(&shown.options(ca_file), Metrics::noop()).expect("good options");
    let stranger = TestAuthority::new().expect("an authority");
    is_refused(&connect(shown.authority.file()), "for another name than the one that was connected to").await;
    is_refused(&connect(stranger.file()), "not signed by an authority that is trusted here (redis.ca_file)").await;
    let expired = shown.authority.issue_expired(&["127.0.0.1"], &shown.certificate).expect("a certificate");
    shown.redis.show(&expired).await.expect("shown");
    let store = Arc::new(connect(shown.authority.file()));
    is_refused(&store, "has expired").await;
    // And by itself it is good again as soon as the certificate is.
    shown.redis.show(&shown.authority.issue_for(&["127.0.0.1"], &expired).expect("a certificate")).await.expect("shown");
    is_up(&store).await;
}

#[tokio::test]
async fn without_authorities_of_ours_a_redis_of_our_own_is_refused() {
    let shown = shown(&["127.0.0.1"]).await;
    let options = Options { ca_file: None, ..shown.options(PathBuf::new()) };
    // A machine without any authority says so at once.
    match RedisBuckets::connect(&options, Metrics::noop()) {
        Ok(store) => is_refused(&store, "not signed by an authority").await,
        Err(error) => assert!(error.to_string().contains("set redis.ca_file"), "{error}"),
    }
}

#[tokio::test]
async fn new_authorities_hold_from_the_next_connection_on_and_broken_ones_never() {
    let shown = shown(&["127.0.0.1"]).await;
    let (ca_file, next) = (shown.authority.file(), TestAuthority::new().expect("an authority"));
    let store = joined(&shown.options(ca_file.clone())).await;
    std::fs::write(&ca_file, "no certificate").expect("written");
    let made = store.connection_count();
    shown.hang_up().await;
    eventually("another connection", PATIENT, async || {
        anyhow::ensure!(store.connection_count() > made, "none");
        Ok(())
    })
    .await
    .expect("what the file said before still holds");
    is_up(&store).await;
    shown.redis.show(&next.issue(&["127.0.0.1"]).expect("a certificate")).await.expect("shown");
    shown.hang_up().await;
    is_refused(&store, "not signed by an authority").await;
    std::fs::copy(next.file(), &ca_file).expect("written");
    is_up(&store).await;
}

#[tokio::test]
async fn a_file_that_names_no_authority_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    let refusal = |text: Option<&str>| {
        text.map_or(Ok(()), |text| std::fs::write(&file, text)).expect("written");
        let options = Options { ca_file: Some(file.clone()), ..Options::new("rediss://127.0.0.1:1") };
        match RedisBuckets::connect(&options, Metrics::noop()) {
            Err(error @ OptionsError::Authorities(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(refusal(None).starts_with("redis.ca_file cannot be read: "));
    assert_eq!(refusal(Some("hunter2")), "redis.ca_file has no certificate in PEM form");
    assert!(refusal(Some(&"x".repeat(1024 * 1024 + 1))).ends_with("is longer than 1 MiB"));
}

#[tokio::test]
async fn every_master_of_a_cluster_is_spoken_to_over_tls() {
    let authority = TestAuthority::new().expect("an authority");
    let certificate = authority.issue(&["127.0.0.1"]).expect("a certificate");
    let cluster = TestRedisCluster::over_tls(3, &certificate).await.expect("a cluster");
    let options = |authority: &TestAuthority| Options { ca_file: Some(authority.file()), ..Options::new(cluster.tls_url()) };
    let store = joined(&options(&authority)).await;
    // Sixteen tags lie on all three.
    for number in 0..64 {
        let told = ask(&store, one(&format!("tk_{number}"))).await;
        assert!(is_allowed(&told), "{told:?}");
    }
    let stranger = TestAuthority::new().expect("an authority");
    is_refused(&RedisBuckets::connect(&options(&stranger), Metrics::noop()).expect("good options"), "not signed by an authority").await;
}

#[tokio::test]
async fn sentinels_and_the_master_that_they_name_are_spoken_to_over_tls() {
    let shown = shown(&["127.0.0.1"]).await;
    let port = Port::take().expect("a port");
    let watched = format!("sentinel monitor main 127.0.0.1 {} 1", shown.port.number());
    let sentinel = RedisOptions::default().tls(&port, &shown.certificate).sentinel().line(&watched);
    let _sentinel = TestRedis::with(sentinel).await.expect("a sentinel");
    let url = format!("rediss-sentinel://{}/0?sentinelServiceName=main", port.address());
    let options = |authority: &TestAuthority| Options { ca_file: Some(authority.file()), ..Options::new(&url) };
    is_up(&joined(&options(&shown.authority)).await).await;
    let stranger = TestAuthority::new().expect("an authority");
    is_refused(&RedisBuckets::connect(&options(&stranger), Metrics::noop()).expect("good options"), "not signed by an authority").await;
}
