//! TLS on a listener: a certificate with its key, and another one while it serves.
//!
//! What was agreed with a client stays as it is; whoever connects next sees the new certificate, and
//! cannot take up an agreement that was made under the one before.
//! Versions before 1.2 are not spoken, and nothing is taken before the handshake is over.

mod validity;

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What is offered within TLS, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate that listeners show. Clones are the same one.
#[derive(Clone)]
pub struct Certificate(Arc<ArcSwap<ServerConfig>>);

/// A certificate, its key, and when it is good.
pub struct CertificateAndKey {
    /// Agreements that a client may take up again are remembered here, so they end with it.
    config: Arc<ServerConfig>,
    not_before_s: u64,
    not_after_s: u64,
}

/// Why there is no certificate to show. Says nothing of what a file holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No `BEGIN CERTIFICATE`, or one that is broken.
    #[error("the certificate file has no certificate in PEM form")]
    NoCertificate,
    /// No private key, or one that is broken.
    #[error("the key file has no private key in PEM form (PKCS #8, PKCS #1 or SEC 1, without a password)")]
    NoKey,
    /// Of a kind that cannot be used.
    #[error("the private key is of a kind that is not understood: use ECDSA P-256, P-384, Ed25519 or RSA of 2048 bits and more")]
    KeyKind,
    /// Each is good, but not for the other.
    #[error("the private key is not that of the certificate")]
    Mismatch,
    /// Not what a certificate looks like inside.
    #[error("the certificate cannot be read")]
    Unreadable,
}

impl CertificateAndKey {
    /// Reads a certificate with what leads to its root, and its key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(CertificateError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        let validity_s = chain.first().and_then(|leaf| validity::validity_s(leaf));
        let (not_before_s, not_after_s) = validity_s.ok_or(CertificateError::Unreadable)?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch,
            rustls::Error::InvalidCertificate(_) => CertificateError::Unreadable,
            _ => CertificateError::KeyKind,
        })?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|_| CertificateError::KeyKind)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(Self { config: Arc::new(config), not_before_s, not_after_s })
    }

    /// From when on it is good, in seconds since 1970.
    pub fn not_before_s(&self) -> u64 {
        self.not_before_s
    }

    /// Until when it is good, in seconds since 1970.
    pub fn not_after_s(&self) -> u64 {
        self.not_after_s
    }
}

impl Certificate {
    /// To be shown until it is replaced.
    pub fn new(first: CertificateAndKey) -> Self {
        Self(Arc::new(ArcSwap::new(first.config)))
    }

    /// Shows another one from now on.
    pub fn replace(&self, next: CertificateAndKey) {
        self.0.store(next.config);
    }

    /// Shakes hands, for so long at most. Whoever fails at it is answered by TLS itself.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, within: Duration) -> Option<TlsStream<S>> {
        match timeout(within, TlsAcceptor::from(self.0.load_full()).accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a client could not agree on TLS");
                None
            }
            Err(_) => None,
        }
    }
}

impl fmt::Debug for CertificateAndKey {
    /// Not the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAndKey")
            .field("not_before_s", &self.not_before_s)
            .field("not_after_s", &self.not_after_s)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Certificate {
    /// Not the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}
