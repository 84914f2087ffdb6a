//! One table of rate limits, good and bad: wire, gate and database say the same of each.

use sqlx::{PgConnection, error::DatabaseError};
use tollgate_api::RateLimitSpec;
use tollgate_gate::{
    ports::{CreateGuard, KeyDraft, KeyStore, KeyStoreError},
    record::{KeyRecord, limits_from_spec},
};

use crate::support::{context, draft, fixture, limits};

#[derive(serde::Deserialize)]
struct Case {
    good: bool,
    why: String,
    text: String,
}

fn cases() -> Vec<Case> {
    let path = tollgate_testkit::repository().join("tests/data/rate_limits.json");
    serde_json::from_slice(&std::fs::read(path).expect("the table")).expect("a list of cases")
}

fn gate_takes(text: &str) -> bool {
    serde_json::from_str::<RateLimitSpec>(text).is_ok_and(|spec| limits_from_spec(&spec, "key").is_ok())
}

async fn database_takes(connection: &mut PgConnection, text: &str) -> bool {
    let update = sqlx::query("update owners set rate_limit = $1::text::json").bind(text).execute(connection).await;
    match update {
        Ok(done) => done.rows_affected() == 1,
        Err(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default().into_owned();
            assert!(is_refusal(&*error, &code), "{text}: {error} ({code})");
            false
        }
        Err(error) => panic!("{text}: {error}"),
    }
}

/// The check itself, a text that is no JSON, or an escape that stands for no character.
fn is_refusal(error: &dyn DatabaseError, code: &str) -> bool {
    error.constraint() == Some("owners_rate_limit_good") || ["22P02", "22P05"].contains(&code)
}

#[tokio::test]
async fn gate_and_database_give_the_same_verdict() {
    let fixture = fixture().await;
    let mut connection = fixture.database.connection().await.expect("a connection");
    sqlx::query("insert into owners (owner) values ('acme')").execute(&mut connection).await.expect("an owner");
    let mut wrong = Vec::new();
    for case in cases() {
        let (gate, database) = (gate_takes(&case.text), database_takes(&mut connection, &case.text).await);
        if (gate, database) != (case.good, case.good) {
            wrong.push(format!("{} ({}): gate {gate}, database {database}", case.text, case.why));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_keys_limit_cannot_pass_for_its_owners() {
    let fixture = fixture().await;
    for (name, good) in [("owner", false), ("owner.day", false), ("owners", true), ("owner-day", true), ("own", true)] {
        let plain = draft(Some("acme"));
        let record = KeyRecord { limits: limits(&[("key", 5, 1), (name, 5, 1)]), ..plain.record };
        let made = fixture.store.create(KeyDraft { record, ..plain }, CreateGuard::None, context()).await;
        match made {
            Ok(made) => assert!(good && made.is_some(), "{name}"),
            Err(KeyStoreError::Refused(error)) => assert!(!good && error.pointer == "/rate_limit", "{name}: {error}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn the_table_has_enough_of_both() {
    let good = cases().iter().filter(|case| case.good).count();
    assert!(cases().len() >= 200 && good >= 40, "{good} good of {}", cases().len());
}
