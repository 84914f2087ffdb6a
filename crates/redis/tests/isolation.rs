//! What is wrong with one entry, one record or one tag concerns nothing else.

#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "support/store.rs"]
mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use redis::aio::MultiplexedConnection;
use store::{BURST, PATIENT, ask, is_allowed, joined, limits, names, one, started, subject};
use tokio::{task::JoinSet, time::Instant};
use tollgate_gate::ports::{BucketError, BucketStore, BucketsHealth, Decision, Fence, Outcome, SubjectKind, Subjects};
use tollgate_limits::Cost;
use tollgate_redis::{Options, RedisBuckets};
use tollgate_testkit::{RedisOptions, TestRedis};

/// Asks for all at once, so that they share calls; answers by id.
async fn ask_all(store: &Arc<RedisBuckets>, decisions: Vec<Decision>) -> BTreeMap<String, store::Told> {
    let mut asked = JoinSet::new();
    for decision in decisions {
        let store = Arc::clone(store);
        asked.spawn(async move { (decision.subjects.first.id.to_string(), ask(&store, decision).await) });
    }
    asked.join_all().await.into_iter().collect()
}

fn key_of(id: &str) -> Vec<u8> {
    names().record(names().tag_of(id), SubjectKind::Key, id).to_vec()
}

#[tokio::test]
async fn a_broken_record_among_64_breaks_only_its_own_decision() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let ids: Vec<String> = (0..64).map(|n| format!("id{n}")).collect();
    let list = redis::cmd("RPUSH").arg(key_of("id7")).arg("x").to_owned();
    let garbage = redis::cmd("SET").arg(key_of("id8")).arg("garbage of any length").to_owned();
    let later_version = redis::cmd("SET").arg(key_of("id9")).arg(&[2_u8; 38][..]).to_owned();
    let leased = redis::cmd("SET").arg(key_of("id10")).arg([&[1_u8, 0x10, 0][..], &[0; 13]].concat()).to_owned();
    for spoil in [list, garbage, later_version, leased] {
        spoil.exec_async(&mut witness).await.expect("redis answers");
    }
    for _ in 0..2 {
        let told = ask_all(&store, ids.iter().map(|id| one(id)).collect()).await;
        for (id, told) in told {
            let is_spoilt = ["id7", "id8", "id9", "id10"].contains(&id.as_str());
            assert!(if is_spoilt { matches!(told, Ok(Outcome::Broken)) } else { is_allowed(&told) }, "{id}: {told:?}");
        }
    }
    let left: String = redis::cmd("TYPE").arg(key_of("id7")).query_async(&mut witness).await.expect("redis answers");
    assert_eq!(left, "list", "what is not ours is not touched");
    // A fence must hold whatever was there: it replaces what cannot be read.
    for id in ["id7", "id8"] {
        let fence = Fence { kind: SubjectKind::Key, id: id.into(), placed_by: id.into(), generation: 1, revoked: true, reset: false };
        store.raise_fence(fence, Instant::now() + PATIENT).await.expect("redis answers");
        assert!(matches!(ask(&store, one(id)).await, Ok(Outcome::Revoked)));
    }
}

#[tokio::test]
async fn a_full_memory_breaks_charges_and_answers_all_else() {
    let (redis, store) = started().await;
    let spent = Decision { cost: Cost::new(BURST).expect("in range"), ..one("spent") };
    assert!(is_allowed(&ask(&store, spent).await));
    redis.command(&["config", "set", "maxmemory", "1"]).await.expect("redis answers");
    let peek = Decision { peek: true, ..one("peek") };
    let mut fence_only = one("unlimited");
    fence_only.subjects.first.limits = tollgate_limits::RateLimits::unlimited();
    let told = ask_all(&store, vec![one("new"), one("spent"), peek, fence_only]).await;
    assert!(matches!(told.get("new"), Some(Ok(Outcome::Broken))), "{told:?}");
    assert!(matches!(told.get("spent"), Some(Ok(Outcome::Limited(_)))), "{told:?}");
    assert!(told.get("peek").is_some_and(is_allowed) && told.get("unlimited").is_some_and(is_allowed), "{told:?}");
    redis.command(&["config", "set", "maxmemory", "0"]).await.expect("redis answers");
    assert!(is_allowed(&ask(&store, one("new")).await));
}

#[tokio::test]
async fn a_lost_tag_is_lost_alone_until_it_is_joined() {
    let (redis, store) = started().await;
    let (ours, other) =
        ("tk_a", (0..1000).map(|n| format!("tk_{n}")).find(|id| names().tag_of(id) != names().tag_of("tk_a")).expect("16 tags"));
    assert!(is_allowed(&ask(&store, one(ours)).await));
    let state_id = String::from_utf8(names().state_id(names().tag_of(ours)).to_vec()).expect("text");
    redis.command(&["set", &state_id, r#"{"state_id":"other","log_id":"0123456789abcdef","tags":16}"#]).await.expect("redis answers");
    for _ in 0..3 {
        assert!(matches!(ask(&store, one(ours)).await, Ok(Outcome::Lost)));
        assert!(is_allowed(&ask(&store, one(&other)).await));
    }
    store::rejoin(&store).await;
    assert!(is_allowed(&ask(&store, one(ours)).await));
}

#[tokio::test]
async fn another_number_of_tags_is_refused_with_what_to_do() {
    let (redis, _store) = started().await;
    let options = Options { tags: 8, ..Options::new(redis.url()) };
    let store = RedisBuckets::connect(&options, tollgate_telemetry::Metrics::noop()).expect("good options");
    let refused = async || {
        let told = store.join(store::log()).await;
        anyhow::ensure!(matches!(&told, Err(BucketError::Unusable(why)) if why.contains("redis.tags = 16")), "{told:?}");
        Ok(())
    };
    tollgate_testkit::eventually("a refusal", PATIENT, refused).await.expect("refused");
    assert!(matches!(ask(&store, one("a")).await, Ok(Outcome::Lost)));
    assert!(format!("{:?}", store.health().await).contains("redis.tags"));
}

#[tokio::test]
async fn hostile_ids_touch_no_other_key() {
    let (redis, store) = started().await;
    let long = "x".repeat(65_536);
    let ids = ["\0", "}", "{", "{s00}id", "' or 1=1", "\"]])--", "\r\nFLUSHALL\r\n", "a\u{0}b", "", "é", long.as_str()];
    let told = ask_all(&store, ids.iter().map(|id| one(id)).collect()).await;
    assert!(told.values().all(is_allowed), "{told:?}");
    let mut witness = redis.connection().await.expect("redis answers");
    let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut witness).await.expect("redis answers");
    let mut expected: Vec<Vec<u8>> = ids.iter().map(|id| key_of(id)).chain((0..16).map(|tag| names().state_id(tag).to_vec())).collect();
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
}

/// Ids that nobody would choose, the same in each run: of bytes that mean something to Redis, to Lua or to JSON.
fn hostile_ids(count: usize) -> Vec<String> {
    let parts =
        ["{", "}", "{s07}", "\0", "'", "\"", "\\", "\r\n", "]]", "--", ":", "*", "?", "\u{fffd}", "tg:", "k", "é", "\u{202e}", " ", "id"];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    };
    (0..count).map(|_| (0..=next(12)).map(|_| *parts.get(next(parts.len())).expect("below")).collect()).collect()
}

/// T17: whatever an id holds is data. It is charged and fenced under its own name, and no other record is touched.
#[tokio::test]
async fn no_id_changes_the_record_of_another() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    assert!(is_allowed(&ask(&store, one("witness")).await));
    let record: Vec<u8> = redis::cmd("GET").arg(key_of("witness")).query_async(&mut witness).await.expect("redis answers");
    let ids: BTreeSet<String> = hostile_ids(600).into_iter().chain(["x".repeat(65_536)]).collect();
    let told = ask_all(&store, ids.iter().map(|id| one(id)).collect()).await;
    assert!(told.len() > 500 && told.values().all(is_allowed), "{told:?}");
    for id in ids.iter().step_by(3) {
        let fence = Fence {
            kind: SubjectKind::Key,
            id: id.as_str().into(),
            placed_by: id.as_str().into(),
            generation: 9,
            revoked: true,
            reset: false,
        };
        store.raise_fence(fence, Instant::now() + PATIENT).await.expect("redis answers");
    }
    let told = ask_all(&store, ids.iter().map(|id| one(id)).collect()).await;
    for (place, id) in ids.iter().enumerate() {
        let told = told.get(id).expect("an answer");
        assert!(if place % 3 == 0 { matches!(told, Ok(Outcome::Revoked)) } else { is_allowed(told) }, "{id:?}: {told:?}");
    }
    let keys: BTreeSet<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut witness).await.expect("redis answers");
    let records = ids.iter().map(|id| key_of(id)).chain([key_of("witness")]);
    assert_eq!(keys, records.chain((0..16).map(|tag| names().state_id(tag).to_vec())).collect());
    let after: Vec<u8> = redis::cmd("GET").arg(key_of("witness")).query_async(&mut witness).await.expect("redis answers");
    assert_eq!(after, record);
}

/// T46: a record, byte for byte as the first version wrote it: no leases, no flags but the mark of a revoked key. What the page
/// of Redis' state says of it is written here a second time, so that no change of the code changes both.
fn first_layout(flags: u8, generation: u64, name_id: &[u8], arrival_us: u64) -> Vec<u8> {
    let tail = |number: u64, bytes: usize| number.to_be_bytes().into_iter().skip(8 - bytes).collect::<Vec<_>>();
    let head = [vec![1, flags, 1], tail(generation, 7), tail(0, 6)].concat();
    let bucket = [name_id.to_vec(), tail(BURST, 4), tail(2_678_400, 3), tail(arrival_us, 7), tail(0, 4)].concat();
    [head, bucket].concat()
}

#[tokio::test]
async fn what_the_first_version_wrote_is_read_as_it_was_meant() {
    const SPENT: u64 = 1000;
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    assert!(is_allowed(&ask(&store, one("name")).await));
    let own: Vec<u8> = redis::cmd("GET").arg(key_of("name")).query_async(&mut witness).await.expect("redis answers");
    let name_id = own.get(16..20).expect("a bucket");
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut witness).await.expect("redis answers");
    // At this limit a token comes back in 2,678,400 us.
    let arrival = seconds * 1_000_000 + micros + SPENT * 2_678_400;
    for (id, flags, generation) in [("spent", 0, 1), ("fenced", 0, 9), ("revoked", 1, 9)] {
        let record = first_layout(flags, generation, name_id, arrival);
        redis::cmd("SET").arg(key_of(id)).arg(record).exec_async(&mut witness).await.expect("redis answers");
    }
    let at = |cost: u64| Decision { cost: Cost::new(cost).expect("in range"), ..one("spent") };
    // What comes back while the test runs is far less than a hundred tokens.
    let told = ask(&store, at(BURST - SPENT + 100)).await;
    assert!(matches!(told, Ok(Outcome::Limited(_))), "{told:?}");
    assert!(is_allowed(&ask(&store, at(BURST - SPENT)).await));
    assert!(matches!(ask(&store, one("fenced")).await, Ok(Outcome::Stale)));
    assert!(matches!(ask(&store, one("revoked")).await, Ok(Outcome::Revoked)));
}

async fn time_ms(witness: &mut MultiplexedConnection) -> i64 {
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(witness).await.expect("redis answers");
    seconds * 1000 + micros / 1000
}

/// Charges a bucket that is full again after a second, and sees that its key lives until then, or an eighth longer.
async fn charged_for_a_second(witness: &mut MultiplexedConnection, store: &RedisBuckets) -> Decision {
    const GONE: i64 = -2;
    // On a busy machine a key may be gone before it is looked at.
    for attempt in 0..20 {
        let id = format!("short{attempt}");
        let first = subject(SubjectKind::Key, &id, 1, &limits(1, 1));
        let short = Decision { subjects: Subjects { first, owner: None }, cost: Cost::ONE, peek: false };
        let before_ms = time_ms(witness).await;
        assert!(is_allowed(&ask(store, short.clone()).await));
        let after_ms = time_ms(witness).await;
        let end_ms: i64 = redis::cmd("PEXPIRETIME").arg(key_of(&id)).query_async(witness).await.expect("redis answers");
        if end_ms != GONE {
            assert!((before_ms + 1000..=after_ms + 1125).contains(&end_ms), "{end_ms}, charged from {before_ms} to {after_ms}");
            return short;
        }
        assert!(time_ms(witness).await > before_ms + 1000, "gone before its time");
    }
    unreachable!("every key was gone at once");
}

#[tokio::test]
async fn keys_live_as_long_as_bucket_and_fence_and_no_longer() {
    let (redis, store) = started().await;
    let mut witness = redis.connection().await.expect("redis answers");
    let short = charged_for_a_second(&mut witness, &store).await;
    let id = short.subjects.first.id.clone();
    let fence = Fence { kind: SubjectKind::Key, id: id.clone(), placed_by: id.clone(), generation: 2, revoked: false, reset: false };
    store.raise_fence(fence, Instant::now() + PATIENT).await.expect("redis answers");
    let fence_ms = i64::try_from(Options::new("").fence_ttl.as_millis()).expect("small");
    let fenced = async |witness: &mut MultiplexedConnection| {
        let ttl_ms: i64 = redis::cmd("PTTL").arg(key_of(&id)).query_async(witness).await.expect("redis answers");
        assert!((fence_ms - 60_000..=fence_ms).contains(&ttl_ms), "{ttl_ms}");
    };
    fenced(&mut witness).await;
    assert!(matches!(ask(&store, short.clone()).await, Ok(Outcome::Stale)));
    // Writing the bucket of one second must not take the fence with it when it expires.
    let mut current = short.clone();
    current.subjects.first.generation = 2;
    let charged = async || {
        anyhow::ensure!(is_allowed(&ask(&store, current.clone()).await), "not refilled yet");
        Ok(())
    };
    tollgate_testkit::eventually("a token", PATIENT, charged).await.expect("a second passes");
    fenced(&mut witness).await;
    assert!(matches!(ask(&store, short).await, Ok(Outcome::Stale)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_admit_exactly_the_burst() {
    for burst in [1, 7, 100, 1000] {
        let (redis, first_store) = started().await;
        let second_store = joined(&Options::new(redis.url())).await;
        let first = subject(SubjectKind::Key, "shared", 1, &limits(burst, 2_678_400));
        let decision = Decision { subjects: Subjects { first, owner: None }, cost: Cost::ONE, peek: false };
        let mut asked = JoinSet::new();
        for place in 0..burst * 2 + 20 {
            let store = Arc::clone(if place % 2 == 0 { &first_store } else { &second_store });
            let decision = decision.clone();
            asked.spawn(async move { ask(&store, decision).await });
        }
        let told = asked.join_all().await;
        let allowed = told.iter().filter(|told| is_allowed(told)).count();
        assert!(told.iter().all(|told| matches!(told, Ok(Outcome::Allowed(_) | Outcome::Limited(_)))));
        assert_eq!(allowed as u64, burst);
    }
}

#[tokio::test]
async fn while_one_connection_is_down_the_others_do_its_work() {
    // The second of its connections is refused for as long as the first one lives.
    let redis = TestRedis::with(RedisOptions::default().line("maxclients 1")).await.expect("redis starts");
    let store = joined(&Options::new(redis.url())).await;
    let decisions = (0..200).map(|n| one(&format!("id{n}"))).collect();
    let told = ask_all(&store, decisions).await;
    assert!(told.values().all(is_allowed), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_shipped_acl_is_enough_and_no_more() {
    let line = include_str!("../../../deploy/redis/tollgate.acl").trim();
    let redis = TestRedis::with(RedisOptions::default().user(&format!("{line} >leaf"))).await.expect("redis takes the line");
    let url = redis.url_as("tollgate", "leaf");
    let options = Options::new(url.clone());
    assert!(!format!("{options:?}").contains("leaf"), "the password is shown");
    let store: Arc<dyn BucketStore> = joined(&options).await;
    tollgate_testkit::conformance::buckets::all_joined(&store).await;
    assert_eq!(store.health().await, BucketsHealth::Ok);
    assert_eq!(store.look().await.expect("redis answers").unseen, None);
    let mut admin = redis.connection().await.expect("redis answers");
    let denied: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query_async(&mut admin).await.expect("redis answers");
    assert!(denied.is_empty(), "the node was denied something that it needs: {denied:?}");
    let client = redis::Client::open(url).expect("a good url");
    let mut node = client.get_multiplexed_async_connection().await.expect("let in");
    for words in [
        &["KEYS", "*"][..],
        &["CONFIG", "SET", "maxmemory", "1"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["SCRIPT", "FLUSH"],
        &["GET", "other"],
        &["SET", "other:x", "1"],
        &["EVAL", "return redis.call('GET', 'other')", "0"],
        &["EVAL", "return redis.call('DEL', KEYS[1])", "1", "tg:x"],
        &["PUBLISH", "other", "x"],
        &["ACL", "LIST"],
        &["CLIENT", "KILL", "TYPE", "normal"],
    ] {
        let (name, arguments) = words.split_first().expect("words");
        let refused: redis::RedisResult<redis::Value> = redis::cmd(name).arg(arguments).query_async(&mut node).await;
        let error = refused.expect_err(name).to_string();
        // Each version has words of its own, under one code.
        let words_of_refusal = ["noperm", "no permissions", "can't access at least one of the keys", "can't run this command"];
        assert!(words_of_refusal.iter().any(|refusal| error.to_lowercase().contains(refusal)), "{words:?}: {error}");
    }
}
