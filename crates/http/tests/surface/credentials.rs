//! Credentials: where one may stand, and everything that is not exactly one.

use axum::http::Method;
use serde_json::json;

use crate::site::{Answer, Site};

const UNKNOWN_ID: &str = "tk_01hzzzzzzzzzzzzzzzzzzzzzzz";

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0_usize, |bits, place| bits << 8 | usize::from(chunk.get(place).copied().unwrap_or(0)));
        let digit = |place: usize| if place <= chunk.len() { char::from(DIGITS[bits >> (18 - 6 * place) & 63]) } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    text.as_bytes().chunks(3).map(group).collect()
}

/// Header lines: name and value.
type Lines = Vec<(&'static str, Vec<u8>)>;

async fn ask(site: &Site, path: &str, lines: &Lines) -> Answer {
    lines.iter().fold(site.get(path), |call, (name, value)| call.header(name, value)).send().await
}

fn line(name: &'static str, value: impl AsRef<[u8]>) -> (&'static str, Vec<u8>) {
    (name, value.as_ref().to_vec())
}

#[tokio::test]
async fn each_place_is_good() {
    let site = Site::start().await;
    let key = site.key(json!({})).await;
    for lines in [
        vec![line("authorization", format!("Bearer {key}"))],
        vec![line("authorization", format!("bEaReR   {key}"))],
        vec![line("authorization", format!("Basic {}", base64(&key)))],
        vec![line("authorization", format!("BASIC {}", base64(&key).trim_end_matches('=')))],
        vec![line("x-api-key", &key)],
    ] {
        assert_eq!(ask(&site, "/v1/authorize", &lines).await.status, 200, "{lines:?}");
    }
}

/// Requests with more than one credential, whatever is wrong with either.
fn doubled(key: &str) -> Vec<Lines> {
    let bearer = || line("authorization", format!("Bearer {key}"));
    let basic = || line("authorization", format!("Basic {}", base64(key)));
    let api = || line("x-api-key", key);
    vec![
        vec![bearer(), api()],
        vec![basic(), api()],
        vec![bearer(), bearer()],
        vec![bearer(), basic()],
        vec![api(), api()],
        vec![bearer(), api(), api()],
        vec![line("authorization", ""), api()],
        vec![line("authorization", "Negotiate x"), api()],
        vec![bearer(), line("x-api-key", "")],
        vec![line("authorization", ""), line("authorization", "")],
        vec![line("x-api-key", ""), line("x-api-key", "")],
        vec![line("authorization", format!("Bearer {key}, Bearer {key}"))],
        vec![line("authorization", format!("Bearer {key},"))],
        vec![line("authorization", format!(",Bearer {key}"))],
        vec![line("authorization", format!("Basic {0}, Bearer {key}", base64(key)))],
        vec![line("x-api-key", format!("{key},{key}"))],
        vec![line("x-api-key", format!("{key}, x"))],
        vec![line("x-api-key", ",")],
    ]
}

/// Requests with one credential that is no api key.
fn malformed(key: &str) -> Vec<Lines> {
    let authorization = |value: String| vec![line("authorization", value)];
    let api = |value: &str| vec![line("x-api-key", value)];
    let (id, secret) = key.split_once(':').expect("an api key");
    let cut = &key[..key.len() - 1];
    let mut swapped: Vec<u8> = key.as_bytes().to_vec();
    let last = swapped.len() - 1;
    swapped.swap(last, last - 1);
    let typo = if swapped == key.as_bytes() { format!("{cut}!") } else { String::from_utf8(swapped).expect("ASCII") };
    let mut cases = vec![
        authorization(String::new()),
        authorization("Bearer".to_owned()),
        authorization("Bearer ".to_owned()),
        authorization(key.to_owned()),
        authorization(format!("Bearer{key}")),
        authorization(format!("Bearer={key}")),
        authorization(format!("Bearer:{key}")),
        authorization(format!("Token {key}")),
        authorization(format!("ApiKey {key}")),
        authorization(format!("Digest {key}")),
        authorization(format!("Bearer {key} {key}")),
        authorization(format!("Bearer Bearer {key}")),
        authorization(format!("Bearer \"{key}\"")),
        authorization(format!("Bearer {}", base64(key))),
        authorization("Bearer eyJhbGciOiJIUzI1NiJ9.e30.x".to_owned()),
        authorization("Basic".to_owned()),
        authorization("Basic ".to_owned()),
        authorization(format!("Basic {key}")),
        authorization("Basic !!!!".to_owned()),
        authorization("Basic =".to_owned()),
        authorization(format!("Basic {}=", base64(key))),
        authorization(format!("Basic {} x", base64(key))),
        authorization(format!("Basic {}", base64(id))),
        authorization(format!("Basic {}", base64(":"))),
        authorization(format!("Basic {}", base64(&format!("{secret}:{id}")))),
        authorization(format!("Basic {}", base64(&format!("{key}\n")))),
        authorization(format!("Basic {}", base64(&format!("\u{e9}:{secret}")))),
        authorization(format!("Basic {}", "A".repeat(4000))),
        authorization(format!("Bearer {}", "a".repeat(4000))),
    ];
    cases.extend([id, secret, "", ":", " ", cut, &typo, "x:y:z", "tk_:x", "null", "undefined", "Bearer", "{}", "%00"].map(api));
    cases.extend([
        api(&format!("{id}:")),
        api(&format!(":{secret}")),
        api(&format!("{id} :{secret}")),
        api(&format!("{id}: {secret}")),
        api(&format!("{key}x")),
        api(&format!("{}:{secret}", id.to_uppercase())),
        api(&format!("{id}:{}", secret.to_uppercase())),
        api(&format!("{id}:{}", secret.replace("tks_", "tku_"))),
        api(&format!("{}:{secret}", &id[3..])),
        api(&format!("{UNKNOWN_ID}:{secret}")),
        api(&format!("{key}{key}")),
        api(&"k".repeat(8000)),
    ]);
    cases
}

#[tokio::test]
async fn more_than_one_is_400_and_never_good() {
    let site = Site::start().await;
    let key = site.key(json!({})).await;
    for lines in doubled(&key) {
        assert_eq!(ask(&site, "/v1/authorize", &lines).await.refusal(), (400, "duplicate-credential".to_owned()), "{lines:?}");
        assert_eq!(ask(&site, "/v1/authorize/x", &lines).await.status, 400, "{lines:?}");
        assert_eq!(ask(&site, "/v1/keys", &lines).await.status, 400, "{lines:?}");
    }
}

#[tokio::test]
async fn what_is_no_api_key_is_401() {
    let site = Site::start().await;
    let key = site.key(json!({})).await;
    let cases = malformed(&key);
    assert!(cases.len() >= 55);
    for lines in cases {
        assert_eq!(ask(&site, "/v1/authorize", &lines).await.refusal(), (401, "unauthenticated".to_owned()), "{lines:?}");
    }
}

#[tokio::test]
async fn what_is_not_plain_is_400() {
    let site = Site::start().await;
    let key = site.key(json!({})).await;
    for (name, value) in [
        line("authorization", format!("Bearer\t{key}")),
        line("authorization", format!("Bearer {key}\t")),
        line("authorization", format!("Bearer {key}é")),
        line("authorization", [b"Bearer ", key.as_bytes(), b"\xff"].concat()),
        line("x-api-key", [key.as_bytes(), b"\x80"].concat()),
        line("x-api-key", format!("{key}\u{a0}")),
        line("x_api_key", &key),
        line("x.api.key", &key),
        line("X_Api-Key", &key),
        line("x-tollgate.key.id", "tk_x"),
        line("x_tollgate_key_id", "tk_x"),
        line("X.Tollgate.Owner", "acme"),
        line("x_tollgate_scopes", ""),
        line("x~tollgate~owner", "acme"),
        line("X!Tollgate!Key!Id", "tk_x"),
        line("x+api-key", &key),
        line("x-tollgate|key^id", "tk_x"),
    ] {
        let lines = vec![(name, value)];
        assert_eq!(ask(&site, "/v1/authorize", &lines).await.refusal(), (400, "malformed-header".to_owned()), "{lines:?}");
    }
    let beside = vec![line("x-api-key", &key), line("x_tollgate_owner", "acme")];
    assert_eq!(ask(&site, "/v1/authorize", &beside).await.status, 400, "beside a good credential too");
    let others = vec![line("x-api-key", &key), line("x_forwarded_user", "acme"), line("x.y", "z")];
    assert_eq!(ask(&site, "/v1/authorize", &others).await.status, 200, "names that are not ours are nobody's business");
}

#[tokio::test]
async fn in_the_query_it_is_400_even_beside_a_good_one() {
    let site = Site::start().await;
    let key = site.key(json!({})).await;
    for name in
        ["api_key", "apikey", "key", "token", "access_token", "API_KEY", "Api-Key", "x-api-key", "authorization", "x", "cost", "scope"]
    {
        let query = format!("{name}={}", key.replace(':', "%3A"));
        for path in ["/v1/authorize", "/v1/keys", "/v1/check"] {
            let method = if path == "/v1/check" { Method::POST } else { Method::GET };
            let answer = site.call(method, &format!("{path}?{query}")).bearer(&key).send().await;
            assert_eq!(answer.refusal(), (400, "credential-in-query".to_owned()), "{path} {name}");
        }
    }
    assert_eq!(site.get("/v1/authorize?token=").send().await.refusal().1, "credential-in-query");
}

#[tokio::test]
async fn every_cause_of_a_401_looks_the_same() {
    let site = Site::start().await;
    let key = site.key(json!({})).await;
    let (id, secret) = key.split_once(':').expect("an api key");
    let unsigned = site.key(json!({"kind": "unsigned"})).await;
    let other_unsigned = site.key(json!({"kind": "unsigned"})).await;
    let revoked = site.key(json!({})).await;
    let path = format!("/v1/keys/{}/revoke", revoked.split(':').next().expect("an id"));
    assert_eq!(site.post(&path).bearer(&site.admin).send().await.status, 200);
    let wrong = format!("{}:{}", unsigned.split(':').next().expect("an id"), other_unsigned.split(':').nth(1).expect("a secret"));
    let causes = [
        vec![],
        vec![line("x-api-key", "nonsense")],
        vec![line("x-api-key", format!("{UNKNOWN_ID}:{secret}"))],
        vec![line("x-api-key", format!("{id}:{}", revoked.split(':').nth(1).expect("a secret")))],
        vec![line("x-api-key", wrong)],
        vec![line("x-api-key", revoked)],
    ];
    let mut seen = Vec::new();
    for mut lines in causes {
        lines.push(line("x-request-id", "same"));
        let answer = ask(&site, "/v1/authorize?scope=admin", &lines).await;
        let mut headers: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.sort();
        seen.push((answer.status, headers, answer.body));
    }
    assert_eq!(seen[0].0, 401);
    assert!(seen[0].1.iter().any(|header| header.contains("Bearer realm=\\\"tollgate\\\"")), "{:?}", seen[0].1);
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:#?}");
}
