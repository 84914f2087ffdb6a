//! Where the URL of a store or of a collector leads, and whether the way there is encrypted.

use super::SecretUrl;
use std::{borrow::Cow, net::IpAddr};
use url::Url;

/// What matters about a store's URL: whether secrets could be read on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// TLS, a Unix socket, or this very machine.
    Private,
    /// Another host without TLS.
    Plain,
    /// Another host over TLS, and nobody looks whose certificate it shows.
    Unverified,
}

const REDIS_PLAIN: [&str; 6] = ["redis", "redis-cluster", "redis-sentinel", "valkey", "valkey-cluster", "valkey-sentinel"];
const REDIS_TLS: [&str; 6] = ["rediss", "rediss-cluster", "rediss-sentinel", "valkeys", "valkeys-cluster", "valkeys-sentinel"];
/// Not `sentinelUsername` and `sentinelPassword`: sentinels are logged in to as Redis is, and these would do nothing.
const REDIS_PARAMETERS: [&str; 2] = ["node", "sentinelServiceName"];

/// What the driver understands. It logs the value of any other, so none may reach it.
const POSTGRES_PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Whether a Redis URL asks for TLS.
pub(crate) fn is_redis_over_tls(url: &SecretUrl) -> bool {
    url.expose().split_once("://").is_some_and(|(scheme, _)| REDIS_TLS.contains(&scheme.to_ascii_lowercase().as_str()))
}

/// Reads a Redis URL; the error says what is wrong without repeating any of it.
pub(crate) fn redis_endpoint(url: &SecretUrl) -> Result<Endpoint, String> {
    let url = parsed(url, "redis://user:password@host:6379/0")?;
    let tls = REDIS_TLS.contains(&url.scheme());
    if !tls && !REDIS_PLAIN.contains(&url.scheme()) {
        return Err("must begin with redis://, redis-cluster:// or redis-sentinel://, or rediss in their place for TLS".into());
    }
    known_parameters(&url, &REDIS_PARAMETERS)?;
    let nodes = url.query_pairs().filter(|(name, _)| name == "node");
    // host:port, where the host may be an IPv6 address in brackets
    let others = nodes.map(|(_, node)| Cow::Owned(node.rsplit_once(':').map_or(&*node, |(host, _)| host).to_owned()));
    endpoint(&url, others.collect(), if tls { Endpoint::Private } else { Endpoint::Plain })
}

/// Reads a Postgres URL; the error says what is wrong without repeating any of it.
pub(crate) fn postgres_endpoint(url: &SecretUrl) -> Result<Endpoint, String> {
    let url = parsed(url, "postgres://user:password@host:5432/database")?;
    if !["postgres", "postgresql"].contains(&url.scheme()) {
        return Err("must begin with postgres:// or postgresql://".into());
    }
    known_parameters(&url, &POSTGRES_PARAMETERS)?;
    let modes: Vec<_> = url.query_pairs().filter(|(name, _)| name == "sslmode" || name == "ssl-mode").map(|(_, mode)| mode).collect();
    let all = |known: &[&str]| !modes.is_empty() && modes.iter().all(|mode| known.contains(&&**mode));
    let far = match (all(&["verify-full"]), all(&["require", "verify-ca", "verify-full"])) {
        (true, _) => Endpoint::Private,
        (false, true) => Endpoint::Unverified,
        (false, false) => Endpoint::Plain,
    };
    let others = url.query_pairs().filter(|(name, _)| name == "host" || name == "hostaddr").map(|(_, host)| host);
    endpoint(&url, others.collect(), far)
}

/// Reads the URL of an HTTP service; the error says what is wrong without repeating any of it.
pub(crate) fn http_endpoint(url: &SecretUrl) -> Result<Endpoint, String> {
    let url = parsed(url, "http://127.0.0.1:4318")?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("must begin with http:// or https://".into());
    }
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !bare {
        return Err("must have neither user, password, query nor fragment".into());
    }
    endpoint(&url, Vec::new(), if url.scheme() == "https" { Endpoint::Private } else { Endpoint::Plain })
}

fn parsed(url: &SecretUrl, example: &str) -> Result<Url, String> {
    let parsed = Url::parse(url.expose()).ok().filter(|parsed| !parsed.cannot_be_a_base() && url.expose().contains("://"));
    parsed.ok_or_else(|| format!("must be a URL such as {example} (percent-encode special characters in the password)"))
}

fn known_parameters(url: &Url, known: &[&str]) -> Result<(), String> {
    match url.query_pairs().find(|(name, _)| !known.contains(&&**name)) {
        Some(_) => Err(format!("has a parameter that is none of {}", known.join(", "))),
        None => Ok(()),
    }
}

/// What the way is: private where every host that the URL names is this machine, else as `far` has it.
fn endpoint<'a>(url: &'a Url, mut hosts: Vec<Cow<'a, str>>, far: Endpoint) -> Result<Endpoint, String> {
    hosts.extend(url.host_str().filter(|host| !host.is_empty()).map(Cow::Borrowed));
    if hosts.is_empty() {
        // The driver would take it from its own environment variables, past these settings.
        return Err("names no host".into());
    }
    let near = hosts.iter().all(|host| is_loopback_or_socket(host));
    Ok(if near { Endpoint::Private } else { far })
}

fn is_loopback_or_socket(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let socket = host.starts_with('/') || host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"));
    socket || bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_is_private_by_tls_or_on_this_machine() {
        for (url, expected) in [
            ("redis://localhost", Endpoint::Private),
            ("redis://user:pw@127.0.0.1:6379/0", Endpoint::Private),
            ("redis://[::1]:6379", Endpoint::Private),
            ("rediss://redis.example:6379", Endpoint::Private),
            ("REDISS://redis.example:6379", Endpoint::Private),
            ("rediss-cluster://redis.example:6379?node=b.example:2", Endpoint::Private),
            ("redis-cluster://127.0.0.1:7000?node=127.0.0.1:7001&node=[::1]:7002", Endpoint::Private),
            ("redis://redis.example", Endpoint::Plain),
            ("redis://10.0.0.1", Endpoint::Plain),
            ("redis://localhost.example", Endpoint::Plain),
            ("redis-cluster://127.0.0.1:7000?node=10.0.0.1:7001", Endpoint::Plain),
        ] {
            assert_eq!(redis_endpoint(&SecretUrl::new(url)), Ok(expected), "{url}");
        }
    }

    #[test]
    fn postgres_is_private_by_tls_by_socket_or_on_this_machine() {
        for (url, expected) in [
            ("postgres://u:p@localhost/db", Endpoint::Private),
            ("postgres:///db?host=/run/postgresql", Endpoint::Private),
            ("postgres://%2Frun%2Fpostgresql/db", Endpoint::Private),
            ("postgres://localhost/db?sslmode=require", Endpoint::Private),
            ("postgresql://pg.example/db?sslmode=require", Endpoint::Unverified),
            ("postgresql://pg.example/db?sslmode=verify-ca", Endpoint::Unverified),
            ("postgresql://pg.example/db?sslmode=verify-full&ssl-mode=require", Endpoint::Unverified),
            ("postgres://pg.example/db?ssl-mode=verify-full", Endpoint::Private),
            ("postgres://pg.example/db", Endpoint::Plain),
            ("postgres://pg.example/db?sslmode=prefer", Endpoint::Plain),
            ("postgres://pg.example/db?sslmode=require&sslmode=disable", Endpoint::Plain),
            ("postgres://localhost/db?host=pg.example", Endpoint::Plain),
            ("postgres://localhost/db?hostaddr=10.0.0.1", Endpoint::Plain),
        ] {
            assert_eq!(postgres_endpoint(&SecretUrl::new(url)), Ok(expected), "{url}");
        }
    }

    #[test]
    fn a_collector_is_private_by_tls_or_on_this_machine() {
        for (url, expected) in [
            ("http://127.0.0.1:4318", Endpoint::Private),
            ("http://localhost:4318/base/", Endpoint::Private),
            ("http://[::1]:4318", Endpoint::Private),
            ("https://otel.example", Endpoint::Private),
            ("http://otel.example:4318", Endpoint::Plain),
            ("http://10.0.0.1:4318", Endpoint::Plain),
        ] {
            assert_eq!(http_endpoint(&SecretUrl::new(url)), Ok(expected), "{url}");
        }
        for bad in ["otel.example:4318", "grpc://otel.example:4317", "http://", "https://h?x=1", "https://h#x"] {
            assert!(http_endpoint(&SecretUrl::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_repeat_nothing_of_the_url() {
        for url in [
            "hunter2",
            "http://u:hunter2@host",
            "redis:hunter2",
            "redis://u:hunter2@",
            "redis://h?hunter2=hunter2",
            "postgres:///hunter2",
            "://hunter2",
            "redis-sentinel://h?sentinelServiceName=m&sentinelPassword=hunter2",
            "http://hunter2@h",
            "http://h/?hunter2",
        ] {
            for read in [redis_endpoint, postgres_endpoint, http_endpoint] {
                let error = read(&SecretUrl::new(url)).unwrap_err();
                assert!(!error.contains("hunter2"), "{url}: {error}");
            }
        }
    }
}
