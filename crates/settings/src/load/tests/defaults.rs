//! The default file: complete, documented, and what the types say.

use super::*;
use crate::{ByteSize, DEFAULT_FILE, LogFormat, TimeSpan, values::Bound};

#[test]
fn the_top_of_the_file_is_as_documented() {
    let settings = Settings::load(&LoadFrom::default()).unwrap();
    assert_eq!(settings.mode, Mode::Embedded);
    assert_eq!(settings.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(settings.metrics_listen, "127.0.0.1:9464".parse().unwrap());
    assert_eq!(settings.data_dir, Path::new("./tollgate-data"));
    assert!(!settings.allow_plaintext);
    assert_eq!(settings.trusted_proxies, []);
    assert_eq!(settings.ratelimit_headers, RateLimitHeaders::Draft11);
    assert_eq!(settings.worker_threads, 0);
}

#[test]
fn the_stores_are_as_documented() {
    let Settings { redis, postgres, outage, cache, change_log, .. } = Settings::load(&LoadFrom::default()).unwrap();
    assert!(redis.url.is_unset() && postgres.url.is_unset());
    assert_eq!((redis.prefix.as_str(), redis.tags), ("tg:", 16));
    assert_eq!((redis.decision_timeout, redis.connect_timeout), (TimeSpan::millis(50), TimeSpan::secs(2)));
    assert_eq!(redis.look_interval, TimeSpan::secs(10));
    assert_eq!(redis.receipt_ttl, TimeSpan::secs(30 * 86_400));
    assert_eq!((redis.pool_size, redis.calls_in_flight, redis.batch_max, redis.queue_max), (2, 2, 128, 8192));
    assert_eq!((postgres.pool_size, postgres.lookups_in_flight), (16, 8));
    assert_eq!((postgres.lookup_timeout, postgres.acquire_timeout), (TimeSpan::secs(1), TimeSpan::secs(1)));
    assert_eq!((postgres.statement_timeout, postgres.lock_timeout), (TimeSpan::secs(5), TimeSpan::secs(2)));
    assert_eq!(postgres.idle_in_transaction_timeout, TimeSpan::secs(10));
    assert_eq!((outage.mode, outage.nodes_min, outage.stale_grace), (OutageMode::Local, 1, TimeSpan::secs(60)));
    assert_eq!((outage.nodes_ttl, outage.failures_max, outage.probe_interval), (TimeSpan::secs(5), 3, TimeSpan::millis(100)));
    assert_eq!((cache.age_max, cache.keys_max), (TimeSpan::secs(3600), 100_000));
    assert_eq!((change_log.poll_interval, change_log.page), (TimeSpan::secs(2), 500));
}

#[test]
fn look_ups_are_as_documented() {
    let Settings { lookup, bloom_filter, .. } = Settings::load(&LoadFrom::default()).unwrap();
    assert_eq!((lookup.budget.burst, lookup.budget.per_second, lookup.waiting_max), (50, 10, 4096));
    assert_eq!((lookup.misses_max, lookup.miss_ttl), (65_536, TimeSpan::secs(10)));
    assert_eq!((bloom_filter.false_positives_ppm, bloom_filter.head_room_percent), (1000, 10));
    assert_eq!((bloom_filter.bytes_max, bloom_filter.page), (ByteSize::kib(256 << 10), 1000));
    assert_eq!((bloom_filter.load_timeout, bloom_filter.rebuild_interval), (TimeSpan::secs(300), TimeSpan::secs(3600)));
    assert_eq!((bloom_filter.tombstones_min, bloom_filter.tombstones_percent), (1000, 1));
}

#[test]
fn the_rest_is_as_documented() {
    let Settings { keys, argon2, events, http, shutdown, forward_auth, tls, .. } = Settings::load(&LoadFrom::default()).unwrap();
    assert_eq!((keys.default_rate_limit.burst, keys.default_rate_limit.per_seconds, keys.master_key_file), (1000, 60, None));
    assert_eq!((argon2.memory_kib, argon2.iterations, argon2.parallelism, argon2.threads, argon2.queue_max), (19_456, 2, 1, 0, 256));
    assert_eq!(argon2.wait_max, TimeSpan::secs(2));
    assert_eq!((http.header_timeout, http.first_byte_timeout), (TimeSpan::secs(5), TimeSpan::secs(10)));
    assert_eq!((http.request_timeout, http.keep_alive_timeout), (TimeSpan::secs(10), TimeSpan::secs(75)));
    assert_eq!((http.header_bytes_max, http.body_bytes_max), (ByteSize::kib(16), ByteSize::kib(64)));
    assert_eq!((events.streams_max, events.streams_per_caller_max, events.queue_max), (256, 16, 64));
    assert_eq!((events.heartbeat_interval, events.stall_timeout), (TimeSpan::secs(15), TimeSpan::secs(30)));
    assert_eq!((http.connections_max, http.streams_max), (10_000, 100));
    assert_eq!((shutdown.drain_delay, shutdown.grace), (TimeSpan::secs(5), TimeSpan::secs(20)));
    assert_eq!((forward_auth.cost_header, forward_auth.scope_header), (None, None));
    assert!(!tls.is_on());
}

#[test]
fn what_is_told_is_as_documented() {
    let Settings { log, telemetry, .. } = Settings::load(&LoadFrom::default()).unwrap();
    assert_eq!((log.format, log.filter.as_str()), (LogFormat::Pretty, "info"));
    assert_eq!((log.allowed_ppm, log.lines_per_second_max), (1000, 100));
    assert!(telemetry.otlp_endpoint.is_unset());
    assert_eq!((telemetry.sample_ppm, telemetry.spans_max, telemetry.batch_max), (10_000, 2048, 512));
    assert_eq!((telemetry.export_interval, telemetry.export_timeout), (TimeSpan::secs(1), TimeSpan::secs(5)));
}

#[test]
fn failed_attempts_are_as_documented() {
    let preauth = Settings::load(&LoadFrom::default()).unwrap().preauth;
    let (address, key_text, key_id) = (preauth.address, preauth.key_text, preauth.key_id);
    assert_eq!((address.burst.get(), key_text.burst.get(), key_id.burst.get()), (1000, 100, 20));
    assert_eq!((address.period, key_text.period, key_id.period), (TimeSpan::secs(60), TimeSpan::secs(60), TimeSpan::secs(60)));
    assert_eq!(preauth.entries_max, 65_536);
}

#[test]
fn the_default_file_is_a_valid_config_file() {
    // In mode embedded it names settings of the other mode, which a file may not.
    let (own, _) = DEFAULT_FILE.split_once("[redis]").unwrap();
    let (_, common) = DEFAULT_FILE.split_once("[outage]").unwrap();
    let loaded = from_file(&format!("{own}[outage]{common}")).unwrap();
    let plain = Settings::load(&LoadFrom::default()).unwrap();
    let values = |settings: &Settings| settings.show().into_iter().map(|shown| (shown.name, shown.value)).collect::<Vec<_>>();
    assert_eq!(values(&loaded), values(&plain));
}

/// The comment above `setting` in the default file.
fn comment(setting: &str) -> String {
    let (section, field) = setting.rsplit_once('.').unwrap_or(("", setting));
    let lines: Vec<&str> = DEFAULT_FILE.lines().collect();
    let from = if section.is_empty() { 0 } else { lines.iter().position(|line| *line == format!("[{section}]")).unwrap() };
    let at = from + lines[from..].iter().position(|line| line.starts_with(&format!("{field} = "))).unwrap();
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
    above.map(|line| line.trim_start_matches('#')).collect::<Vec<_>>().into_iter().rev().collect()
}

#[test]
fn every_range_stands_in_the_default_file() {
    for bound in sections::bounds() {
        let (comment, range) = (comment(bound.setting).to_lowercase(), bound.to_string().to_lowercase());
        assert!(comment.contains(&range), "{}: {range:?} is not in {comment:?}", bound.setting);
    }
}

#[test]
fn every_number_time_and_size_has_a_range_and_every_range_a_setting() {
    let settings = Settings::load(&LoadFrom::default()).unwrap();
    let bound = |name: &str| sections::bounds().find(|bound| bound.setting == name).map(Bound::to_string);
    for shown in &settings.shown {
        let text = shown.value.trim_matches('"');
        let measured = shown.value.parse::<i64>().is_ok() || text.parse::<TimeSpan>().is_ok() || text.parse::<ByteSize>().is_ok();
        assert_eq!(measured, bound(&shown.name).is_some(), "{}", shown.name);
    }
    assert!(sections::bounds().all(|bound| settings.shown.iter().any(|shown| shown.name == bound.setting)));
}

#[test]
fn every_setting_is_explained() {
    for shown in Settings::load(&LoadFrom::default()).unwrap().shown {
        // Two fields under one comment: the second has the first above it.
        let explained = shown.name == "forward_auth.scope_header" || !comment(&shown.name).is_empty();
        assert!(explained, "{}", shown.name);
    }
}
