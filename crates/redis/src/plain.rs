//! Who may be spoken to in plain text: this machine alone, unless the operator says that the network is trusted.
//!
//! The settings see to that for the servers that `redis.url` names. A sentinel or a member of a Cluster on this machine
//! may name others: what they name is asked about here, before a word is said to it. fred opens the connection first
//! (not that to a sentinel), but whoever is refused is told nothing on it, no password either.

use std::{fmt, net::IpAddr, pin::Pin, sync::Arc};

use fred::{
    error::{Error, ErrorKind},
    types::config::{Config, CredentialProvider, Server, ServerConfig},
};

/// What the refusal begins with.
pub(crate) const REFUSED: &str = "not spoken to in plain text: ";

type Credentials = (Option<String>, Option<String>);

/// Has fred speak to this machine alone, where nothing is encrypted and others may be named.
pub(crate) fn held_to_loopback(mut config: Config) -> Config {
    let names_others = !matches!(config.server, ServerConfig::Centralized { .. });
    if config.tls.is_none() && names_others {
        let login = (config.username.clone(), config.password.clone());
        config.credential_provider = Some(Arc::new(HereAlone { login }));
    }
    config
}

/// fred asks for the user and the password before it says anything on a connection, and hangs up where there are none
/// to be had.
struct HereAlone {
    login: Credentials,
}

impl HereAlone {
    fn login_for(&self, server: Option<&Server>) -> Result<Credentials, Error> {
        match server.filter(|server| !is_loopback(&server.host)) {
            None => Ok(self.login.clone()),
            Some(server) => Err(Error::new(
                ErrorKind::Auth,
                format!(
                    "{REFUSED}{server}, which a sentinel or a member of the Cluster names, is beyond loopback: \
                     let redis.url begin with rediss, or set allow_plaintext = true where the network is trusted"
                ),
            )),
        }
    }
}

impl CredentialProvider for HereAlone {
    // As `async_trait` writes it.
    fn fetch<'own, 'server, 'told>(
        &'own self,
        server: Option<&'server Server>,
    ) -> Pin<Box<dyn Future<Output = Result<Credentials, Error>> + Send + 'told>>
    where
        'own: 'told,
        'server: 'told,
        Self: 'told,
    {
        Box::pin(std::future::ready(self.login_for(server)))
    }
}

impl fmt::Debug for HereAlone {
    /// Not the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HereAlone").finish_non_exhaustive()
    }
}

/// By the same rule as the settings: no other name is looked up.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, host: &str) -> Option<String> {
        let config = held_to_loopback(Config::from_url(url).expect("a URL"));
        let provider = config.credential_provider?;
        assert!(!format!("{provider:?}").contains("hunter2"));
        let here = HereAlone { login: (config.username, config.password) };
        match here.login_for(Some(&Server::new(host, 6379))) {
            Ok(login) => {
                assert_eq!(login, (Some("u".to_owned()), Some("hunter2".to_owned())));
                None
            }
            Err(error) => Some(error.details().to_owned()),
        }
    }

    #[test]
    fn others_are_refused_whose_names_are_not_of_this_machine() {
        for url in ["redis-cluster://u:hunter2@127.0.0.1:1", "redis-sentinel://u:hunter2@localhost:1?sentinelServiceName=m"] {
            for host in ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1", "[::1]", "::ffff:127.0.0.1"] {
                assert_eq!(refusal(url, host), None, "{url} {host}");
            }
            for host in ["10.0.0.1", "0.0.0.0", "redis.example", "localhost.example", "127.0.0.1.example", "fd00::1", ""] {
                let told = refusal(url, host).expect(host);
                assert!(told.starts_with(REFUSED) && told.contains("rediss") && !told.contains("hunter2"), "{told}");
            }
        }
    }

    #[test]
    fn one_redis_is_the_one_that_the_url_names() {
        let config = held_to_loopback(Config::from_url("redis://u:hunter2@127.0.0.1:1").expect("a URL"));
        assert!(config.credential_provider.is_none());
    }
}
