//! The admin key of an embedded node that starts for the first time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tollgate_gate::{Minted, ports::CreateGuard};
use tollgate_keys::ApiKey;
use tollgate_settings::{Mode, Settings};

use crate::{
    commands,
    exit::Failure,
    store::{Keys, Rules},
};

/// The key store, and what was made in it.
#[derive(Debug)]
pub(super) struct FirstKey {
    pub(super) keys: Keys,
    pub(super) minted: Option<Minted>,
}

/// Opens the key store, and makes an admin key where nothing was ever written to an embedded one.
/// A cluster's first key is the work of `tollgate bootstrap`.
pub(super) async fn make(settings: &Settings, rules: &Rules) -> Result<FirstKey, Failure> {
    let keys = Keys::open(settings)?;
    if settings.mode == Mode::Cluster {
        return Ok(FirstKey { keys, minted: None });
    }
    let port = keys.port();
    let is_new = port.head().await?.position == 0;
    let minted = if is_new { commands::mint_admin(&*port, rules, CreateGuard::NoAdminYet).await? } else { None };
    Ok(FirstKey { keys, minted })
}

/// What is printed once.
pub(super) fn welcome(address: SocketAddr, is_tls: bool, api_key: &ApiKey) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let (url, key) = (format!("{scheme}://{}", reachable(address)), api_key.expose());
    let key = key.as_str();
    format!(
        "Tollgate is running on {url} with a new admin key, which is shown this once:\n\n  {key}\n\nTry it:\n\n  \
         curl -i -H 'Authorization: Bearer {key}' {url}/v1/authorize\n\n\
         Keep the key. Where it is lost, stop the node and run `tollgate bootstrap --force`.\n"
    )
}

/// Where a listener on every address can be reached from here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_names_an_address_that_can_be_reached() {
        let api_key = ApiKey::parse("mine:secret").expect("an api key");
        for (address, url) in [
            ("127.0.0.1:81", "http://127.0.0.1:81"),
            ("0.0.0.0:81", "http://127.0.0.1:81"),
            ("[::]:81", "http://[::1]:81"),
            ("10.0.0.1:81", "http://10.0.0.1:81"),
            ("10.0.0.1:443", "https://10.0.0.1:443"),
        ] {
            let text = welcome(address.parse().expect("an address"), url.starts_with("https"), &api_key);
            assert!(text.contains(&format!("\n  curl -i -H 'Authorization: Bearer mine:secret' {url}/v1/authorize\n")), "{text}");
            assert!(text.contains("\n  mine:secret\n"), "{text}");
        }
    }
}
