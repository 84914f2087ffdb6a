//! One table of rate limits, good and bad: API, command line and database say the same of each.

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_testkit::{repository, tollgate};

use crate::support::{Cluster, NewKey};

#[derive(Debug, Deserialize)]
struct Case {
    good: bool,
    why: String,
    text: String,
}

fn cases() -> Vec<Case> {
    let file = std::fs::read(repository().join("tests/data/rate_limits.json")).expect("the table");
    let mut cases: Vec<Case> = serde_json::from_slice(&file).expect("a list of cases");
    assert!(cases.len() >= 200);
    // On this surface it is a word of its own: unlimited.
    cases.retain(|case| case.text.trim() != "null");
    cases
}

#[tokio::test]
async fn the_api_and_the_database_give_every_verdict_of_the_table() {
    let cluster = Cluster::start(1).await;
    let mut connection = cluster.fleet.database.as_ref().unwrap().connection().await.unwrap();
    sqlx::query("insert into owners (owner) values ('direct')").execute(&mut connection).await.unwrap();
    let changed = cluster.limited_key(5, 60).await;
    let mut wrong = Vec::new();
    for Case { good, why, text } in cases() {
        let body = format!("{{\"name\":\"n\",\"rate_limit\":{text}}}");
        let made = cluster.admin().call(reqwest::Method::POST, "/v1/keys").body("application/json", body).send().await;
        let body = format!("{{\"rate_limit\":{text}}}");
        let patched = cluster.admin().call(reqwest::Method::PATCH, &changed.path()).body("application/json", body.clone()).send().await;
        let owner = cluster.admin().call(reqwest::Method::PUT, "/v1/owners/acme").body("application/json", body).send().await;
        let sql = sqlx::query("update owners set rate_limit = $1::text::json where owner = 'direct'");
        let direct = sql.bind(&text).execute(&mut connection).await;
        let answers = [made.status, patched.status, owner.status];
        // Names of an owner's limits are not for keys, in answers they could not be told apart.
        let for_keys = if text.contains("\"owner") { [422, 422] } else { [201, 200] };
        let expected =
            if good { answers == [for_keys[0], for_keys[1], 200] } else { answers.iter().all(|status| [400, 422].contains(status)) };
        if !expected || direct.is_ok() != good {
            wrong.push(format!("{text:.200} ({why}): {answers:?}, database {}", direct.is_ok()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Figures as they would be typed, of the cases that are one object of two numbers.
fn figures(text: &str) -> Option<(String, String)> {
    if text.contains('\\') {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let figure = |name: &str| fields.get(name).filter(|value| value.is_number()).map(Value::to_string);
    Some((figure("burst")?, figure("per_seconds")?)).filter(|_| ["burst", "per_seconds"].iter().all(|name| text.matches(name).count() == 1))
}

#[tokio::test]
async fn the_command_line_gives_the_same_verdict_where_it_can_say_it() {
    let cluster = Cluster::start(1).await;
    let mut asked = 0;
    for Case { good, text, .. } in cases() {
        let Some((burst, per_seconds)) = figures(&text) else { continue };
        asked += 1;
        let mut command =
            tollgate(&["keys", "create", "--name", "n", &format!("--burst={burst}"), &format!("--per-seconds={per_seconds}")]).unwrap();
        command
            .args(["--output", "json"])
            .env("TOLLGATE_URL", cluster.fleet.nodes[0].url())
            .env("TOLLGATE_API_KEY", &cluster.fleet.admin_key);
        let output = tokio::process::Command::from(command).output().await.unwrap();
        let status = output.status.code().unwrap();
        // What is no whole number is refused by the parser (2), what is out of range by the node (6).
        assert!(if good { status == 0 } else { [2, 6].contains(&status) }, "{text}: {status} {}", String::from_utf8_lossy(&output.stderr));
        if good {
            let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(shown["rate_limit"], serde_json::from_str::<Value>(&text).unwrap());
        }
    }
    assert!(asked >= 40, "only {asked} cases");
}

#[tokio::test]
async fn a_key_made_without_a_limit_gets_the_default() {
    let cluster = Cluster::of(tollgate_testkit::Fleet::builder(1).env("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__PER_SECONDS", "120")).await;
    let key = NewKey::make(&cluster.admin(), json!({})).await;
    assert_eq!(key.record["rate_limit"], json!({"burst": 1_000_000, "per_seconds": 120}));
    let answer = cluster.node(0).with(&key.api_key).authorize("").await.expect(200);
    assert_eq!(answer.header("ratelimit-policy"), "\"key\";q=1000000;w=120");
}
