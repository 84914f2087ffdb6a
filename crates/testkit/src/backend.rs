//! Where Redis and Postgres come from.

use anyhow::Result;

use crate::process::find_program;

/// Local binaries or containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `redis-server` and `postgres` of this machine.
    Local,
    /// Images, on the network of the host; the engine must be on this machine.
    Containers,
}

impl Backend {
    /// What `TOLLGATE_TEST_BACKEND` says, which `tests/run` sets; unset, what is installed.
    pub fn chosen() -> Result<Self> {
        match std::env::var("TOLLGATE_TEST_BACKEND").ok().filter(|value| !value.is_empty()) {
            Some(value) => Self::named(&value),
            None if find_program("redis-server").is_ok() && find_program("postgres").is_ok() => Ok(Self::Local),
            None => Ok(Self::Containers),
        }
    }

    fn named(value: &str) -> Result<Self> {
        match value {
            "local" => Ok(Self::Local),
            "containers" => Ok(Self::Containers),
            other => anyhow::bail!("TOLLGATE_TEST_BACKEND is containers or local, not {other:?}"),
        }
    }
}

/// The image of Redis: `REDIS_IMAGE`, else `redis:7`.
pub(crate) fn redis_image() -> String {
    std::env::var("REDIS_IMAGE").unwrap_or_else(|_| "redis:7".into())
}

/// The image of Postgres: `POSTGRES_IMAGE`, else `postgres:15`.
pub(crate) fn postgres_image() -> String {
    std::env::var("POSTGRES_IMAGE").unwrap_or_else(|_| "postgres:15".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_names_are_taken() {
        assert_eq!(Backend::named("local").unwrap(), Backend::Local);
        assert_eq!(Backend::named("containers").unwrap(), Backend::Containers);
        assert!(Backend::named("Local").is_err());
    }
}
