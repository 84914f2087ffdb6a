//! The two listeners of a node: requests, and metrics.

use std::{io, net::SocketAddr};

use tollgate_http::{Server, ServerOptions};
use tollgate_settings::Settings;

use super::certificate::WatchedCertificate;
use crate::exit::Failure;

/// Connections of the metrics listener at most: a few scrapers.
const METRICS_CONNECTIONS_MAX: usize = 64;

/// Both, bound.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) requests: Server,
    pub(super) metrics: Server,
    /// What they show, where they speak TLS.
    pub(super) certificate: Option<WatchedCertificate>,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings, certificate: Option<WatchedCertificate>) -> Result<Self, Failure> {
        let options = options(settings);
        let metrics = ServerOptions { connections_max: METRICS_CONNECTIONS_MAX, ..options.clone() };
        let shown = certificate.as_ref().map(WatchedCertificate::shown);
        let for_metrics = shown.clone().filter(|_| settings.tls.is_on_for_metrics());
        Ok(Self {
            requests: bind("listen", settings.listen, options).await?.with_certificate(shown),
            metrics: bind("metrics_listen", settings.metrics_listen, metrics).await?.with_certificate(for_metrics),
            certificate,
        })
    }

    /// The addresses that they really have.
    pub(super) fn addresses(&self) -> Result<(SocketAddr, SocketAddr), Failure> {
        let lost = |error: io::Error| Failure::other(format!("a listener has no address: {error}"), "try again");
        Ok((self.requests.local_addr().map_err(lost)?, self.metrics.local_addr().map_err(lost)?))
    }
}

async fn bind(setting: &str, address: SocketAddr, options: ServerOptions) -> Result<Server, Failure> {
    Server::bind(address, options).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "stop what uses that port, or choose another",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose another",
            _ => "choose an address of this machine",
        };
        Failure::other(format!("cannot listen on {address} ({setting}): {error}"), format!("{remedy}: --{}", setting.replace('_', "-")))
    })
}

fn options(settings: &Settings) -> ServerOptions {
    let http = &settings.http;
    ServerOptions {
        header_timeout: http.header_timeout.get(),
        first_byte_timeout: http.first_byte_timeout.get(),
        keep_alive_timeout: http.keep_alive_timeout.get(),
        header_bytes_max: http.header_bytes_max.as_len(),
        connections_max: http.connections_max,
        streams_max: http.streams_max,
        stop_grace: settings.shutdown.grace.get(),
    }
}
