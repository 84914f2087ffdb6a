//! The way to Redis over TLS, and who may vouch for Redis.
//!
//! A name is always checked, and so is whoever signed for it: nothing here turns that off. The
//! file of authorities is read anew for every connection, so that it can be replaced while a node runs.

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use fred::{
    error::ErrorKind,
    types::config::{Config, TlsConnector},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::{Options, OptionsError, failure::worded, plain};

/// No list of authorities is longer: that of all public ones has a quarter of this.
const BYTES_MAX: u64 = 1024 * 1024;

/// What the last certificate lacked, if it was refused: fred does not tell where sentinels showed it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastRefusal(Arc<Mutex<Option<Arc<str>>>>);

impl LastRefusal {
    /// What `error` comes from, in words.
    pub(crate) fn worded(&self, error: &fred::error::Error) -> String {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refused.filter(|_| *error.kind() == ErrorKind::Sentinel).map_or_else(|| worded(error), |why| why.to_string())
    }

    fn note<T>(&self, told: &Result<T, Error>) {
        let why = told.as_ref().err().map(|error| worded(&fred::error::Error::from(error.clone())).into());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// What fred is told of a URL: the servers, and whether and how TLS is spoken with them.
pub(crate) fn config(options: &Options) -> Result<(Config, LastRefusal), OptionsError> {
    let url = options.url.expose();
    let Some(path) = &options.ca_file else {
        let config = Config::from_url(url).map_err(|error| match error.kind() {
            ErrorKind::Tls => OptionsError::Url("this machine has no certificate authorities that can be read: set redis.ca_file"),
            _ => OptionsError::URL,
        });
        let config = if options.allow_plaintext { config? } else { plain::held_to_loopback(config?) };
        return Ok((config, LastRefusal::default()));
    };
    // With TLS in the URL fred reads the machine's authorities, which may have none.
    let plain = without_tls(url).ok_or(OptionsError::Url("redis.ca_file is set: it must begin with rediss"))?;
    let mut config = Config::from_url(&plain).map_err(|_| OptionsError::URL)?;
    let (client, refusal) = client_config(path)?;
    config.tls = Some(TlsConnector::from(client).into());
    Ok((config, refusal))
}

fn without_tls(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (server, kind) = scheme.split_once('-').map_or((scheme.as_str(), None), |(server, kind)| (server, Some(kind)));
    let plain = server.strip_suffix('s').filter(|plain| ["redis", "valkey"].contains(plain))?;
    Some(kind.map_or_else(|| format!("{plain}://{rest}"), |kind| format!("{plain}-{kind}://{rest}")))
}

fn client_config(path: &Path) -> Result<(ClientConfig, LastRefusal), OptionsError> {
    let authorities = Authorities::read(path).map_err(|what| OptionsError::Authorities(what.into()))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&authorities.provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|_| OptionsError::URL)?;
    let refusal = authorities.refusal.clone();
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(authorities);
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // Who resumes a session shows no certificate, and connections to Redis are few.
    config.resumption = Resumption::disabled();
    Ok((config, refusal))
}

/// Who may vouch for a server, as the file says that names them.
#[derive(Debug)]
struct Authorities {
    path: PathBuf,
    provider: Arc<CryptoProvider>,
    known: Mutex<Known>,
    hasher: RandomState,
    refusal: LastRefusal,
}

/// What was last read that was good, and the digest of what was last read.
#[derive(Debug)]
struct Known {
    seen: u64,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Authorities {
    fn read(path: &Path) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let (read, hasher) = (pem(path), RandomState::new());
        let known = Known { seen: hasher.hash_one(&read), verifier: verifier(&read?, &provider)? };
        Ok(Self { path: path.to_path_buf(), provider, known: Mutex::new(known), hasher, refusal: LastRefusal::default() })
    }

    /// By what the file says now; where that is of no use, by what it said before.
    fn current(&self) -> Arc<WebPkiServerVerifier> {
        let read = pem(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.hasher.hash_one(&read);
        if seen != known.seen {
            known.seen = seen;
            match read.and_then(|pem| verifier(&pem, &self.provider)) {
                Ok(verifier) => {
                    tracing::info!("redis.ca_file has changed and holds from now on");
                    known.verifier = verifier;
                }
                Err(what) => tracing::warn!("redis.ca_file {what}: what it said before still holds"),
            }
        }
        Arc::clone(&known.verifier)
    }
}

fn pem(path: &Path) -> Result<Vec<u8>, String> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut pem));
    let length = read.map_err(|error| format!("cannot be read: {}: {error}", path.display()))?;
    if u64::try_from(length).is_ok_and(|length| length <= BYTES_MAX) { Ok(pem) } else { Err("is longer than 1 MiB".to_owned()) }
}

fn verifier(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.map_err(|_| ()).and_then(|certificate| roots.add(certificate).map_err(|_| ()));
        added.map_err(|()| "has a certificate that cannot be read".to_owned())?;
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.build().map_err(|_| "has no certificate in PEM form".to_owned())
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let told = self.current().verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        self.refusal.note(&told);
        told
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_tls_and_nothing_else() {
        for (url, plain) in [
            ("rediss://u:p@h:1/0", Some("redis://u:p@h:1/0")),
            ("REDISS://h", Some("redis://h")),
            ("rediss-cluster://a:1?node=b:2", Some("redis-cluster://a:1?node=b:2")),
            ("valkeys-sentinel://a", Some("valkey-sentinel://a")),
            ("redis://h", None),
            ("redis-cluster://h", None),
            ("https://h", None),
            ("rediss", None),
        ] {
            assert_eq!(without_tls(url).as_deref(), plain, "{url}");
        }
    }

    #[test]
    fn a_file_without_authorities_is_refused() {
        let provider = Arc::new(ring::default_provider());
        for (pem, what) in [
            ("", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
            ("-----BEGIN CERTIFICATE-----\n", "cannot be read"),
        ] {
            let told = verifier(pem.as_bytes(), &provider).expect_err(pem);
            assert!(told.contains(what), "{told}");
        }
        assert!(pem(Path::new("/nonexistent/ca.pem")).expect_err("no file").contains("/nonexistent/ca.pem"));
    }
}
