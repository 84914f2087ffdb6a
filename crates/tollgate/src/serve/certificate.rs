//! The certificate of the listeners: read at the start, and anew when its files change.
//!
//! Whatever is wrong with a new pair, the old one stays and somebody is told. A pair that is half
//! written, or whose second file comes later than the first, is a pair that does not match until it does.

use std::{
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    fs::File,
    io::AsyncReadExt as _,
    time::{MissedTickBehavior, interval, timeout},
};
use tollgate_gate::{Clock as _, SystemClock};
use tollgate_http::{Certificate, CertificateAndKey};
use tollgate_settings::Settings;
use tollgate_telemetry::{CertificateFate, Metrics};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};

/// No certificate with its chain is longer; what is longer is another file.
const BYTES_MAX: u64 = 256 * 1024;
/// A disk that does not answer must not end the watch.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What listeners show, and where it comes from.
#[derive(Debug)]
pub(crate) struct WatchedCertificate {
    shown: Certificate,
    not_after_s: u64,
    files: Files,
    seen: u64,
    hasher: RandomState,
    interval: Duration,
}

#[derive(Debug)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

/// Both files as they are, or what keeps them from being read.
type Found = Result<(Vec<u8>, Zeroizing<Vec<u8>>), String>;

impl WatchedCertificate {
    /// The certificate of the settings, where they name one. One that has expired is shown: whoever
    /// looks refuses it, and whoever does not look goes on.
    pub(crate) async fn read(settings: &Settings) -> Result<Option<Self>, Failure> {
        let (Some(chain), Some(key)) = (settings.tls.cert_file.clone(), settings.tls.key_file.clone()) else { return Ok(None) };
        let files = Files { chain, key };
        let (found, hasher) = (files.read().await, RandomState::new());
        let seen = digest(&hasher, &found);
        let pair = usable(found).map_err(|what| invalid(&what))?;
        let not_after_s = pair.not_after_s();
        if is_over(not_after_s) {
            tracing::warn!("the certificate of tls.cert_file has expired: clients will not connect");
        }
        let shown = Certificate::new(pair).map_err(|error| invalid(&error.to_string()))?;
        Ok(Some(Self { shown, not_after_s, files, seen, hasher, interval: settings.tls.reload_interval.get() }))
    }

    /// For a listener to show.
    pub(super) fn shown(&self) -> Certificate {
        self.shown.clone()
    }

    /// Looks at the files for ever.
    pub(super) async fn watch(mut self, metrics: Metrics) {
        metrics.certificate_not_after(self.not_after_s);
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let found = self.files.read().await;
            let seen = digest(&self.hasher, &found);
            if seen != self.seen {
                self.seen = seen;
                self.take(found, &metrics);
            }
        }
    }

    fn take(&mut self, found: Found, metrics: &Metrics) {
        let next = usable(found).and_then(|pair| {
            let is_over = is_over(pair.not_after_s());
            if is_over { Err("tls.cert_file: the certificate has expired".to_owned()) } else { Ok(pair) }
        });
        match next {
            Ok(pair) => {
                metrics.certificate_reload(CertificateFate::Taken);
                metrics.certificate_not_after(pair.not_after_s());
                self.shown.replace(pair);
                tracing::info!("the new certificate of tls.cert_file is shown from now on");
            }
            Err(why) => {
                metrics.certificate_reload(CertificateFate::Refused);
                tracing::warn!(%why, "the new certificate cannot be used: the one before it stays");
            }
        }
    }
}

impl Files {
    async fn read(&self) -> Found {
        let both = async {
            let chain = read("tls.cert_file", &self.chain).await?;
            Ok((chain.to_vec(), read("tls.key_file", &self.key).await?))
        };
        timeout(READ_TIMEOUT, both).await.unwrap_or_else(|_| Err("tls.cert_file and tls.key_file cannot be read in time".to_owned()))
    }
}

/// Tells what was found from what was found before, without keeping it.
fn digest(hasher: &RandomState, found: &Found) -> u64 {
    hasher.hash_one(found.as_ref().map(|(chain, key)| (chain, key.as_slice())))
}

async fn read(setting: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = async { File::open(path).await?.take(BYTES_MAX + 1).read_to_end(&mut bytes).await };
    let length = read.await.map_err(|error| format!("{setting}: cannot read {}: {error}", path.display()))?;
    let fits = u64::try_from(length).is_ok_and(|length| length <= BYTES_MAX);
    if fits { Ok(bytes) } else { Err(format!("{setting}: {} is longer than {} KiB", path.display(), BYTES_MAX / 1024)) }
}

fn usable(found: Found) -> Result<CertificateAndKey, String> {
    let (chain, key) = found?;
    CertificateAndKey::from_pem(&chain, &key).map_err(|error| format!("tls.cert_file, tls.key_file: {error}"))
}

fn is_over(not_after_s: u64) -> bool {
    SystemClock.unix_ms() / 1000 > not_after_s
}

fn invalid(what: &str) -> Failure {
    Failure::new(Exit::Settings, format!("invalid settings: {what}"), "mend the file or the setting and try again")
}
