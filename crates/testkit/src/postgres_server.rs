//! A throwaway Postgres.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::container::ContainerLaunch;
use crate::process::{Launch, User, find_program};
use crate::{Backend, Port, Scratch, Server, TestCertificate, backend, eventually};

const UP_WITHIN: Duration = Duration::from_mins(1);

/// A crash of the machine is not what the tests are about, a crash of Postgres is; many nodes share
/// one server.
const SETTINGS: [&str; 5] =
    ["fsync=off", "full_page_writes=off", "max_connections=500", "shared_buffers=64MB", "listen_addresses=127.0.0.1"];

/// A Postgres of its own, or the one that all tests share.
#[derive(Debug)]
pub struct TestPostgres {
    server: Server,
    base_url: String,
    _port: Option<Port>,
    _folder: Option<Scratch>,
}

impl TestPostgres {
    /// The Postgres that tests share which do not stop it, each with its own
    /// [`crate::TestDatabase`].
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<TestPostgres> = OnceCell::const_new();
        SHARED
            .get_or_try_init(async || match std::env::var("TOLLGATE_TEST_POSTGRES_URL") {
                Ok(url) if !url.is_empty() => Self::foreign(&url),
                _ => Self::start().await,
            })
            .await
    }

    /// A Postgres of its own; its superuser `postgres` needs no password.
    pub async fn start() -> Result<Self> {
        let folder = Scratch::new("postgres")?;
        let port = Port::take()?;
        let server = match Backend::chosen()? {
            Backend::Local => Server::local(local_launch(&folder, &port).await?)?,
            Backend::Containers => Server::container(container_launch(folder.path(), &port)).await?,
        };
        let base_url = format!("postgres://postgres@{}", port.address());
        let postgres = Self { server, base_url, _port: Some(port), _folder: Some(folder) };
        postgres.wait_until_up().await?;
        Ok(postgres)
    }

    fn foreign(url: &str) -> Result<Self> {
        let scheme = url.find("://").context("TOLLGATE_TEST_POSTGRES_URL is postgres://user@host:port/database")?;
        let end = url.get(scheme + 3..).and_then(|rest| rest.find('/')).map_or(url.len(), |slash| scheme + 3 + slash);
        let base_url = url.get(..end).unwrap_or(url).to_owned();
        Ok(Self { server: Server::foreign(), base_url, _port: None, _folder: None })
    }

    /// The URL of the database `postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database.
    pub fn url_of(&self, database: &str) -> String {
        format!("{}/{database}", self.base_url)
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.base_url.rsplit_once('@').map_or(self.base_url.as_str(), |(_, address)| address)
    }

    /// A connection to the database `postgres`.
    pub async fn connection(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url()).await?)
    }

    /// Speaks TLS as well from now on, and shows this certificate.
    pub async fn show(&self, certificate: &TestCertificate) -> Result<()> {
        let mut connection = self.connection().await?;
        for (name, pem) in [("tls.crt", certificate.chain()), ("tls.key", &certificate.key())] {
            // Into the folder of its data, where it is its own, whoever and wherever it is.
            let lines = format!("select unnest(string_to_array('{}', E'\\n'))", pem.trim_end());
            let file = format!("copy ({lines}) to program 'umask 077; cat > {name}'");
            sqlx::raw_sql(sqlx::AssertSqlSafe(file)).execute(&mut connection).await.context(name)?;
        }
        for line in ["ssl_cert_file = 'tls.crt'", "ssl_key_file = 'tls.key'", "ssl = on"] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("alter system set {line}"))).execute(&mut connection).await?;
        }
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.server.kill()
    }

    /// Starts it again after [`TestPostgres::kill`], on the same port and files.
    pub async fn start_again(&self) -> Result<()> {
        self.server.start_again()?;
        self.wait_until_up().await
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn stop(&self) -> Result<()> {
        self.server.stop()
    }

    /// Lets it go on after [`TestPostgres::stop`].
    pub fn cont(&self) -> Result<()> {
        self.server.cont()
    }

    async fn wait_until_up(&self) -> Result<()> {
        let up = eventually("an answer from Postgres", UP_WITHIN, async || {
            let mut connection = self.connection().await?;
            connection.ping().await?;
            Ok(connection.close().await?)
        });
        up.await.with_context(|| self.server.log_tail())
    }
}

async fn local_launch(folder: &Scratch, port: &Port) -> Result<Launch> {
    let user = unprivileged(folder)?;
    let data = initialise(folder.path(), user).await?;
    let mut command = Command::new(find_program("postgres")?);
    command.arg("-D").arg(data).args(arguments(port)).args(["-c", "unix_socket_directories="]).current_dir(folder.path());
    // SIGQUIT ends it without writing anything out; SIGKILL would orphan its children.
    Ok(Launch { end: "QUIT", user, ..Launch::new(command, folder.path()) })
}

fn container_launch(folder: &Path, port: &Port) -> ContainerLaunch {
    ContainerLaunch {
        image: backend::postgres_image(),
        command: std::iter::once("postgres".into()).chain(arguments(port)).collect(),
        environment: vec![("POSTGRES_HOST_AUTH_METHOD".into(), "trust".into())],
        folder: folder.to_path_buf(),
    }
}

fn arguments(port: &Port) -> Vec<String> {
    let settings = SETTINGS.iter().flat_map(|setting| ["-c".into(), (*setting).into()]);
    ["-p".into(), port.number().to_string()].into_iter().chain(settings).collect()
}

async fn initialise(folder: &Path, user: Option<User>) -> Result<PathBuf> {
    let data = folder.join("data");
    std::fs::create_dir(&data)?;
    if let Some(User { uid, gid }) = user {
        std::os::unix::fs::chown(&data, Some(uid), Some(gid))?;
    }
    let mut command = Command::new(find_program("initdb")?);
    command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", "-D"]);
    command.arg(&data).current_dir(folder);
    let process = Launch { user, ..Launch::new(command, folder) }.start()?;
    let status = process.ended().await?;
    anyhow::ensure!(status.success(), "initdb failed: {}", process.log_tail());
    Ok(data)
}

/// Postgres refuses to run as root: for root, the user it is installed with, else `nobody`.
fn unprivileged(folder: &Scratch) -> Result<Option<User>> {
    if folder.owner()? != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let user = ["postgres", "nobody"].into_iter().find_map(|name| user_line(&users, name));
    Ok(Some(user.context("neither postgres nor nobody is a user here")?))
}

fn user_line(users: &str, name: &str) -> Option<User> {
    let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "postgresql:x:1:2:::\npostgres:x:101:104:,,,:/var:/bin/bash\n";
        assert_eq!(user_line(users, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(user_line(users, "nobody"), None);
    }

    #[test]
    fn a_shared_url_may_name_any_database() {
        for url in ["postgres://u:p@h:1/x", "postgres://u:p@h:1", "postgres://u:p@h:1/"] {
            assert_eq!(TestPostgres::foreign(url).unwrap().url_of("y"), "postgres://u:p@h:1/y");
        }
    }

    #[tokio::test]
    async fn it_comes_back_with_its_data_after_a_crash() {
        let postgres = TestPostgres::start().await.unwrap();
        let mut connection = postgres.connection().await.unwrap();
        sqlx::query("create table kept (n int)").execute(&mut connection).await.unwrap();
        postgres.kill().unwrap();
        assert!(connection.ping().await.is_err());
        postgres.start_again().await.unwrap();
        let mut connection = postgres.connection().await.unwrap();
        sqlx::query("insert into kept values (1)").execute(&mut connection).await.unwrap();
    }

    #[tokio::test]
    async fn a_frozen_postgres_is_silent_on_open_connections_too() {
        let postgres = TestPostgres::start().await.unwrap();
        let mut connection = postgres.connection().await.unwrap();
        postgres.stop().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), connection.ping()).await.is_err());
        postgres.cont().unwrap();
        postgres.wait_until_up().await.unwrap();
    }
}
