use super::*;
use std::sync::{Arc, Mutex};

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged while `act` runs.
pub(crate) fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
    let memory = Memory::default();
    let writer = memory.clone();
    tracing::subscriber::with_default(subscriber(format, filter, false, move || writer.clone()).unwrap(), act);
    memory.text()
}

#[test]
fn json_is_one_object_per_line() {
    let log = logged(LogFormat::Json, "info", || {
        let _entered = tracing::info_span!("request", request_id = "r-1").entered();
        tracing::info!(status = 200, "answered\nwith two lines");
        tracing::warn!("second");
    });
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines.iter().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    assert!(lines[0].contains("\"request_id\":\"r-1\"") && lines[0].contains("\"status\":200"), "{log}");
}

#[test]
fn pretty_is_one_line_each_without_colours_off_a_terminal() {
    let log = logged(LogFormat::Pretty, "info", || tracing::info!(status = 200, "answered"));
    assert_eq!(log.lines().count(), 1);
    assert!(log.contains("INFO") && log.contains("answered status=200") && !log.contains('\u{1b}'), "{log}");
}

#[test]
fn the_filter_filters() {
    let speak = || {
        tracing::debug!("quiet");
        tracing::debug!(target: "tollgate_redis", "chosen");
        tracing::error!("loud");
    };
    let log = logged(LogFormat::Pretty, "warn,tollgate_redis=debug", speak);
    assert!(!log.contains("quiet") && log.contains("chosen") && log.contains("loud"), "{log}");
    assert_eq!(logged(LogFormat::Json, "off", speak), "");
}

#[test]
fn a_filter_that_is_none_is_an_error() {
    for filter in ["tollgate=loud", "a=b=c", "[unclosed"] {
        assert!(subscriber(LogFormat::Json, filter, false, io::sink).is_err(), "{filter}");
    }
}

#[test]
fn credentials_do_not_reach_the_log() {
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let log = logged(format, "trace", || {
            let _entered = tracing::info_span!("request", key = "tk_01:tks_hunter2").entered();
            tracing::error!(url = "redis://u:hunter2@h", "failed for Bearer tk_01:hunter2hunter2");
            tracing::trace!("{:?}", "tku_hunter2");
        });
        assert!(log.contains("***") && !log.contains("hunter2"), "{log}");
    }
}
