//! The number of series of the metrics page, whoever asks for whatever.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate_keys::{ApiKey, KeyId, RandomPart, Secret};
use tollgate_testkit::Node;

use super::Site;
use crate::support::{Api, NewKey};

const REQUESTS: u32 = 100_000;
const CONNECTIONS: u32 = 4;
/// Requests that are sent before their answers are read.
const PIPELINED: u32 = 50;
const REAL_KEYS: usize = 200;

/// Names and labels of all series.
async fn series(node: &Node) -> BTreeSet<String> {
    let page = node.metrics().await.unwrap();
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit_once(' ').expect("a value").0.to_owned()).collect()
}

/// A request that nobody else makes: another path, key, address and id.
fn request(number: u32) -> String {
    let key_id = KeyId::from_parts(1_700_000_000_000 + u64::from(number), [7; 10]);
    let secret = Secret::unsigned(&RandomPart::generate().unwrap());
    let api_key = ApiKey { key_id, secret }.expose().to_string();
    let [_, high, middle, low] = number.to_be_bytes();
    format!(
        "GET /v1/authorize/{number} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {api_key}\r\n\
         x-forwarded-for: 20.{high}.{middle}.{low}\r\nx-request-id: {number}\r\n\r\n"
    )
}

/// Sends requests with these numbers and counts the refusals.
async fn flood(node: std::net::SocketAddr, numbers: std::ops::Range<u32>) -> u32 {
    let mut stream = TcpStream::connect(node).await.unwrap();
    let mut refused = 0;
    for begin in numbers.clone().step_by(PIPELINED as usize) {
        let end = (begin + PIPELINED).min(numbers.end);
        let requests: String = (begin..end).map(request).collect();
        stream.write_all(requests.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        let told = |answers: &[u8]| u32::try_from(String::from_utf8_lossy(answers).matches("\"request_id\":").count()).unwrap();
        while told(&answers) < end - begin {
            assert!(stream.read_buf(&mut answers).await.unwrap() > 0, "the connection ended");
        }
        refused += u32::try_from(String::from_utf8_lossy(&answers).matches("HTTP/1.1 4").count()).unwrap();
    }
    refused
}

#[tokio::test]
async fn a_hundred_thousand_keys_paths_and_addresses_make_no_series_more() {
    let site = Site::start(|builder| builder.released().env("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1")).await;
    let before = series(&site.node).await;
    assert!(before.len() > 100, "{before:?}");
    for number in 0..REAL_KEYS {
        let owner = format!("owner-{number}");
        let key = NewKey::make(&site.admin(), json!({"owner": owner, "rate_limit": {"burst": 1, "per_seconds": 60}})).await;
        let api = Api::of(&site.node).with(&key.api_key);
        api.authorize("").await.expect(200);
        api.authorize("").await.expect(429);
    }
    let share = REQUESTS / CONNECTIONS;
    let floods = (0..CONNECTIONS).map(|number| tokio::spawn(flood(site.node.address(), number * share..(number + 1) * share)));
    let mut refused = 0;
    for flood in floods.collect::<Vec<_>>() {
        refused += flood.await.unwrap();
    }
    assert_eq!(refused, REQUESTS);
    assert_eq!(series(&site.node).await, before);
}
