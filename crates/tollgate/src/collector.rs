//! Where spans are sent: the collector that a node and its commands know by the same name.

use std::time::Duration;

use tollgate_client::Collector;
use tollgate_settings::Settings;

use crate::exit::{Exit, Failure};

/// The collector that the settings name, if they name one.
pub(crate) fn of_settings(settings: &Settings) -> Result<Option<Collector>, Failure> {
    let telemetry = &settings.telemetry;
    if telemetry.otlp_endpoint.is_unset() {
        return Ok(None);
    }
    at(telemetry.otlp_endpoint.expose(), telemetry.export_timeout.get()).map(Some)
}

/// The collector at this URL.
pub(crate) fn at(url: &str, timeout: Duration) -> Result<Collector, Failure> {
    Collector::new(url, timeout).map_err(|error| {
        let what = format!("invalid settings: telemetry.otlp_endpoint: {error}");
        Failure::new(Exit::Settings, what, "mend the setting and try again")
    })
}
