//! Whoever guesses learns nothing from how long the answer takes (T2, T22).
//!
//! All of it from the request to the answer's last byte, without sockets, whose noise would only
//! hide a difference. The guesses have the form of signed secrets: whoever shows another form can
//! tell an id that exists, as [Keys](../../../../docs/src/keys.md) says.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::json;
use tollgate_gate::FailureBudget;
use tollgate_keys::{KeyId, RandomPart, RingChar, Secret, SigningKey, random_bytes};
use tollgate_testkit::{Timings, eventually};

use crate::site::Site;

/// Samples of each kind, where the machine takes them in time: these find a difference of a hundredth.
const SAMPLES: usize = 100_000;
/// Samples of each kind on any machine: these find a difference of a twentieth, and take chance for one no oftener than
/// more would, as means of thousands are normal.
const SAMPLES_MIN: usize = 5_000;
/// How long one sample of each kind may take on the whole: a hundred seconds for all of them.
const ROUND_TIME: Duration = Duration::from_millis(1);
/// How long expiring keys live: a slow machine has made one by then.
const LIFE: Duration = Duration::from_secs(5);
/// Keys of each kind.
const KEYS: usize = 24;

/// A node whose patience has no end, so that every guess is looked at.
async fn patient() -> Site {
    let site = Site::over(
        |_| (),
        |gate| {
            let endless = FailureBudget { burst: NonZeroU32::MAX, period: Duration::from_hours(1) };
            (gate.preauth.address, gate.preauth.key_text, gate.preauth.key_id) = (endless, endless, endless);
        },
    );
    site.await
}

/// What to guess at: ids of one kind of key.
type Kind = (&'static str, Vec<KeyId>);

/// Key ids that nobody has, and those of keys in every state.
async fn kinds(site: &Site) -> Vec<Kind> {
    let unknown = (0..KEYS).map(|_| KeyId::from_parts(1_760_000_000_000, random_bytes().expect("randomness"))).collect();
    let mut kinds = vec![("unknown", unknown)];
    for name in ["unused", "in use", "revoked", "suspended"] {
        let mut ids = Vec::new();
        for _ in 0..KEYS {
            ids.push(key_that_is(site, name).await);
        }
        kinds.push((name, ids));
    }
    kinds.push(("expired", expired(site).await));
    kinds
}

async fn key_that_is(site: &Site, state: &str) -> KeyId {
    let key = site.key(json!({})).await;
    let do_it = async |what: &str| {
        let path = format!("/v1/keys/{}/{what}", id_of(&key).as_str());
        assert_eq!(site.post(&path).bearer(&site.admin).send().await.status, 200);
    };
    match state {
        "in use" => assert_eq!(authorized(site, &key).await, 200),
        "revoked" => do_it("revoke").await,
        "suspended" => do_it("suspend").await,
        _ => {}
    }
    id_of(&key)
}

/// All of them are made before the end of any is waited for.
async fn expired(site: &Site) -> Vec<KeyId> {
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        let key = site.key(json!({"expires_at": soon()})).await;
        // In use before its end, where the machine is quick enough for that.
        authorized(site, &key).await;
        keys.push(key);
    }
    let over = eventually("the end of all", Duration::from_mins(1), async || {
        for key in &keys {
            let status = authorized(site, key).await;
            anyhow::ensure!(status == 401, "{status}");
        }
        Ok(())
    });
    over.await.expect("expired");
    keys.iter().map(|key| id_of(key)).collect()
}

async fn authorized(site: &Site, key: &str) -> u16 {
    site.get("/v1/authorize").bearer(key).send().await.status
}

fn id_of(key: &str) -> KeyId {
    KeyId::parse(key.split(':').next().expect("an id")).expect("an id")
}

fn soon() -> String {
    let end = time::OffsetDateTime::now_utc() + LIFE;
    end.format(&time::format_description::well_known::Rfc3339).expect("a date")
}

/// The ring character that this node signs with, under a key of the attacker's.
async fn forger(site: &Site) -> SigningKey {
    let key = site.key(json!({})).await;
    let ring = key.split_once(":tks_").and_then(|(_, rest)| rest.chars().next()).expect("a signed key");
    SigningKey::generate(RingChar::new(ring).expect("a ring character")).expect("randomness")
}

fn guess(forger: &SigningKey, id: &KeyId) -> Request<Body> {
    let secret = Secret::signed(forger, id, &RandomPart::generate().expect("randomness"));
    let request = Request::builder().uri("/v1/authorize").header("x-request-id", "same");
    request.header("authorization", format!("Bearer {}:{}", id.as_str(), secret.expose())).body(Body::empty()).expect("a request")
}

/// The whole answer: status, headers, body.
async fn answer(site: &Site, request: Request<Body>) -> (u16, Vec<(String, Vec<u8>)>, Vec<u8>) {
    let (parts, body) = site.surface.of_peer([192, 0, 2, 1].into()).answer(request).await.expect("infallible").into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    (parts.status.as_u16(), headers.collect(), body.collect().await.expect("a body").to_bytes().to_vec())
}

/// Samples that there is time for, at the pace of those that were taken.
fn at_pace(taken: usize, took: Duration, time: Duration) -> usize {
    let each_ns = took.as_nanos() / taken.max(1) as u128;
    usize::try_from(time.saturating_sub(took).as_nanos() / each_ns.max(1)).unwrap_or(usize::MAX)
}

#[tokio::test]
async fn a_guess_tells_nothing_of_a_key_neither_by_bytes_nor_by_time() {
    let site = patient().await;
    let (kinds, forger) = (kinds(&site).await, forger(&site).await);
    let nobody = answer(&site, guess(&forger, &kinds[0].1[0])).await;
    assert_eq!(nobody.0, 401);
    for (kind, ids) in &kinds {
        for id in ids {
            assert_eq!(answer(&site, guess(&forger, id)).await, nobody, "{kind}");
        }
    }
    let prepare = |kind: usize, round: usize| guess(&forger, &kinds[kind].1[round % KEYS]);
    let measure = |samples| Timings::measure(kinds.len(), samples, prepare, async |_, request| answer(&site, request).await);
    let all = Timings::samples(SAMPLES);
    let (few, began) = (all.min(SAMPLES_MIN), Instant::now());
    let mut timings = measure(few).await;
    let time = ROUND_TIME.saturating_mul(u32::try_from(all).expect("a number of samples"));
    let many = at_pace(few, began.elapsed(), time).min(all);
    // A machine that has become much slower meanwhile is judged by the first ones.
    if many > few
        && let Ok(more) = tokio::time::timeout(time + time / 2, measure(many)).await
    {
        timings = more;
    }
    let seen = timings.seen();
    assert!(seen.is_none(), "{:?} of {:?}", seen, kinds.iter().map(|(kind, _)| kind).collect::<Vec<_>>());
}
