//! A throwaway Redis.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;

use crate::container::ContainerLaunch;
use crate::process::{Launch, find_program};
use crate::{Backend, Port, RedisOptions, Scratch, Server, backend, eventually, unique};

const UP_WITHIN: Duration = Duration::from_secs(30);
/// Images know their own server by a file of settings. A sentinel writes to its own, which their user may not: it is
/// started as root is, past their entrypoint.
const SENTINEL: &str = "exec \"$(command -v redis-server || command -v valkey-server)\" \"$0\" --sentinel";
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// A Redis of its own, or the one that all tests share.
#[derive(Debug)]
pub struct TestRedis {
    server: Server,
    address: String,
    password: Option<String>,
    _port: Option<Port>,
    folder: Option<Scratch>,
}

impl TestRedis {
    /// The Redis that tests share which neither flush it nor stop it: keep to
    /// [`TestRedis::prefix`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<TestRedis> = OnceCell::const_new();
        SHARED
            .get_or_try_init(async || match std::env::var("TOLLGATE_TEST_REDIS_URL") {
                Ok(url) if !url.is_empty() => Self::foreign(&url),
                _ => Self::start().await,
            })
            .await
    }

    /// A Redis of its own, empty, that keeps nothing on disk.
    pub async fn start() -> Result<Self> {
        Self::with(RedisOptions::default()).await
    }

    /// A Redis of its own, set up by `options`.
    pub async fn with(options: RedisOptions) -> Result<Self> {
        let redis = Self::launched(&options).await?;
        redis.wait_until_up().await?;
        Ok(redis)
    }

    async fn launched(options: &RedisOptions) -> Result<Self> {
        let folder = Scratch::new("redis")?;
        let port = Port::take()?;
        let server = match Backend::chosen()? {
            Backend::Local => Server::local(local_launch(options, &port, folder.path())?)?,
            Backend::Containers => Server::container(container_launch(options, &port, folder.path())?).await?,
        };
        Ok(Self {
            server,
            address: port.address().to_string(),
            password: options.password.clone(),
            _port: Some(port),
            folder: Some(folder),
        })
    }

    fn foreign(url: &str) -> Result<Self> {
        let address = url.strip_prefix("redis://").context("TOLLGATE_TEST_REDIS_URL is redis://host:port")?;
        let address = address.trim_end_matches('/').to_owned();
        Ok(Self { server: Server::foreign(), address, password: None, _port: None, folder: None })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL, with the default user's password where there is one.
    pub fn url(&self) -> String {
        self.url_through(&self.address)
    }

    /// The URL of this Redis as reached through another address, such as a [`crate::Proxy`]'s.
    pub fn url_through(&self, address: impl std::fmt::Display) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@{address}/"),
            None => format!("redis://{address}/"),
        }
    }

    /// The URL for another user of the ACL file.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@{}/", self.address)
    }

    /// A key prefix that no other test has: letters and digits, ending in `:`.
    pub fn prefix(&self) -> String {
        unique("t") + ":"
    }

    /// Shows another certificate on its TLS port from now on.
    pub async fn show(&self, certificate: &crate::TestCertificate) -> Result<()> {
        let folder = self.folder.as_ref().context("a Redis of somebody else")?.path();
        let (chain, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        certificate.write_to(&chain, &key)?;
        // Read anew only where it is set anew.
        let (chain, key) = (chain.to_string_lossy(), key.to_string_lossy());
        self.command(&["config", "set", "tls-cert-file", &chain, "tls-key-file", &key]).await.map(drop)
    }

    /// A connection of another client library than the product's, as an independent witness.
    pub async fn connection(&self) -> Result<MultiplexedConnection> {
        // The library's own are half a second, which a busy machine takes to move a slot's keys.
        let patient =
            AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWERED_WITHIN)).set_response_timeout(Some(ANSWERED_WITHIN));
        Ok(redis::Client::open(self.url())?.get_multiplexed_async_connection_with_config(&patient).await?)
    }

    /// Sends one command, e.g. `["config", "set", "maxmemory", "3mb"]`.
    pub async fn command(&self, words: &[&str]) -> Result<redis::Value> {
        let (name, arguments) = words.split_first().context("an empty command")?;
        let mut connection = self.connection().await?;
        Ok(redis::cmd(name).arg(arguments).query_async(&mut connection).await?)
    }

    /// The numbers of a section of `INFO`, by name, e.g. (`commandstats`, …) or (`clients`, `connected_clients`).
    pub async fn info(&self, section: &str, field: &str) -> Result<String> {
        let mut connection = self.connection().await?;
        let text: String = redis::cmd("INFO").arg(section).query_async(&mut connection).await?;
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.with_context(|| format!("INFO {section} has no {field}"))?.to_owned())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.server.kill()
    }

    /// Starts it again after [`TestRedis::kill`], on the same port, and waits until it answers.
    pub async fn start_again(&self) -> Result<()> {
        self.server.start_again()?;
        self.wait_until_up().await
    }

    /// Kills and starts it: empty again, unless set up by [`RedisOptions::append_only`].
    pub async fn restart(&self) -> Result<()> {
        self.kill()?;
        self.start_again().await
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn stop(&self) -> Result<()> {
        self.server.stop()
    }

    /// Lets it go on after [`TestRedis::stop`].
    pub fn cont(&self) -> Result<()> {
        self.server.cont()
    }

    async fn wait_until_up(&self) -> Result<()> {
        let up = eventually("PONG from Redis", UP_WITHIN, async || {
            let mut connection = self.connection().await?;
            Ok(redis::cmd("PING").query_async::<()>(&mut connection).await?)
        });
        up.await.with_context(|| self.server.log_tail())
    }
}

fn local_launch(options: &RedisOptions, port: &Port, folder: &Path) -> Result<Launch> {
    let file = write_files(options, port, folder, &folder.to_string_lossy())?;
    let program = find_program("redis-server").or_else(|missing| find_program("valkey-server").map_err(|_| missing))?;
    let mut command = Command::new(program);
    command.arg(file).args(options.sentinel.then_some("--sentinel")).current_dir(folder);
    Ok(Launch::new(command, folder))
}

fn container_launch(options: &RedisOptions, port: &Port, folder: &Path) -> Result<ContainerLaunch> {
    let file = write_files(options, port, folder, "/data")?;
    Ok(ContainerLaunch {
        image: backend::redis_image(),
        command: if options.sentinel { vec!["sh".into(), "-c".into(), SENTINEL.into(), file] } else { vec![file] },
        environment: Vec::new(),
        folder: folder.to_path_buf(),
    })
}

/// Writes the configuration, so that no secret is in the arguments; returns its path.
fn write_files(options: &RedisOptions, port: &Port, folder: &Path, data: &str) -> Result<String> {
    let acl = match options.acl_file() {
        Some(text) => {
            let path = folder.join("users.acl");
            std::fs::write(&path, text)?;
            Some(path.to_string_lossy().into_owned())
        }
        None => None,
    };
    let file = folder.join("redis.conf");
    if let Some(tls) = &options.tls {
        for (name, text) in [("tls.crt", &tls.chain), ("tls.key", &tls.key), ("ca.pem", &tls.authority)] {
            std::fs::write(folder.join(name), text)?;
        }
    }
    std::fs::write(&file, options.file(port.number(), (data, &folder.to_string_lossy()), acl.as_deref()))?;
    Ok(file.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_forgets_unless_told_to_keep() {
        for (options, kept) in [(RedisOptions::default(), false), (RedisOptions::default().append_only(), true)] {
            let redis = TestRedis::with(options).await.unwrap();
            redis.command(&["set", "a", "1"]).await.unwrap();
            redis.restart().await.unwrap();
            let value = redis.command(&["get", "a"]).await.unwrap();
            assert_eq!(value != redis::Value::Nil, kept);
        }
    }

    #[tokio::test]
    async fn passwords_and_users_are_asked_for() {
        let options = RedisOptions::default().password("main").user("user node on >leaf ~tg:* +get");
        let redis = TestRedis::with(options).await.unwrap();
        let node = redis::Client::open(redis.url_as("node", "leaf")).unwrap();
        let mut node = node.get_multiplexed_async_connection().await.unwrap();
        let allowed: redis::RedisResult<Option<String>> = redis::cmd("GET").arg("tg:a").query_async(&mut node).await;
        assert_eq!(allowed.unwrap(), None);
        let refused: redis::RedisResult<Option<String>> = redis::cmd("GET").arg("other").query_async(&mut node).await;
        assert!(refused.is_err());
        let stranger = redis::Client::open(format!("redis://{}/", redis.address())).unwrap();
        let answer = match stranger.get_multiplexed_async_connection().await {
            Ok(mut connection) => redis::cmd("PING").query_async::<()>(&mut connection).await,
            Err(error) => Err(error),
        };
        assert!(answer.is_err());
    }

    #[tokio::test]
    async fn a_frozen_redis_answers_when_it_goes_on() {
        let redis = TestRedis::start().await.unwrap();
        let mut connection = redis.connection().await.unwrap();
        redis.stop().unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(50), redis::cmd("PING").query_async::<()>(&mut connection)).await;
        assert!(silent.is_err());
        redis.cont().unwrap();
        redis.wait_until_up().await.unwrap();
    }

    #[tokio::test]
    async fn shared_is_one_and_prefixes_differ() {
        let one = TestRedis::shared().await.unwrap();
        let two = TestRedis::shared().await.unwrap();
        assert_eq!(one.address(), two.address());
        assert_ne!(one.prefix(), two.prefix());
    }
}
