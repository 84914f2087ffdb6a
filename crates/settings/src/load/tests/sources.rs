//! Which source wins, and what is told of it.

use super::*;
use crate::{Network, Shown, TimeSpan};

fn shown(settings: &Settings, name: &str) -> Shown {
    settings.show().into_iter().find(|shown| shown.name == name).unwrap()
}

#[test]
fn later_sources_win_field_by_field() {
    let (_dir, mut from) = file("[http]\nstreams_max = 2\nconnections_max = 2\nheader_timeout = \"2s\"\n");
    from.env = pairs(&[("TOLLGATE_HTTP__STREAMS_MAX", "3"), ("TOLLGATE_HTTP__CONNECTIONS_MAX", "3")]);
    from.overrides = pairs(&[("http.streams_max", "4")]);
    let settings = Settings::load(&from).unwrap();
    assert_eq!(settings.http.streams_max, 4);
    assert_eq!(settings.http.connections_max, 3);
    assert_eq!(settings.http.header_timeout, TimeSpan::secs(2));
    assert_eq!(settings.http.request_timeout, TimeSpan::secs(10));
    let origin = |name| shown(&settings, name).origin;
    assert_eq!(origin("http.streams_max"), "command line");
    assert_eq!(origin("http.connections_max"), "environment variable TOLLGATE_HTTP__CONNECTIONS_MAX");
    assert_eq!(origin("http.header_timeout"), format!("file {}", from.config_file.unwrap().display()));
    assert_eq!(origin("http.request_timeout"), "default");
}

#[test]
fn texts_of_the_environment_become_what_the_setting_is() {
    let settings = from_env(&[
        ("TOLLGATE_ALLOW_PLAINTEXT", "true"),
        ("TOLLGATE_LISTEN", "0.0.0.0:80"),
        ("TOLLGATE_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8"),
        ("TOLLGATE_LOG__FILTER", "12"),
        ("TOLLGATE_KEYS__DEFAULT_RATE_LIMIT__BURST", "7"),
        ("TOLLGATE_RATELIMIT_HEADERS", "off"),
        ("TOLLGATE_TLS__CERT_FILE", ""),
    ])
    .unwrap();
    assert!(settings.allow_plaintext);
    assert_eq!(settings.listen, "0.0.0.0:80".parse().unwrap());
    let networks: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    assert_eq!(settings.trusted_proxies, networks);
    assert_eq!(settings.log.filter, "12");
    assert_eq!((settings.keys.default_rate_limit.burst, settings.keys.default_rate_limit.per_seconds), (7, 60));
    assert_eq!(settings.ratelimit_headers, RateLimitHeaders::Off);
    assert_eq!(settings.tls.cert_file, None);
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    let (_dir, mut from) = file("trusted_proxies = [\"10.0.0.0/8\", \"192.0.2.1\"]\n");
    assert_eq!(Settings::load(&from).unwrap().trusted_proxies.len(), 2);
    from.env = pairs(&[("TOLLGATE_TRUSTED_PROXIES", "")]);
    assert_eq!(Settings::load(&from).unwrap().trusted_proxies, []);
}

#[test]
fn a_cluster_needs_its_mode_and_its_two_stores_alone() {
    let settings = in_cluster(&[("TOLLGATE_REDIS__DECISION_TIMEOUT", "20ms")]).unwrap();
    assert_eq!(settings.mode, Mode::Cluster);
    assert_eq!(settings.redis.url.expose(), "redis://:hunter2@localhost");
    assert_eq!(settings.postgres.url.expose(), "postgres://u:hunter2@localhost/db");
    assert_eq!(settings.redis.decision_timeout, TimeSpan::millis(20));
}

#[test]
fn what_is_shown_is_toml_without_passwords() {
    let settings = in_cluster(&[("TOLLGATE_CACHE__AGE_MAX", "7200s"), ("TOLLGATE_TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")]).unwrap();
    for (name, value) in [
        ("redis.url", "\"redis://:***@localhost\""),
        ("postgres.url", "\"postgres://u:***@localhost/db\""),
        ("cache.age_max", "\"2h\""),
        ("trusted_proxies", "[\"10.0.0.0/8\", \"fd00::/8\"]"),
        ("redis.tags", "16"),
        ("allow_plaintext", "false"),
        ("mode", "\"cluster\""),
    ] {
        assert_eq!(shown(&settings, name).value, value);
    }
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(!format!("{:?}", settings.show()).contains("hunter2"));
}

#[test]
fn settings_of_the_other_mode_are_not_shown() {
    let names = |settings: &Settings| settings.show().into_iter().map(|shown| shown.name).collect::<Vec<_>>();
    let embedded = names(&Settings::load(&LoadFrom::default()).unwrap());
    assert!(
        embedded.contains(&"data_dir".to_owned())
            && !embedded.iter().any(|name| name.starts_with("redis.") || name.starts_with("postgres."))
    );
    let cluster = names(&in_cluster(&[]).unwrap());
    assert!(!cluster.contains(&"data_dir".to_owned()) && cluster.contains(&"redis.url".to_owned()));
}

#[test]
fn what_to_load_from_has_no_values_in_its_debug() {
    let from = LoadFrom { env: pairs(&CLUSTER), overrides: pairs(&[("redis.url", "hunter2")]), ..LoadFrom::default() };
    let debug = format!("{from:?}");
    assert!(debug.contains("TOLLGATE_REDIS__URL") && debug.contains("redis.url") && !debug.contains("hunter2"), "{debug}");
}

#[test]
fn of_the_process_environment_only_our_own_names_are_taken() {
    assert!(std::env::var_os("PATH").is_some(), "there is something to leave alone");
    let from = LoadFrom::default().with_environment();
    assert!(from.env.iter().all(|(name, _)| name.starts_with("TOLLGATE_")), "{from:?}");
}
