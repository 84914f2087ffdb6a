//! Settings that cannot be meant: `serve` ends with 64 before it listens, and names each.

use std::process::Output;

use tollgate_testkit::{Port, Scratch, tollgate};

/// Runs `tollgate serve` in an empty folder with these variables and this file.
async fn serve(variables: &[(&str, &str)], file: Option<&str>) -> Output {
    let (folder, port) = (Scratch::new("settings").unwrap(), Port::take().unwrap());
    let mut command = tollgate(&["serve"]).unwrap();
    if let Some(text) = file {
        let path = folder.path().join("tollgate.toml");
        std::fs::write(&path, text).unwrap();
        command.arg("--config").arg(path);
    }
    command.env("TOLLGATE_LISTEN", port.address().to_string()).envs(variables.iter().copied()).current_dir(folder.path());
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(30), output).await.expect("it ends").unwrap();
    assert!(!folder.path().join("tollgate-data").exists(), "nothing was made");
    output
}

#[track_caller]
fn expect_named(output: &Output, names: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{errors}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for name in names {
        assert!(errors.contains(name), "{name} is not named: {errors}");
    }
}

const REDIS: (&str, &str) = ("TOLLGATE_REDIS__URL", "redis://:hunter2@127.0.0.1:1");
const POSTGRES: (&str, &str) = ("TOLLGATE_POSTGRES__URL", "postgres://u:hunter2@127.0.0.1:1/x");
const CLUSTER: (&str, &str) = ("TOLLGATE_MODE", "cluster");

#[tokio::test]
async fn an_unknown_setting_is_named_with_where_it_stands() {
    expect_named(&serve(&[("TOLLGATE_REDIS__URI", "x")], None).await, &["redis.uri", "TOLLGATE_REDIS__URI"]);
    expect_named(&serve(&[("TOLLGATE_LISTEM", "x")], None).await, &["listem"]);
    expect_named(&serve(&[], Some("[outage]\nmod = \"open\"\n")).await, &["outage.mod", "tollgate.toml"]);
    expect_named(&serve(&[], Some("[unknown]\na = 1\n")).await, &["unknown"]);
}

#[tokio::test]
async fn every_wrong_value_is_named_at_once() {
    let variables = [("TOLLGATE_OUTAGE__MODE", "maybe"), ("TOLLGATE_HTTP__HEADER_TIMEOUT", "5"), ("TOLLGATE_NONSENSE", "1")];
    expect_named(&serve(&variables, None).await, &["outage.mode", "http.header_timeout", "nonsense"]);
    let file = "[keys.default_rate_limit]\nburst = 0\nper_seconds = 0\n";
    expect_named(&serve(&[], Some(file)).await, &["keys.default_rate_limit.burst", "keys.default_rate_limit.per_seconds"]);
    let file = "[keys.default_rate_limit]\nper_seconds = 2678401\n";
    expect_named(&serve(&[], Some(file)).await, &["keys.default_rate_limit.per_seconds", "1 to 2678400"]);
    expect_named(&serve(&[], Some("listen = \n")).await, &["tollgate.toml"]);
}

#[tokio::test]
async fn a_setting_of_the_other_mode_is_fatal() {
    expect_named(&serve(&[REDIS], None).await, &["redis.url", "mode"]);
    expect_named(&serve(&[POSTGRES], None).await, &["postgres.url", "mode"]);
    expect_named(&serve(&[], Some("[redis]\npool_size = 2\n")).await, &["redis.pool_size", "mode"]);
    let both = [CLUSTER, REDIS, POSTGRES, ("TOLLGATE_DATA_DIR", "./x")];
    expect_named(&serve(&both, None).await, &["data_dir", "mode"]);
}

#[tokio::test]
async fn a_cluster_needs_both_stores() {
    expect_named(&serve(&[CLUSTER], None).await, &["redis.url", "postgres.url"]);
    expect_named(&serve(&[CLUSTER, REDIS], None).await, &["postgres.url"]);
}

#[tokio::test]
async fn a_password_is_not_repeated() {
    let variables =
        [CLUSTER, ("TOLLGATE_REDIS__URL", "redis://:hunter2@[::1"), ("TOLLGATE_POSTGRES__URL", "postgres://u:hunter2@/x?a=b:c@")];
    for output in [serve(&variables, None).await, serve(&[REDIS, POSTGRES], None).await] {
        assert_eq!(output.status.code(), Some(64));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{output:?}");
    }
}
