//! T21: what is left of secrets in the memory of a node.
//!
//! The buffers that HTTP is read into are the library's, which does not wipe them: what came in is there until they are
//! used for something else. So the keys of this test come in by `Authorization: Basic` alone, in base 64: a secret in
//! plain text was made by the node itself, and must be nowhere.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use serde_json::json;
use tollgate_testkit::unique;

use super::authorize::base64;
use crate::support::{Cluster, Needles};

/// Requests with each key.
const ROUNDS: usize = 260;
/// How much is read at a time, and how much of it again with the next piece, so that nothing is cut in two.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 128;

/// How often each text is in the memory that a process can write to.
fn scan(process_id: u32, texts: &[&str]) -> Vec<usize> {
    let process = format!("/proc/{process_id}");
    let needles = Needles::new(texts.iter().map(|text| text.as_bytes().to_vec()));
    let memory = File::open(format!("{process}/mem")).expect("the memory of a child can be read");
    let maps = std::fs::read_to_string(format!("{process}/maps")).expect("a child");
    let (mut counts, mut seen) = (vec![0; texts.len()], 0);
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        seen += scan_range(&memory, start..end, &needles, &mut counts);
    }
    assert!(seen > 1 << 20, "{seen} bytes were looked at");
    counts
}

/// Looks through a range; gives how many bytes of it were not empty.
fn scan_range(memory: &File, range: std::ops::Range<u64>, needles: &Needles, counts: &mut [usize]) -> usize {
    let (nothing, mut piece, mut seen) = (vec![0; PIECE], vec![0; PIECE], 0);
    let mut at = range.start;
    while at < range.end {
        let wanted = usize::try_from(range.end - at).unwrap_or(PIECE).min(PIECE);
        // What the kernel does not give out is none of the program's data.
        let Ok(count) = memory.read_at(&mut piece[..wanted], at) else { break };
        if piece[..count] != nothing[..count] {
            seen += count;
            needles.find(&piece[..count]).into_iter().for_each(|(_, number)| counts[number] += 1);
        }
        if count <= OVERLAP || at + count as u64 >= range.end {
            break;
        }
        at += (count - OVERLAP) as u64;
    }
    seen
}

/// Of a secret, a part of what is random in it: found also where its beginning is overwritten, as in memory that was
/// given back, and in what is hashed.
fn middle(api_key: &str) -> &str {
    let secret = api_key.split_once(':').expect("key_id:secret").1;
    &secret[16..44]
}

#[tokio::test]
async fn after_a_thousand_requests_no_secret_is_in_memory_but_where_it_came_in() {
    let cluster = Cluster::start(2).await;
    let made = async |kind: &str| cluster.key(json!({ "kind": kind })).await.api_key;
    // Made by the first node: the second has never told them.
    let (signed, unsigned, fresh) = (made("signed").await, made("unsigned").await, made("signed").await);
    let guess = format!("{}:{}", unsigned.split_once(':').expect("an id").0, unique("a-guess-that-is-long-enough-to-be-known-again-"));
    let node = cluster.fleet.node(1).expect("a node");
    let api = cluster.node(1).apart();
    let show = async |api_key: &str| {
        let call = api.get("/v1/authorize").header("authorization", &format!("Basic {}", base64(api_key)));
        call.send().await.status
    };
    for round in 0..ROUNDS {
        for (api_key, expected) in [(&signed, 200), (&unsigned, 200), (&guess, 401)] {
            let status = show(api_key).await;
            assert!(status == expected || (*api_key == guess && status == 429), "{status}");
        }
        // A key that is used once, and a rate limit that says no, leave as little behind.
        if round == 0 {
            assert_eq!(show(&fresh).await, 200);
        }
        let status =
            api.get("/v1/authorize?cost=1000000000").header("authorization", &format!("Basic {}", base64(&signed))).send().await.status;
        assert_eq!(status, 422);
    }
    let secrets = [&signed, &unsigned, &fresh, &guess].map(|api_key| middle(api_key.as_str()));
    let texts = [&secrets[..], &[cluster.fleet.prefix.as_str()]].concat();
    let counts = scan(node.process().id(), &texts);
    assert!(counts[4] > 0, "the prefix of its keys in Redis is held by every node: {counts:?}");
    assert_eq!(counts[..4], [0; 4], "a signed secret, an unsigned one, one that was used once, a guess");
}

/// That the search would find one.
#[test]
fn a_text_that_a_process_holds_is_found() {
    let (held, never) = (unique("held"), unique("never"));
    let counts = scan(std::process::id(), &[&held, &format!("{never}{}", never.len())]);
    assert!(counts[0] > 0, "{counts:?}");
}
