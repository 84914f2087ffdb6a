use super::*;
use crate::{AuthOutcome, Component, HealthState, LookupOutcome, OutageState, RedisErrorKind, Source, Verdict};
use std::time::Duration;

/// The value of one series, as the page shows it.
fn value(page: &str, series: &str) -> Option<String> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

#[test]
fn the_page_shows_the_whole_catalogue_from_the_start() {
    let page = Recorder::new().unwrap().render();
    for metric in CATALOGUE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert!(page.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}\n{page}", metric.name);
        assert!(page.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}\n{page}", metric.name);
    }
    assert_eq!(page.matches("# TYPE").count(), CATALOGUE.len());
}

#[test]
fn every_series_of_the_gate_shows_as_zero_and_there_is_no_other() {
    let page = Recorder::new().unwrap().render();
    for metric in CATALOGUE {
        let series: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with(&format!("{}{{", metric.name)) || line.starts_with(&format!("{} ", metric.name)))
            .collect();
        let expected: usize = match metric.kind {
            Kind::Histogram(_) => 0, // shown as _bucket, _sum and _count
            Kind::Counter | Kind::Gauge => metric.labels.iter().map(|set| set.values.len()).product(),
        };
        assert_eq!(series.len(), expected, "{}", metric.name);
        for line in series {
            let known = metric.labels.iter().all(|set| set.values.iter().any(|value| line.contains(&format!("{}=\"{value}\"", set.name))));
            assert!(known, "{line}");
            let is_of_process = metric.name.starts_with("process_");
            assert!(is_of_process || line.ends_with(if metric.name == "tollgate_build_info" { " 1" } else { " 0" }), "{line}");
        }
        if let Kind::Histogram(buckets) = metric.kind {
            assert_eq!(value(&page, &format!("{}_count", metric.name)).as_deref(), Some("0"));
            assert_eq!(page.matches(&format!("{}_bucket", metric.name)).count(), buckets.len() + 1, "{}", metric.name);
        }
    }
}

#[test]
fn counters_count() {
    let recorder = Recorder::new().unwrap();
    let metrics = recorder.metrics();
    metrics.throttled();
    metrics.decision(Verdict::Limited, Source::DenyMemory);
    metrics.clone().decision(Verdict::Limited, Source::DenyMemory);
    metrics.decision(Verdict::Denied, Source::Preauth);
    metrics.auth(AuthOutcome::Unavailable);
    metrics.redis_error(RedisErrorKind::Other);
    metrics.postgres_lookup(LookupOutcome::Absent);
    metrics.redis_state_lost();
    let page = recorder.render();
    for (series, expected) in [
        ("api_rate_limit_throttled_total", "1"),
        ("tollgate_decisions_total{verdict=\"limited\",source=\"deny_memory\"}", "2"),
        ("tollgate_decisions_total{verdict=\"denied\",source=\"preauth\"}", "1"),
        ("tollgate_decisions_total{verdict=\"allowed\",source=\"redis\"}", "0"),
        ("api_auth_total{outcome=\"unavailable\"}", "1"),
        ("tollgate_redis_errors_total{kind=\"other\"}", "1"),
        ("tollgate_postgres_lookups_total{outcome=\"absent\"}", "1"),
        ("tollgate_redis_state_lost_total", "1"),
    ] {
        assert_eq!(value(&page, series).as_deref(), Some(expected), "{series}\n{page}");
    }
}

#[test]
fn every_label_value_leads_to_its_own_series() {
    let recorder = Recorder::new().unwrap();
    let metrics = recorder.metrics();
    for verdict in Verdict::ALL {
        for source in Source::ALL {
            metrics.decision(*verdict, *source);
        }
    }
    for outcome in AuthOutcome::ALL {
        metrics.auth(*outcome);
    }
    let page = recorder.render();
    let decided = page.lines().filter(|line| line.starts_with("tollgate_decisions_total{") && line.ends_with(" 1")).count();
    assert_eq!(decided, Verdict::ALL.len() * Source::ALL.len());
    for outcome in AuthOutcome::ALL {
        assert_eq!(value(&page, &format!("api_auth_total{{outcome=\"{}\"}}", outcome.as_str())).as_deref(), Some("1"));
    }
}

#[test]
fn gauges_and_histograms_show_what_was_last_and_what_was_all() {
    let recorder = Recorder::new().unwrap();
    let metrics = recorder.metrics();
    metrics.redis_call(64, Duration::from_micros(300));
    metrics.redis_call(128, Duration::from_millis(2));
    metrics.decision_took(Duration::from_micros(40));
    metrics.argon2_took(Duration::from_millis(20));
    metrics.argon2_queue_depth(7);
    metrics.postgres_pool(3, 5);
    metrics.change_log_lag(Duration::from_millis(1500));
    metrics.health(Component::Redis, HealthState::Down);
    metrics.health(Component::Postgres, HealthState::Degraded);
    metrics.outage(OutageState::Local);
    recorder.upkeep();
    let page = recorder.render();
    for (series, expected) in [
        ("tollgate_redis_batch_size_bucket{le=\"64\"}", "1"),
        ("tollgate_redis_batch_size_count", "2"),
        ("tollgate_redis_call_duration_seconds_bucket{le=\"0.0005\"}", "1"),
        ("tollgate_decision_duration_seconds_bucket{le=\"0.00005\"}", "1"),
        ("tollgate_argon2_duration_seconds_bucket{le=\"0.025\"}", "1"),
        ("tollgate_argon2_queue_depth", "7"),
        ("tollgate_postgres_pool_connections{state=\"idle\"}", "3"),
        ("tollgate_postgres_pool_connections{state=\"in_use\"}", "5"),
        ("tollgate_change_log_lag_seconds", "1.5"),
        ("tollgate_health_state{component=\"redis\"}", "2"),
        ("tollgate_health_state{component=\"postgres\"}", "1"),
        ("tollgate_health_state{component=\"key_file\"}", "0"),
        ("tollgate_outage_mode", "1"),
    ] {
        assert_eq!(value(&page, series).as_deref(), Some(expected), "{series}\n{page}");
    }
}

#[test]
fn two_recorders_share_nothing() {
    let (one, other) = (Recorder::new().unwrap(), Recorder::new().unwrap());
    one.metrics().throttled();
    assert_eq!(value(&one.render(), "api_rate_limit_throttled_total").as_deref(), Some("1"));
    assert_eq!(value(&other.render(), "api_rate_limit_throttled_total").as_deref(), Some("0"));
    Metrics::noop().throttled();
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    for metric in CATALOGUE {
        let known_prefix = ["tollgate_", "api_", "process_"].iter().any(|prefix| metric.name.starts_with(prefix));
        assert!(
            known_prefix && metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{}",
            metric.name
        );
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert_eq!(
            metric.unit == ::metrics::Unit::Seconds,
            metric.name.trim_end_matches("_total").ends_with("_seconds"),
            "{}",
            metric.name
        );
        assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
    }
}
