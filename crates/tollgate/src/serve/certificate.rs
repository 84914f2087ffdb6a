//! The certificate of the listeners: read at the start, and anew when its files change.
//!
//! Whatever is wrong with a new pair, the old one stays and somebody is told. A pair that is half
//! written, or whose second file comes later than the first, is a pair that does not match until it does.

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::Read as _,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tollgate_gate::{Clock as _, SystemClock};
use tollgate_http::{Certificate, CertificateAndKey};
use tollgate_settings::Settings;
use tollgate_telemetry::{CertificateFate, Metrics};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure};

/// No certificate with its chain is longer; what is longer is another file.
const BYTES_MAX: usize = 256 * 1024;
/// A disk that does not answer must not end the watch.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What listeners show, and where it comes from.
#[derive(Debug)]
pub(crate) struct WatchedCertificate {
    shown: Certificate,
    not_after_s: u64,
    files: Arc<Files>,
    /// What the files held that made what is shown.
    taken: u64,
    refused: Refused,
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
        let files = Arc::new(Files { chain, key });
        let found = timeout(READ_TIMEOUT, Arc::clone(&files).read()).await.unwrap_or_else(|_| too_late());
        let hasher = RandomState::new();
        let taken = digest(&hasher, &found);
        let pair = usable(found).map_err(|what| invalid(&what))?;
        let not_after_s = pair.not_after_s();
        if let Err(why) = is_good(&pair, now_s()) {
            tracing::warn!(%why, "clients will not connect");
        }
        let (shown, interval) = (Certificate::new(pair), settings.tls.reload_interval.get());
        Ok(Some(Self { shown, not_after_s, files, taken, refused: Refused::default(), hasher, interval }))
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
        let mut reading = pin!(Arc::clone(&self.files).read());
        loop {
            ticks.tick().await;
            // One that is late is waited for the next time too: each has a thread that hangs with its disk.
            let read = timeout(READ_TIMEOUT, reading.as_mut()).await;
            if read.is_ok() {
                reading.set(Arc::clone(&self.files).read());
            }
            let found = read.unwrap_or_else(|_| too_late());
            let seen = digest(&self.hasher, &found);
            if seen == self.taken {
                self.refused = Refused::default();
            } else {
                self.take(found, seen, &metrics);
            }
        }
    }

    fn take(&mut self, found: Found, seen: u64, metrics: &Metrics) {
        match usable(found).and_then(|pair| is_good(&pair, now_s()).map(|()| pair)) {
            Ok(pair) => {
                metrics.certificate_reload(CertificateFate::Taken);
                metrics.certificate_not_after(pair.not_after_s());
                self.shown.replace(pair);
                self.taken = seen;
                tracing::info!("the new certificate of tls.cert_file is shown from now on");
            }
            Err(why) if self.refused.is_to_be_told(seen) => {
                metrics.certificate_reload(CertificateFate::Refused);
                tracing::warn!(%why, "the new certificate cannot be used: the one before it stays");
            }
            Err(_) => {}
        }
    }
}

/// What was refused last, and whether that was told: once, and not before it was found twice, as two
/// files are seldom written at the same instant. It is looked at again all the same, since a certificate
/// that is not valid yet will be.
#[derive(Debug, Default)]
struct Refused(Option<(u64, bool)>);

impl Refused {
    fn is_to_be_told(&mut self, seen: u64) -> bool {
        let again = self.0.filter(|(before, _)| *before == seen);
        self.0 = Some((seen, again.is_some()));
        again.is_some_and(|(_, told)| !told)
    }
}

impl Files {
    async fn read(self: Arc<Self>) -> Found {
        let chain = read("tls.cert_file", &self.chain).await?;
        Ok((chain.to_vec(), read("tls.key_file", &self.key).await?))
    }
}

fn too_late() -> Found {
    Err("tls.cert_file and tls.key_file cannot be read in time".to_owned())
}

/// Tells what was found from what was found before, without keeping it.
fn digest(hasher: &RandomState, found: &Found) -> u64 {
    hasher.hash_one(found.as_ref().map(|(chain, key)| (chain, key.as_slice())))
}

async fn read(setting: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let from = path.to_owned();
    let read = tokio::task::spawn_blocking(move || bytes_of(&from)).await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let bytes = read.map_err(|error| format!("{setting}: cannot read {}: {error}", path.display()))?;
    if bytes.len() <= BYTES_MAX { Ok(bytes) } else { Err(format!("{setting}: {} is longer than {} KiB", path.display(), BYTES_MAX / 1024)) }
}

/// No more than is too much, read into one place: buffers that are given up keep what they held.
fn bytes_of(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 2));
    File::open(path)?.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn usable(found: Found) -> Result<CertificateAndKey, String> {
    let (chain, key) = found?;
    CertificateAndKey::from_pem(&chain, &key).map_err(|error| format!("tls.cert_file, tls.key_file: {error}"))
}

/// Whether its time has come and is not over.
fn is_good(pair: &CertificateAndKey, now_s: u64) -> Result<(), String> {
    match now_s {
        early if early < pair.not_before_s() => Err("tls.cert_file: the certificate is not valid yet".to_owned()),
        late if late > pair.not_after_s() => Err("tls.cert_file: the certificate has expired".to_owned()),
        _ => Ok(()),
    }
}

fn now_s() -> u64 {
    SystemClock.unix_ms() / 1000
}

fn invalid(what: &str) -> Failure {
    Failure::new(Exit::Settings, format!("invalid settings: {what}"), "mend the file or the setting and try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_told_once_and_not_at_first_sight() {
        let mut refused = Refused::default();
        let told = [1, 1, 1, 2, 1, 1, 1].map(|seen| refused.is_to_be_told(seen));
        assert_eq!(told, [false, true, false, false, false, true, false]);
    }
}
