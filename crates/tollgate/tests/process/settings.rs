//! Settings, good and bad.

use crate::node::{ran, tollgate};

#[test]
fn bad_settings_are_64_and_all_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [&["serve"][..], &["config", "check"], &["config", "show"], &["bootstrap"], &["migrate"], &["signing-keys", "list"]] {
        let mut bad = tollgate(folder.path(), command);
        bad.env("TOLLGATE_LISTEM", "127.0.0.1:1").env("TOLLGATE_CACHE__AGE_MAX", "soon");
        let refused = ran(&mut bad);
        let said = refused.failed(64);
        assert!(said.contains("listem") && said.contains("cache.age_max"), "{command:?}: {said}");
    }
}

#[test]
fn a_setting_of_the_other_mode_is_64() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tollgate(folder.path(), &["serve"]);
    let refused = ran(command.env("TOLLGATE_REDIS__URL", "redis://127.0.0.1:1"));
    assert!(refused.failed(64).contains("redis.url"), "{}", refused.err);
}

#[test]
fn what_only_the_gate_can_judge_is_64_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("none").display().to_string();
    for (name, value, told) in [
        ("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__BURST", "2000000000", "keys.default_rate_limit.burst"),
        ("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__PER_SECONDS", "99999999", "keys.default_rate_limit.per_seconds"),
        ("TOLLGATE_KEYS__MASTER_KEY_FILE", missing.as_str(), "keys.master_key_file"),
        ("TOLLGATE_LOG__FILTER", "=nonsense=", "log.filter"),
    ] {
        for arguments in [["serve"].as_slice(), &["config", "check"]] {
            let refused = ran(tollgate(folder.path(), arguments).env(name, value));
            assert!(refused.failed(64).contains(told), "{told}: {}", refused.err);
        }
    }
    for (name, value, told) in [
        ("TOLLGATE_REDIS__URL", "redis://127.0.0.1:1/abc", "redis.url"),
        ("TOLLGATE_POSTGRES__URL", "postgres://u@127.0.0.1:1/d?sslmode=bogus", "postgres.url"),
    ] {
        let mut command = tollgate(folder.path(), &["config", "check"]);
        let cluster = [
            ("TOLLGATE_MODE", "cluster"),
            ("TOLLGATE_REDIS__URL", "redis://127.0.0.1:1"),
            ("TOLLGATE_POSTGRES__URL", "postgres://u@127.0.0.1:1/d"),
        ];
        let refused = ran(command.envs(cluster).env(name, value));
        assert!(refused.failed(64).contains(told), "{told}: {}", refused.err);
    }
    assert!(!folder.path().join("tollgate-data").exists(), "nothing was made");
}

#[test]
fn a_file_is_read_and_flags_win_over_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("node.toml"), "listen = \"127.0.0.1:1111\"\n[cache]\nage_max = \"2m\"\n").expect("written");
    let arguments = ["config", "show", "--config", "node.toml", "--listen", "127.0.0.1:2222"];
    let shown = ran(tollgate(folder.path(), &arguments).env_remove("TOLLGATE_LISTEN"));
    assert_eq!(shown.code, 0, "{}", shown.err);
    let line = |name: &str| shown.out.lines().find(|line| line.starts_with(&format!("{name} = "))).expect("the setting").to_owned();
    assert_eq!(line("listen"), "listen = \"127.0.0.1:2222\"  (command line)");
    assert!(line("cache.age_max").contains("2m") && line("cache.age_max").contains("node.toml"), "{}", line("cache.age_max"));
    assert_eq!(line("mode"), "mode = \"embedded\"  (default)");
}

#[test]
fn shown_settings_hide_passwords() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = ran(tollgate(folder.path(), &["config", "show", "--output", "json"])
        .env("TOLLGATE_MODE", "cluster")
        .env("TOLLGATE_REDIS__URL", "redis://me:hunter2@127.0.0.1:1")
        .env("TOLLGATE_POSTGRES__URL", "postgres://me:hunter2@127.0.0.1:1/db"));
    let settings = shown.json();
    let value = |name: &str| {
        let found = settings.as_array().expect("a list").iter().find(|setting| setting["name"] == name);
        found.unwrap_or_else(|| panic!("{name} in {settings}"))["value"].clone()
    };
    let values = ["redis.url", "redis.decision_timeout", "redis.tags", "leases.enabled", "trusted_proxies"].map(value);
    assert_eq!(serde_json::json!(values), serde_json::json!(["redis://me:***@127.0.0.1:1", "50ms", 16, true, []]));
    assert!(!format!("{}{}", shown.out, shown.err).contains("hunter2"), "{}", shown.out);
}

#[test]
fn good_settings_are_said_to_be_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let checked = ran(&mut tollgate(folder.path(), &["config", "check"]));
    assert_eq!((checked.code, checked.out.as_str()), (0, ""), "{}", checked.err);
}

#[test]
fn a_store_that_is_not_there_is_8() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [&["migrate"][..], &["bootstrap"], &["signing-keys", "list"], &["bootstrap", "--to", "key"]] {
        let refused = ran(tollgate(folder.path(), command)
            .env("TOLLGATE_MODE", "cluster")
            .env("TOLLGATE_REDIS__URL", "redis://127.0.0.1:1")
            .env("TOLLGATE_POSTGRES__URL", "postgres://me:hunter2@127.0.0.1:1/db"));
        assert!(!refused.failed(8).contains("hunter2"), "{}", refused.err);
    }
    assert!(std::fs::read_dir(folder.path()).expect("readable").next().is_none(), "nothing is left behind");
}
