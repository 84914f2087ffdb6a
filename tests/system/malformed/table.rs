//! Requests with which something is wrong, whatever they are asked through.

use super::super::authorize::base64;
use crate::support::Field;

/// What is asked: a target, and header fields with which something is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Odd {
    /// What is wrong, for messages.
    pub(crate) class: &'static str,
    pub(crate) target: String,
    pub(crate) fields: Vec<Field>,
}

impl Odd {
    /// A request with which nothing is wrong.
    pub(crate) fn good(api_key: &str) -> Self {
        odd("good", vec![field("x-api-key", api_key)])
    }
}

fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Field {
    (name.as_ref().to_vec(), value.as_ref().to_vec())
}

fn odd(class: &'static str, fields: Vec<Field>) -> Odd {
    Odd { class, target: "/v1/authorize".into(), fields }
}

/// Everything that is to be refused, made from two good api keys.
pub(crate) fn all(good: &str, other: &str) -> Vec<Odd> {
    let credentials = [doubled(good, other), lists(good), bytes(good), aliases(good), names(good), no_keys(good, other), queries(good)];
    [credentials.concat(), forwarded()].concat()
}

/// Two credentials, good or not, in any order.
fn doubled(good: &str, other: &str) -> Vec<Odd> {
    let ones = [
        field("authorization", format!("Bearer {good}")),
        field("authorization", format!("bearer {other}")),
        field("authorization", format!("Basic {}", base64(good))),
        field("authorization", "Negotiate x"),
        field("authorization", "Bearer"),
        field("x-api-key", good),
        field("x-api-key", other),
        field("x-api-key", "x"),
    ];
    ones.iter().flat_map(|one| ones.iter().map(|two| odd("doubled", vec![one.clone(), two.clone()]))).collect()
}

/// Lists of credentials in one field.
fn lists(good: &str) -> Vec<Odd> {
    let mut all = Vec::new();
    for comma in [",", ", ", " ,", ",,", " , "] {
        for other in [good, "x", "", "Bearer x"] {
            for (before, after) in [(good, other), (other, good)] {
                all.push(odd("list", vec![field("x-api-key", format!("{before}{comma}{after}"))]));
                all.push(odd("list", vec![field("authorization", format!("Bearer {before}{comma}{after}"))]));
            }
        }
    }
    all
}

/// A byte that no credential may hold, somewhere within one.
fn bytes(good: &str) -> Vec<Odd> {
    let control = (0..32_u8).chain([0x7f, 0x80, 0xa0, 0xc3, 0xff]);
    let within = |text: &str, at: usize, byte: u8| [&text.as_bytes()[..at], &[byte], &text.as_bytes()[at..]].concat();
    let mut all = Vec::new();
    for byte in control {
        let bearer = format!("Bearer {good}");
        for at in [3, 12, bearer.len() - 5] {
            all.push(odd("byte", vec![field("authorization", within(&bearer, at, byte))]));
        }
        for at in [2, good.len() - 5] {
            all.push(odd("byte", vec![field("x-api-key", within(good, at, byte))]));
        }
    }
    all
}

/// Names that some software takes for ours.
fn aliases(good: &str) -> Vec<Odd> {
    let mut all = Vec::new();
    for name in ["x-api-key", "x-tollgate-key-id", "x-tollgate-owner", "x-tollgate-scopes"] {
        for alias in spelled(name).into_iter().filter(|alias| alias != name) {
            all.push(odd("alias", vec![field(&alias, good)]));
            all.push(odd("alias", vec![field("x-api-key", good), field(&alias, "tk_x")]));
        }
    }
    all
}

/// A name with every choice of `-`, `_` and `.` between its words.
fn spelled(name: &str) -> Vec<String> {
    let mut words = name.split('-');
    let first = vec![words.next().unwrap_or_default().to_owned()];
    words.fold(first, |begun, word| {
        begun.iter().flat_map(|begun| ["-", "_", "."].map(|between| format!("{begun}{between}{word}"))).collect()
    })
}

/// Names that are none, with a good credential behind them.
fn names(good: &str) -> Vec<Odd> {
    let bad: [&[u8]; 14] = [
        b"x-api-key ",
        b"x-api-key\t",
        b" x-api-key",
        b"x-api\0-key",
        b"x api key",
        b"x-api-key\xff",
        b"x-api-k\xc3\xa9y",
        b"(x-api-key)",
        b"x-api-key,",
        b"\"x-api-key\"",
        b"x-api-key\x7f",
        b"x/api/key",
        b"",
        b"x-api-key\r",
    ];
    bad.into_iter().map(|name| odd("name", vec![field(name, good)])).collect()
}

/// One credential that is no api key, or not that of anybody.
fn no_keys(good: &str, other: &str) -> Vec<Odd> {
    let ((id, secret), (other_id, other_secret)) = (parts(good), parts(other));
    let api_keys = [
        String::new(),
        ":".into(),
        id.into(),
        secret.into(),
        format!("{id}:"),
        format!(":{secret}"),
        format!("{id}:{other_secret}"),
        format!("{other_id}:{secret}"),
        format!("{id} :{secret}"),
        format!("{id}: {secret}"),
        format!("{id}::{secret}"),
        format!("{id};{secret}"),
        format!("{id}%3A{secret}"),
        format!("{good}x"),
        format!("{good}{good}"),
        format!("{good} {good}"),
        format!("\"{good}\""),
        good[..good.len() - 1].to_owned(),
        good.to_uppercase(),
        format!("{}:{secret}", &id[3..]),
        format!("{id}:{}", secret.replace("tks_", "tku_")),
        format!("{id}:{}", secret.replace("tks_", "")),
        "null".into(),
        "{}".into(),
        "%00".into(),
        "k".repeat(4000),
    ];
    let schemes = ["", "Token ", "ApiKey ", "Digest ", "Bearer:", "Bearer=", "Bearer Bearer ", "Basic ", "Basic Basic "];
    let forms = api_keys.iter().map(|text| field("x-api-key", text));
    let bearers = api_keys.iter().map(|text| field("authorization", format!("Bearer {text}")));
    let basics = api_keys.iter().map(|text| field("authorization", format!("Basic {}", base64(text))));
    let others = schemes.iter().map(|scheme| field("authorization", format!("{scheme}{good}")));
    forms.chain(bearers).chain(basics).chain(others).map(|field| odd("no key", vec![field])).collect()
}

fn parts(api_key: &str) -> (&str, &str) {
    api_key.split_once(':').expect("an api key")
}

/// Credentials where others could read them.
fn queries(good: &str) -> Vec<Odd> {
    let names = ["api_key", "apikey", "key", "token", "access_token", "API_KEY", "x-api-key", "authorization", "bearer", "x", "cost"];
    let encoded = good.replace(':', "%3A");
    let both = names.iter().flat_map(|name| [format!("{name}={good}"), format!("{name}={encoded}")]);
    let others = ["cost=1&cost=1", "cost=0", "cost=-1", "cost=1e3", "cost=99999999999999999999", "scope=A", "scope=a&scope=b", "token="];
    let queries = both.chain(others.map(str::to_owned));
    queries.map(|query| Odd { target: format!("/v1/authorize?{query}"), ..odd("query", vec![field("x-api-key", good)]) }).collect()
}

/// Nobody, from an address that is told in all ways it must not be.
fn forwarded() -> Vec<Odd> {
    let values =
        ["", ",", "x", "1.2.3.4,", "256.1.1.1", "for=", "for=\"[::1\"", "for=_hidden;;", "1.2.3.4, \u{e9}", "127.0.0.1, 127.0.0.1"];
    let names = ["x-forwarded-for", "forwarded", "x-real-ip"];
    values.iter().flat_map(|value| names.map(|name| odd("forwarded", vec![field(name, value)]))).collect()
}
