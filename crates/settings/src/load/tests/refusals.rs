//! What is refused, and in which words.

use super::*;

/// The one problem of a refused load, as its line.
fn only(refused: Result<Settings, SettingsError>) -> String {
    let error = refused.expect_err("was accepted");
    assert_eq!(error.problems().len(), 1, "{error}");
    error.problems()[0].to_string()
}

#[test]
fn unknown_names_are_refused_by_name_wherever_they_stand() {
    for (name, hint) in [
        ("rediz.url", "did you mean redis.url (TOLLGATE_REDIS__URL)?"),
        ("redis_url", "did you mean redis.url"),
        ("moode", "did you mean mode"),
        ("nothing.like_it", ""),
    ] {
        let variable = format!("TOLLGATE_{}", name.to_uppercase().replace('.', "__"));
        for (line, origin) in [
            (only(from_env(&[(&variable, "1")])), format!("environment variable {variable}")),
            (only(from_flags(&[(name, "1")])), "command line".to_owned()),
            (only(from_file(&format!("{name} = 1"))), "tollgate.toml".to_owned()),
        ] {
            assert!(
                line.starts_with(name) && line.contains(&origin) && line.contains("there is no such setting") && line.contains(hint),
                "{line}"
            );
        }
    }
}

#[test]
fn unknown_sections_are_refused_even_if_empty() {
    assert!(only(from_file("[rediz]")).starts_with("rediz ("));
    assert!(only(from_file("[http.limits]")).starts_with("http.limits ("));
    assert!(only(from_file("http = 5")).contains("is a section"));
    assert!(only(from_env(&[("TOLLGATE_HTTP", "")])).contains("is a section"));
    assert!(from_file("[http]").is_ok());
}

#[test]
fn wrong_kinds_are_refused_with_the_right_one() {
    for (text, expected) in [
        ("allow_plaintext = \"true\"", "allow_plaintext (file must be true or false"),
        ("listen = 8080", "listen (file must be a text such as \"127.0.0.1:8080\""),
        ("trusted_proxies = \"10.0.0.0/8\"", "trusted_proxies (file must be a list of texts"),
        ("trusted_proxies = [10]", "trusted_proxies (file must be a list of texts"),
        ("http.streams_max = \"100\"", "http.streams_max (file must be a whole number"),
        ("http.streams_max = 100.0", "http.streams_max (file must be a whole number"),
        ("http.header_timeout = 5", "http.header_timeout (file must be a text such as \"5s\""),
        ("keys.default_rate_limit = 5", "keys.default_rate_limit (file is a section and has no value of its own"),
        ("keys.default_rate_limit.burst = true", "keys.default_rate_limit.burst (file must be a whole number"),
        ("log.filter = 2020-01-01T00:00:00Z\nlog.format = [\"json\"]", ""),
    ] {
        let error = from_file(text).expect_err(text);
        let line = error.problems()[0].to_string();
        let (name, what) = expected.split_once("(file ").unwrap_or(("", ""));
        assert!(line.starts_with(name) && line.ends_with(what), "{line}");
    }
    assert!(only(from_env(&[("TOLLGATE_ALLOW_PLAINTEXT", "yes")])).ends_with("must be true or false"));
    assert!(only(from_env(&[("TOLLGATE_HTTP__STREAMS_MAX", "")])).ends_with("must be a whole number"));
    assert!(only(from_env(&[("TOLLGATE_HTTP__STREAMS_MAX", "99999999999999999999")])).ends_with("must be a whole number"));
}

#[test]
fn values_that_their_type_does_not_know_are_refused() {
    for (setting, value, what) in [
        ("mode", "clustre", "must be \"embedded\" or \"cluster\""),
        ("mode", "", "must be \"embedded\" or \"cluster\""),
        ("outage.mode", "Open", "must be \"local\" or \"open\" or \"closed\""),
        ("ratelimit_headers", "draft7", "must be \"draft11\" or \"legacy\" or \"both\" or \"off\""),
        ("log.format", "xml", "must be \"pretty\" or \"json\""),
        ("listen", "localhost:8080", "must be an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\""),
        (
            "trusted_proxies",
            "10.0.0.5/8",
            "must be an address or a network, such as \"10.0.0.0/8\" or \"fd00::/8\", without bits set beyond the prefix",
        ),
        ("http.header_timeout", "5", "must be a whole number and a unit (us, ms, s, m, h or d), such as \"50ms\""),
        ("http.body_bytes_max", "64KB", "must be a whole number and a unit (B, KiB, MiB or GiB), such as \"16KiB\""),
    ] {
        assert_eq!(only(from_flags(&[(setting, value)])), format!("{setting} (command line): {what}"));
    }
}

/// A value just inside and just outside of each end, for every setting that has a range.
#[test]
fn ranges_hold_at_their_very_ends() {
    for (setting, inside, outside) in [
        ("redis.tags", ["1", "100"], ["0", "101"]),
        ("redis.decision_timeout", ["1ms", "1m"], ["999us", "60001ms"]),
        ("redis.pool_size", ["1", "64"], ["0", "65"]),
        ("redis.batch_max", ["1", "128"], ["0", "129"]),
        ("redis.queue_max", ["1", "1000000"], ["-1", "1000001"]),
        ("postgres.statement_timeout", ["10ms", "10m"], ["0s", "601s"]),
        ("outage.nodes_min", ["1", "10000"], ["0", "10001"]),
        ("outage.nodes_ttl", ["500ms", "1h"], ["499ms", "3601s"]),
        ("outage.stale_grace", ["0s", "1h"], ["3601s", "300000h"]),
        ("outage.failures_max", ["1", "1000000"], ["0", "1000001"]),
        ("outage.probe_interval", ["10ms", "1s"], ["9ms", "1001ms"]),
        ("outage.subjects_max", ["1", "100000000"], ["0", "100000001"]),
        ("cache.age_max", ["1s", "1d"], ["999ms", "25h"]),
        ("cache.keys_max", ["1", "10000000"], ["0", "10000001"]),
        ("argon2.memory_kib", ["8", "1048576"], ["7", "1048577"]),
        ("argon2.iterations", ["1", "64"], ["0", "65"]),
        ("change_log.poll_interval", ["10ms", "1m"], ["9ms", "61s"]),
        ("http.header_bytes_max", ["8KiB", "1MiB"], ["8191B", "1025KiB"]),
        ("http.connections_max", ["1", "1000000"], ["0", "9223372036854775807"]),
        ("shutdown.drain_delay", ["0s", "5m"], ["301s", "6m"]),
        ("log.allowed_ppm", ["0", "1000000"], ["-1", "1000001"]),
        ("telemetry.spans_max", ["1", "1000000"], ["0", "1000001"]),
        ("telemetry.export_interval", ["10ms", "1m"], ["9ms", "61s"]),
    ] {
        for value in inside {
            let variable = format!("TOLLGATE_{}", setting.to_uppercase().replace('.', "__"));
            assert!(in_cluster(&[(&variable, value)]).is_ok(), "{setting} {value}");
        }
        let range = sections::bounds().find(|bound| bound.setting == setting).unwrap();
        for value in outside {
            assert_eq!(only(from_flags(&[(setting, value)])), format!("{setting} (command line): must be {range}"), "{value}");
        }
    }
    assert_eq!(only(from_flags(&[("keys.default_rate_limit.burst", "0")])), "keys.default_rate_limit.burst (command line): must be from 1");
}

#[test]
fn a_setting_of_the_other_mode_is_refused() {
    for (setting, value) in [("redis.url", "redis://localhost"), ("redis.tags", "16"), ("postgres.pool_size", "4"), ("postgres.url", "")] {
        let variable = format!("TOLLGATE_{}", setting.to_uppercase().replace('.', "__"));
        for line in [only(from_flags(&[(setting, value)])), only(from_env(&[(&variable, value)]))] {
            assert!(
                line.starts_with(setting) && line.contains("is a setting of mode \"cluster\", but mode is \"embedded\" (default)"),
                "{line}"
            );
        }
    }
    assert!(only(from_file("[redis]\nprefix = \"tg:\"")).starts_with("redis.prefix (file "));
    let line = only(in_cluster(&[("TOLLGATE_DATA_DIR", "./tollgate-data")]));
    assert!(line.contains("is a setting of mode \"embedded\", but mode is \"cluster\" (environment variable TOLLGATE_MODE)"), "{line}");
}

#[test]
fn a_mode_that_is_none_does_not_accuse_the_settings_of_both() {
    let line = only(from_env(&[("TOLLGATE_MODE", "clustre"), ("TOLLGATE_REDIS__URL", "redis://localhost"), ("TOLLGATE_DATA_DIR", "x")]));
    assert!(line.starts_with("mode (environment variable TOLLGATE_MODE)"), "{line}");
}

#[test]
fn a_cluster_without_its_stores_is_refused_for_both() {
    let error = from_env(&[("TOLLGATE_MODE", "cluster")]).unwrap_err();
    let lines: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["redis.url (default): must be set in mode \"cluster\"", "postgres.url (default): must be set in mode \"cluster\""]);
}

#[test]
fn plain_text_beyond_loopback_needs_a_word() {
    let far = |name: &str| (format!("TOLLGATE_{name}"), format!("environment variable TOLLGATE_{name}"));
    for (variable, value) in [
        ("LISTEN", "0.0.0.0:8080"),
        ("LISTEN", "[::]:8080"),
        ("LISTEN", "192.0.2.1:8080"),
        ("METRICS_LISTEN", "0.0.0.0:9464"),
        ("REDIS__URL", "redis://redis.example"),
        ("REDIS__URL", "redis-cluster://127.0.0.1?node=10.0.0.1:7001"),
        ("POSTGRES__URL", "postgres://pg.example/db"),
        ("POSTGRES__URL", "postgres://pg.example/db?sslmode=prefer"),
    ] {
        let (name, origin) = far(variable);
        let line = only(in_cluster(&[(&name, value)]));
        assert!(line.contains(&origin) && line.contains("plain text beyond loopback") && line.contains("allow_plaintext = true"), "{line}");
        assert!(in_cluster(&[(&name, value), ("TOLLGATE_ALLOW_PLAINTEXT", "true")]).is_ok(), "{value}");
    }
}

#[test]
fn a_store_whose_certificate_nobody_checks_needs_a_word() {
    for mode in ["require", "verify-ca"] {
        let given = [("TOLLGATE_POSTGRES__URL", format!("postgres://pg.example/db?sslmode={mode}"))];
        let given = [(given[0].0, given[0].1.as_str()), ("TOLLGATE_ALLOW_PLAINTEXT", "true")];
        let line = only(in_cluster(&given[..1]));
        assert!(line.contains("does not check whose certificate") && line.contains("sslmode=verify-full"), "{line}");
        assert!(in_cluster(&given).is_ok(), "{mode}");
    }
}

#[test]
fn an_authority_without_tls_is_refused() {
    let authority = ("TOLLGATE_REDIS__CA_FILE", "ca.pem");
    assert_eq!(
        only(in_cluster(&[("TOLLGATE_REDIS__URL", "redis://localhost"), authority])),
        "redis.ca_file (environment variable TOLLGATE_REDIS__CA_FILE): is for a redis.url that begins with rediss"
    );
    for url in ["rediss://localhost", "rediss-cluster://localhost", "valkeys-sentinel://localhost"] {
        assert!(in_cluster(&[("TOLLGATE_REDIS__URL", url), authority]).is_ok(), "{url}");
    }
}

#[test]
fn what_is_encrypted_or_near_needs_no_word() {
    for (variable, value) in [
        ("TOLLGATE_LISTEN", "127.0.0.2:8080"),
        ("TOLLGATE_LISTEN", "[::1]:8080"),
        ("TOLLGATE_LISTEN", "[::ffff:127.0.0.1]:8080"),
        ("TOLLGATE_REDIS__URL", "rediss://redis.example"),
        ("TOLLGATE_POSTGRES__URL", "postgres://pg.example/db?sslmode=verify-full"),
        ("TOLLGATE_POSTGRES__URL", "postgres:///db?host=/run/postgresql"),
    ] {
        assert!(in_cluster(&[(variable, value)]).is_ok(), "{value}");
    }
    let tls = [("tls.cert_file", "c.pem"), ("tls.key_file", "k.pem"), ("listen", "0.0.0.0:443")];
    assert!(from_flags(&tls).is_ok());
    let metrics = [tls[0], tls[1], ("metrics_listen", "0.0.0.0:9464"), ("tls.metrics", "false")];
    assert!(from_flags(&metrics[..3]).is_ok());
    assert!(only(from_flags(&metrics)).starts_with("metrics_listen"), "it does not show the certificate");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (given, expected) in [
        (vec![("tls.cert_file", "c.pem")], "tls.cert_file (command line): needs tls.key_file as well"),
        (vec![("tls.key_file", "k.pem")], "tls.key_file (command line): needs tls.cert_file as well"),
        (vec![("metrics_listen", "127.0.0.1:8080")], "metrics_listen (command line): must not be the same as listen"),
        (
            vec![("argon2.parallelism", "4"), ("argon2.memory_kib", "31")],
            "argon2.memory_kib (command line): must be at least 8 times argon2.parallelism",
        ),
        (vec![("data_dir", "")], "data_dir (command line): must be set in mode \"embedded\""),
        (
            vec![("forward_auth.cost_header", "x-a"), ("forward_auth.scope_header", "x-a")],
            "forward_auth.scope_header (command line): must not be the header of forward_auth.cost_header",
        ),
    ] {
        assert_eq!(only(from_flags(&given)), expected);
    }
    assert!(from_flags(&[("listen", "127.0.0.1:0"), ("metrics_listen", "127.0.0.1:0")]).is_ok(), "two free ports are two ports");
    let line = only(in_cluster(&[("TOLLGATE_POSTGRES__POOL_SIZE", "8")]));
    assert!(line.starts_with("postgres.lookups_in_flight (default): must be less than postgres.pool_size"), "{line}");
}

#[test]
fn headers_and_prefixes_are_checked() {
    for header in ["X-Cost", "x cost", "authorization", "x-api-key", "cookie", "x:", "é"] {
        assert!(only(from_flags(&[("forward_auth.cost_header", header)])).contains("must be the name of a header"), "{header}");
    }
    assert!(from_flags(&[("forward_auth.cost_header", "x-tollgate-cost")]).is_ok());
    for prefix in ["{tg}", "tg ", "tg*", "0123456789012345678901234567890123", "é"] {
        assert!(only(in_cluster(&[("TOLLGATE_REDIS__PREFIX", prefix)])).starts_with("redis.prefix"), "{prefix}");
    }
    assert!(in_cluster(&[("TOLLGATE_REDIS__PREFIX", "")]).is_ok());
}

#[test]
fn all_problems_are_told_at_once() {
    let (_dir, mut from) = file("nonsense = 1\n[http]\nstreams_max = 0\nheader_timeout = \"soon\"\n");
    from.env = pairs(&[("TOLLGATE_LISTEN", "nowhere"), ("TOLLGATE_LOG__FORMAT", "xml"), ("TOLLGATE_TLS__CERT_FILE", "c.pem")]);
    from.overrides = pairs(&[("mode", "both"), ("cache.keys_max", "many")]);
    let error = Settings::load(&from).unwrap_err();
    let mut named: Vec<&str> = error.problems().iter().map(|problem| problem.setting.as_str()).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        ["cache.keys_max", "http.header_timeout", "http.streams_max", "listen", "log.format", "mode", "nonsense", "tls.cert_file"]
    );
    let text = error.to_string();
    assert_eq!(text.lines().count(), 9, "{text}");
    assert!(text.starts_with("invalid settings:\n  "), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = LoadFrom { config_file: Some("/nonexistent/tollgate.toml".into()), ..LoadFrom::default() };
    let line = only(Settings::load(&missing));
    assert!(line.starts_with("--config (file /nonexistent/tollgate.toml): cannot be read: "), "{line}");
    let line = only(from_file("mode = \"embedded\"\nlisten = \n"));
    assert!(line.starts_with("line 2 (file ") && line.contains("is no TOML"), "{line}");
}

#[test]
fn no_error_repeats_a_value() {
    let names: Vec<String> = Settings::load(&LoadFrom::default()).unwrap().shown.into_iter().map(|shown| shown.name).collect();
    let secret = "redis://u:hunter2@[";
    for name in &names {
        if let Err(error) = from_flags(&[(name, secret), ("mode", "cluster")]) {
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        for value in ["\"hunter2\"", "[\"hunter2\"]", "{ hunter = \"hunter2\" }", "\"hunter2", "hunter2", "\"\\hunter2\""] {
            if let Err(error) = from_file(&format!("{name} = {value}")) {
                assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
            }
        }
    }
}
