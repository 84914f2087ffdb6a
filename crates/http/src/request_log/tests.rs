use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;
use tokio::time::Instant;
use tollgate_telemetry::Recorder;
use tracing::subscriber::DefaultGuard;

use super::*;

/// A log of so many lines a second about each sort of thing, whose filter lets this level through.
struct Narrow {
    log: RequestLog,
    origin: Origin,
    recorder: Recorder,
    _guard: DefaultGuard,
}

impl Narrow {
    fn at(level: Level, lines_per_second_max: u32) -> Self {
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::sink).finish();
        let recorder = Recorder::new().expect("a recorder");
        let options = TelemetryOptions { lines_per_second_max, metrics: recorder.metrics(), ..TelemetryOptions::default() };
        let origin = Origin::of(&HeaderMap::new(), IpAddr::V4(Ipv4Addr::LOCALHOST), &[], Instant::now());
        Self { log: RequestLog::new(&options), origin, recorder, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn line(&self, outcome: Outcome, status: StatusCode) -> Option<Level> {
        self.log.attention(&self.origin, outcome, status).line
    }

    fn dropped(&self) -> u64 {
        let page = self.recorder.render();
        let value = page.lines().find_map(|line| line.strip_prefix("tollgate_request_lines_dropped_total "));
        value.and_then(|value| value.parse().ok()).expect("the metric")
    }
}

#[test]
fn a_line_is_dropped_only_where_it_would_have_been_written() {
    let refused = |narrow: &Narrow| narrow.line(Outcome::Denied, StatusCode::UNAUTHORIZED);
    let failed = |narrow: &Narrow| narrow.line(Outcome::Failed, StatusCode::SERVICE_UNAVAILABLE);
    for (level, of_refused, of_failed, dropped) in [
        (Level::ERROR, None, None, 0),
        (Level::WARN, None, None, 1),
        (Level::INFO, None, None, 2),
        (Level::DEBUG, Some(Level::DEBUG), Some(Level::DEBUG), 0),
    ] {
        let narrow = Narrow::at(level, 0);
        assert_eq!((refused(&narrow), failed(&narrow), narrow.dropped()), (of_refused, of_failed, dropped), "{level}");
        assert_eq!(narrow.line(Outcome::Failed, StatusCode::INTERNAL_SERVER_ERROR), Some(Level::ERROR), "always written");
    }
}

#[test]
fn a_flood_of_refusals_does_not_hide_what_fails() {
    for level in [Level::WARN, Level::INFO] {
        let narrow = Narrow::at(level, 1);
        for _ in 0..200 {
            narrow.line(Outcome::Denied, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(narrow.line(Outcome::Failed, StatusCode::SERVICE_UNAVAILABLE), Some(Level::WARN), "{level}");
        assert!(level == Level::INFO || narrow.dropped() == 0, "nothing was to be written: {}", narrow.dropped());
    }
}
