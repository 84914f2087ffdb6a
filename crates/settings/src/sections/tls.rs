//! The certificate of the listener.

use crate::{load::Check, values::path};
use std::path::PathBuf;

/// Settings `tls.*`: both or none.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate and what leads to its root, PEM.
    #[serde(deserialize_with = "path")]
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(deserialize_with = "path")]
    pub key_file: Option<PathBuf>,
}

impl TlsSettings {
    /// Whether the listener speaks TLS.
    pub fn is_on(&self) -> bool {
        self.cert_file.is_some() && self.key_file.is_some()
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
