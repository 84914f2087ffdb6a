//! The load tool against a real node, and against a server that stalls.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tollgate_testkit::{Node, Scratch, eventually, tollgate};

use crate::support::{Api, NewKey, metric};

const RIGHTS: &str = "tollgate_decisions_total{verdict=\"allowed\",source=\"local\"}";
const REFUSALS: &str = "api_auth_total{outcome=\"bad_signature\"}";
/// How long the server stalls, once.
const STALL: Duration = Duration::from_secs(1);

/// Runs `tollgate bench` with JSON output: its exit status, its report, what it wrote beside it.
async fn bench(arguments: &[&str], url: &str, api_key: &str) -> (Option<i32>, Value, String) {
    let mut command = tokio::process::Command::from(tollgate(&[&["bench", "--output", "json"], arguments].concat()).unwrap());
    let output = command.env("TOLLGATE_URL", url).env("TOLLGATE_API_KEY", api_key).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), text(&output.stderr))
}

/// A report of a load that must have gone on to its end.
async fn report(arguments: &[&str], url: &str, api_key: &str) -> Value {
    let (status, report, said) = bench(arguments, url, api_key).await;
    assert_eq!((status, said.as_str()), (Some(0), ""), "{report}");
    report
}

async fn node(folder: &Scratch) -> (Node, String) {
    let builder = Node::embedded(folder.path()).env("TOLLGATE_PREAUTH__ADDRESS__BURST", "1000000000");
    let admin_key = builder.run(&["bootstrap"]).await.unwrap();
    (builder.start().await.unwrap(), admin_key)
}

fn count(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[tokio::test]
async fn what_it_counts_is_what_the_node_counts_and_nothing_is_left_behind() {
    let folder = Scratch::new("bench").unwrap();
    let (node, admin_key) = node(&folder).await;
    let admin = Api::of(&node).with(&admin_key);
    let mixed = ["--keys", "5", "--connections", "4", "--threads", "2", "--duration", "2s", "--warm-up", "0s"];
    let mixed = [&mixed[..], &["--wrong-keys", "50", "--cost", "1:3,7:1", "--skew", "1"]].concat();
    // Making the keys and revoking them is counted as well: so many calls of the operator.
    let before = (metric(&node, RIGHTS).await, metric(&node, REFUSALS).await);
    let report = report(&mixed, &node.url(), &admin_key).await;
    let counted = (metric(&node, RIGHTS).await - before.0 - 6, metric(&node, REFUSALS).await - before.1);
    let told = (count(&report["statuses"], "200"), count(&report["statuses"], "401"));
    assert_eq!(told, counted, "{report}");
    assert!(told.0 > 0 && told.1 > 0 && report["failures"] == json!({}), "{report}");
    assert_eq!(count(&report, "answered"), told.0 + told.1);
    assert_eq!((count(&report["latency_us"], "count"), &report["load"]["loop"]), (told.0 + told.1, &json!("closed")));
    let keys = admin.get("/v1/keys?page_size=100").send().await.expect(200).json();
    let of_load: Vec<&Value> = keys["keys"].as_array().unwrap().iter().filter(|key| key["owner"].is_string()).collect();
    assert_eq!(of_load.len(), 5, "{keys}");
    assert!(of_load.iter().all(|key| key["status"] == "revoked"), "{of_load:?}");
}

#[tokio::test]
async fn told_to_stop_while_it_makes_keys_it_revokes_them() {
    let folder = Scratch::new("bench").unwrap();
    let (node, admin_key) = node(&folder).await;
    let admin = Api::of(&node).with(&admin_key);
    let of_load = async || {
        let keys = admin.get("/v1/keys?page_size=100").send().await.expect(200).json();
        keys["keys"].as_array().unwrap().iter().filter(|key| key["owner"].is_string()).cloned().collect::<Vec<Value>>()
    };
    let mut command = tokio::process::Command::from(tollgate(&["bench", "--keys", "100000"]).unwrap());
    command.env("TOLLGATE_URL", node.url()).env("TOLLGATE_API_KEY", &admin_key).kill_on_drop(true);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("some keys are made", Duration::from_mins(1), async || {
        anyhow::ensure!(of_load().await.len() >= 3, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    let stopped = Command::new("kill").args(["-TERM", &child.id().unwrap().to_string()]).status().unwrap();
    assert!(stopped.success());
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("told to stop while keys were made"), "{said}");
    let left = of_load().await;
    assert!(left.iter().all(|key| key["status"] == "revoked" && key["expires_at"].is_string()), "{left:?}");
}

#[tokio::test]
async fn its_costs_are_charged_to_the_operators_own_key_or_to_those_of_a_file() {
    let folder = Scratch::new("bench").unwrap();
    let (node, admin_key) = node(&folder).await;
    let admin = Api::of(&node).with(&admin_key);
    let limit = json!({"burst": 10, "per_seconds": 2_678_400});
    let keys = [NewKey::make(&admin, json!({"rate_limit": limit})).await, NewKey::make(&admin, json!({"rate_limit": limit})).await];
    let file = folder.path().join("keys");
    std::fs::write(&file, format!("{}\n", keys[0].api_key)).unwrap();
    let short = ["--connections", "2", "--duration", "2s", "--warm-up", "0s", "--cost", "5"];
    let of_file = [&short[..], &["--keys-file", file.to_str().unwrap()]].concat();
    let first = report(&of_file, &node.url(), "").await;
    let own = report(&short, &node.url(), &keys[1].api_key).await;
    for report in [first, own] {
        assert_eq!(count(&report["statuses"], "200"), 2, "{report}");
        assert!(count(&report["statuses"], "429") > 0, "{report}");
    }
    // Another target is shown no key of the operator's.
    let target = format!("{}/v1/authorize", node.url());
    let bare = report(&[&short[..], &[&target]].concat(), &node.url(), &keys[1].api_key).await;
    assert_eq!(bare["statuses"].as_object().unwrap().keys().collect::<Vec<_>>(), ["401"]);
}

#[tokio::test]
async fn people_see_how_far_it_is_on_a_terminal_alone() {
    let stub = Stub::start().await;
    let plain = tollgate::<&str>(&[]).unwrap();
    let mut command = tokio::process::Command::new("script");
    let line = format!("'{}' bench {} -c 2 -d 3s --warm-up 0s", plain.get_program().display(), stub.url);
    let output = command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("% ") && text.contains(" answers"), "{text}");
    assert!(text.contains("SINCE DUE") && text.contains("closed loop"), "{text}");
    // Not on a terminal: nothing but the report, which `report` has seen to.
    report(&[&stub.url, "-c", "2", "-d", "2s", "--warm-up", "0s"], "", "").await;
}

#[tokio::test]
async fn where_nobody_answers_it_says_so() {
    let (status, report, said) = bench(&["http://127.0.0.1:1/x", "-d", "2s", "--warm-up", "0s"], "", "").await;
    assert_eq!((status, &report), (Some(8), &Value::Null), "{said}");
    assert!(said.contains("no connection") && said.contains("help: "), "{said}");
    let (status, _, said) = bench(&["https://127.0.0.1:1/x"], "", "").await;
    assert!(status == Some(2) && said.contains("must be a URL of http"), "{said}");
}

/// A server that answers at once whatever it is asked, but for one stall of all its connections.
struct Stub {
    url: String,
    answered: Arc<AtomicU64>,
}

impl Stub {
    /// One that never stalls.
    async fn start() -> Self {
        Self::stalling_at(u64::MAX).await
    }

    /// One that stalls after so many answers.
    async fn stalling_at(answers: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ask", listener.local_addr().unwrap());
        let (answered, stalls) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let stub = Self { url, answered: Arc::clone(&answered) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, answers, Arc::clone(&answered), Arc::clone(&stalls)));
            }
        });
        stub
    }
}

/// Answers whatever comes over one connection; the request of this number, of all, stalls all.
async fn answer(mut stream: TcpStream, stalling: u64, answered: Arc<AtomicU64>, stalls: Arc<AtomicBool>) {
    let mut heard = Vec::new();
    while stream.read_buf(&mut heard).await.is_ok_and(|count| count > 0) {
        if !heard.ends_with(b"\r\n\r\n") {
            continue;
        }
        heard.clear();
        if answered.fetch_add(1, Relaxed) == stalling {
            stalls.store(true, Relaxed);
            tokio::time::sleep(STALL).await;
            stalls.store(false, Relaxed);
        }
        while stalls.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// In the open loop all who came while the server stalled have waited; in the closed loop nobody came.
#[tokio::test]
async fn a_stall_is_seen_by_all_who_came_meanwhile() {
    let stub = Stub::stalling_at(100).await;
    let open = report(&[&stub.url, "-c", "4", "-d", "4s", "--warm-up", "0s", "--rate", "200"], "", "").await;
    // Every request that was due is accounted for, answered or not.
    assert_eq!((count(&open, "requests"), &open["load"]["rate"]), (800, &json!(200)), "{open}");
    assert_eq!(count(&open, "answered"), stub.answered.load(Relaxed), "{open}");
    let us = |report: &Value, which: &str, name: &str| report[which][name].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
    // A quarter of all came in that second, evenly: three quarters of these waited for a quarter of it or more.
    assert!(us(&open, "latency_us", "max") >= 1e6 * 0.99, "{open}");
    assert!(us(&open, "latency_us", "p90") >= 1e6 * 0.25, "those who came meanwhile are not among the latencies: {open}");
    // What was sent is another matter: no more than one request of each connection saw the stall.
    let stub = Stub::stalling_at(100).await;
    let closed = report(&[&stub.url, "-c", "4", "-d", "4s", "--warm-up", "0s"], "", "").await;
    assert!(us(&closed, "latency_us", "max") >= 1e6 * 0.99, "{closed}");
    assert!(us(&closed, "latency_us", "p90") < 1e6 * 0.25, "hundreds were sent a second, and four saw it: {closed}");
    assert!(us(&closed, "service_us", "p90") < 1e6 * 0.25, "{closed}");
}
