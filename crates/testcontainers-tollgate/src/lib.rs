//! Tollgate as a container, for the tests of an application that asks it.
//!
//! One node of mode `embedded`, which needs no Redis and no Postgres, with an admin key that nobody else has. It
//! is gone with its value.
//!
//! ```no_run
//! # async fn test() -> Result<(), testcontainers_tollgate::StartError> {
//! use testcontainers_tollgate::Tollgate;
//!
//! let tollgate = Tollgate::default().start().await?;
//! println!("{} takes requests", tollgate.url());
//! // Keys are made over HTTP, with this one: POST /v1/keys.
//! let admin = tollgate.admin_key();
//! # Ok(()) }
//! ```
//!
//! The image is `tollgate:latest`, which `docker build -t tollgate .` in Tollgate's repository makes;
//! [`Tollgate::of_image`] names another one. [`RunningTollgate::of`] takes a container that was started with
//! whatever else testcontainers can set.
//!
//! Hashes are cheap there and addresses may fail as often as they like, so that tests are quick; limits, keys and
//! answers are those of any node. [`Tollgate::with_setting`] sets whatever the settings of a node have. A
//! test of what happens when limits refill needs no waiting: make a key with another limit.
//!
//! The example `orders` is an application with its test.

mod running;

use std::{borrow::Cow, collections::BTreeMap};

use testcontainers::{
    Image, TestcontainersError,
    core::{ContainerPort, WaitFor},
    runners::AsyncRunner,
};

pub use running::RunningTollgate;
pub use testcontainers;

/// The image where no other is named.
const IMAGE: (&str, &str) = ("tollgate", "latest");
/// Where a node takes requests within its container.
const PORT: ContainerPort = ContainerPort::Tcp(8080);
/// The end of what a node prints at its first start, after its admin key.
const WELCOMED: &str = "bootstrap --force";
/// What a node in a test's container is to do otherwise.
const FOR_TESTS: [(&str, &str); 6] = [
    ("allow_plaintext", "true"),
    ("argon2.memory_kib", "64"),
    ("argon2.iterations", "1"),
    ("preauth.address.burst", "1000000000"),
    ("preauth.key_text.burst", "1000000000"),
    ("shutdown.drain_delay", "0s"),
];

/// A node of mode `embedded` that is to be started.
#[derive(Debug, Clone)]
pub struct Tollgate {
    name: String,
    tag: String,
    environment: BTreeMap<String, String>,
}

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No engine, no such image, or the node did not come up.
    #[error("no Tollgate in a container: {0}")]
    Container(#[from] TestcontainersError),
    /// It runs and has not printed what it should.
    #[error("the container has printed no admin key: is its image Tollgate's?")]
    NoKey,
}

impl Default for Tollgate {
    /// Of the image `tollgate:latest`.
    fn default() -> Self {
        Self::of_image(IMAGE.0, IMAGE.1)
    }
}

impl Tollgate {
    /// Of another image, such as one in a registry of your own, or another version.
    pub fn of_image(name: impl Into<String>, tag: impl Into<String>) -> Self {
        let plain = Self { name: name.into(), tag: tag.into(), environment: BTreeMap::new() };
        FOR_TESTS.iter().fold(plain, |tollgate, (setting, value)| tollgate.with_setting(setting, *value))
    }

    /// With a setting by its name in the settings file, such as `cache.age_max`; the last of a name counts. A node
    /// refuses to start with one that is not there.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: impl Into<String>) -> Self {
        let variable = format!("TOLLGATE_{}", name.to_ascii_uppercase().replace('.', "__"));
        self.environment.insert(variable, value.into());
        self
    }

    /// Starts it and waits until it takes requests.
    pub async fn start(self) -> Result<RunningTollgate, StartError> {
        RunningTollgate::of(AsyncRunner::start(self).await?).await
    }
}

impl Image for Tollgate {
    fn name(&self) -> &str {
        &self.name
    }

    fn tag(&self) -> &str {
        &self.tag
    }

    fn ready_conditions(&self) -> Vec<WaitFor> {
        vec![WaitFor::message_on_stdout(WELCOMED)]
    }

    fn env_vars(&self) -> impl IntoIterator<Item = (impl Into<Cow<'_, str>>, impl Into<Cow<'_, str>>)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn expose_ports(&self) -> &[ContainerPort] {
        &[PORT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_variables_and_the_last_of_a_name_counts() {
        let tollgate =
            Tollgate::of_image("registry.example/tollgate", "1").with_setting("cache.age_max", "1s").with_setting("argon2.memory_kib", "8");
        assert_eq!((Image::name(&tollgate), Image::tag(&tollgate)), ("registry.example/tollgate", "1"));
        let variable = |name: &str| tollgate.environment.get(name).map(String::as_str);
        assert_eq!(variable("TOLLGATE_CACHE__AGE_MAX"), Some("1s"));
        assert_eq!(variable("TOLLGATE_ARGON2__MEMORY_KIB"), Some("8"));
        assert_eq!(variable("TOLLGATE_ALLOW_PLAINTEXT"), Some("true"));
    }
}
