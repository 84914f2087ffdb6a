//! The certificate of the listeners.

use crate::{
    TimeSpan,
    load::Check,
    values::{Bound, path, time},
};
use std::path::PathBuf;

/// Settings `tls.*`: both files or none.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate and what leads to its root, PEM.
    #[serde(deserialize_with = "path")]
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(deserialize_with = "path")]
    pub key_file: Option<PathBuf>,
    /// Whether `metrics_listen` shows the certificate too; without it `/metrics` is plain HTTP.
    pub metrics: bool,
    /// From one look at the files to the next.
    pub reload_interval: TimeSpan,
}

pub(super) const BOUNDS: &[Bound] = &[time("tls.reload_interval", TimeSpan::millis(100), TimeSpan::secs(3_600))];

impl TlsSettings {
    /// Whether `listen` speaks TLS.
    pub fn is_on(&self) -> bool {
        self.cert_file.is_some() && self.key_file.is_some()
    }

    /// Whether `metrics_listen` does.
    pub fn is_on_for_metrics(&self) -> bool {
        self.is_on() && self.metrics
    }

    /// One without the other is a listener that the operator believes to be encrypted.
    pub(crate) fn validate(&self, check: &mut Check<'_>) {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => check.refuse("tls.cert_file", "needs tls.key_file as well"),
            (None, Some(_)) => check.refuse("tls.key_file", "needs tls.cert_file as well"),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}
