//! Whoever guesses learns nothing from how long the answer takes (T2, T22).
//!
//! All of it from the request to the answer's last byte, without sockets, whose noise would only
//! hide a difference. The guesses have the form of signed secrets: whoever shows another form can
//! tell an id that exists, as [Keys](../../../../docs/src/keys.md) says.

use std::num::NonZeroU32;

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::json;
use tollgate_gate::FailureBudget;
use tollgate_keys::{KeyId, RandomPart, RingChar, Secret, SigningKey, random_bytes};
use tollgate_testkit::{Timings, eventually};

use crate::site::Site;

const SAMPLES: usize = 100_000;
/// Keys of each kind.
const KEYS: usize = 24;

/// A node whose patience has no end, so that every guess is looked at.
async fn patient() -> Site {
    let site = Site::over(
        |_| (),
        |gate| {
            let endless = FailureBudget { burst: NonZeroU32::MAX, period: std::time::Duration::from_hours(1) };
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
    for name in ["unused", "in use", "revoked", "suspended", "expired"] {
        let mut ids = Vec::new();
        for _ in 0..KEYS {
            ids.push(key_that_is(site, name).await);
        }
        kinds.push((name, ids));
    }
    kinds
}

async fn key_that_is(site: &Site, state: &str) -> KeyId {
    let fields = if state == "expired" { json!({"expires_at": soon()}) } else { json!({}) };
    let key = site.key(fields).await;
    let id = key.split(':').next().expect("an id");
    let do_it = async |what: &str| assert_eq!(site.post(&format!("/v1/keys/{id}/{what}")).bearer(&site.admin).send().await.status, 200);
    match state {
        "in use" => assert_eq!(site.get("/v1/authorize").bearer(&key).send().await.status, 200),
        "revoked" => do_it("revoke").await,
        "suspended" => do_it("suspend").await,
        "expired" => {
            let is_over = eventually("its end", std::time::Duration::from_secs(30), async || {
                let status = site.get("/v1/authorize").bearer(&key).send().await.status;
                anyhow::ensure!(status == 401, "{status}");
                Ok(())
            });
            is_over.await.expect("expired");
        }
        _ => {}
    }
    KeyId::parse(id).expect("an id")
}

fn soon() -> String {
    let end = time::OffsetDateTime::now_utc() + std::time::Duration::from_millis(200);
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
    let timings = Timings::measure(kinds.len(), Timings::samples(SAMPLES), prepare, async |_, request| answer(&site, request).await).await;
    let seen = timings.seen();
    assert!(seen.is_none(), "{:?} of {:?}", seen, kinds.iter().map(|(kind, _)| kind).collect::<Vec<_>>());
}
