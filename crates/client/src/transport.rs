//! Connections: one pool for all calls of a client.

use std::error::Error as _;

use reqwest::{Certificate, redirect};

use crate::{ClientOptions, ClientSetupError, ErrorKind, nodes::Nodes};

/// Follows no redirect, which would carry the credential to somebody else, and uses no proxy.
pub(crate) fn transport(nodes: &Nodes, options: &ClientOptions) -> Result<reqwest::Client, ClientSetupError> {
    // Fails where the process has a provider already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(options.idle_connections_max)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
    if nodes.all().iter().all(|base| base.scheme() == "http") {
        // Certificates are not looked for, so that a machine without any can speak plain text.
        builder = builder.tls_certs_only([]);
    }
    if let Some(pem) = &options.ca_pem {
        let tls = |error: reqwest::Error| ClientSetupError::Tls(whole(&error));
        let authorities = Certificate::from_pem_bundle(pem).map_err(tls)?;
        builder = builder.tls_certs_merge(authorities);
    }
    builder.build().map_err(|error| ClientSetupError::Tls(whole(&error)))
}

/// What became of a call whose answer is not here.
pub(crate) fn told(error: reqwest::Error) -> ErrorKind {
    if error.is_connect() {
        ErrorKind::Unreachable(whole(&error.without_url()))
    } else if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Broken(whole(&error.without_url()))
    }
}

/// An error and all that led to it: the outermost alone says little.
fn whole(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
