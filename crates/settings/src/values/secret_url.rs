//! URLs of stores, which hold passwords.

use std::fmt;
use url::Url;

/// The URL of a store. `Debug` and `Display` never show its password; [`SecretUrl::expose`] does.
///
/// Empty where it is not set, which it always is in mode `cluster`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretUrl(String);

/// Query parameters that are no secret. Everything else is shown as `***`.
const HARMLESS_PARAMETERS: [&str; 11] =
    ["sslmode", "ssl-mode", "sslrootcert", "host", "hostaddr", "port", "user", "dbname", "application_name", "node", "sentinelServiceName"];

impl SecretUrl {
    /// Takes the text as it is; whether it is a URL that the store understands is checked when
    /// settings are loaded.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole text, password included: for the store's client alone.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    /// The URL with `***` for the password and for each query value that may be one. A text that
    /// cannot be taken apart is `***` as a whole.
    pub fn redacted(&self) -> String {
        if self.is_unset() {
            return String::new();
        }
        Url::parse(&self.0).ok().and_then(redact).unwrap_or_else(|| "***".into())
    }
}

/// `None` where it cannot be told what the password is: in a URL without a host, and where an at
/// sign comes late (a password with `/`, `?` or `#` that was not percent-encoded ends there, and
/// its beginning looks like a port).
fn redact(mut url: Url) -> Option<String> {
    let late = [Some(url.path()), url.query(), url.fragment()].into_iter().flatten().any(|part| part.contains('@'));
    if url.cannot_be_a_base() || late {
        return None;
    }
    if url.password().is_some() {
        url.set_password(Some("***")).ok()?;
    }
    url.set_fragment(None);
    let Some(query) = url.query().map(redacted_query) else {
        return Some(url.into());
    };
    url.set_query(None);
    Some(format!("{url}?{query}"))
}

fn redacted_query(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if HARMLESS_PARAMETERS.contains(&name) => pair.to_owned(),
        Some((name, _)) => format!("{name}=***"),
        None => "***".to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({})", self.redacted())
    }
}

impl<'de> serde::Deserialize<'de> for SecretUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_all_but_the_password() {
        for (given, shown) in [
            ("redis://user:hunter2@host:6379/1", "redis://user:***@host:6379/1"),
            ("redis://:hunter2@host", "redis://:***@host"),
            ("rediss-cluster://u:hunter2@a:1?node=b:2", "rediss-cluster://u:***@a:1?node=b:2"),
            (
                "redis-sentinel://a:1?sentinelServiceName=m&sentinelPassword=hunter2",
                "redis-sentinel://a:1?sentinelServiceName=m&sentinelPassword=***",
            ),
            ("postgres://u:hunter2@h/db?sslmode=require&password=hunter2", "postgres://u:***@h/db?sslmode=require&password=***"),
            ("postgres://u:hunter2@h/db?hunter2", "postgres://u:***@h/db?***"),
            ("postgres://u:hun%3Ater2@h/db#hunter2", "postgres://u:***@h/db"),
            ("postgres:///db?host=/run/postgresql", "postgres:///db?host=/run/postgresql"),
            ("redis://host:6379", "redis://host:6379"),
            ("", ""),
        ] {
            let url = SecretUrl::new(given);
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.expose(), given);
            assert!(!format!("{url:?}").contains("hunter2"), "{given}");
        }
    }

    #[test]
    fn shows_nothing_of_what_it_cannot_take_apart() {
        for text in [
            "hunter2",
            "redis:user:hunter2@host",
            "redis://user:hunter2@",
            "//user:hunter2@host",
            "user:hunter2@host",
            "redis:/u:hunter2@h",
        ] {
            assert!(!format!("{0} {0:?}", SecretUrl::new(text)).contains("hunter2"), "{text}");
        }
    }
}
