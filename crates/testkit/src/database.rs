//! A database per test, copied from a template that was migrated once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{TestPostgres, eventually, keeper, repository, unique};

/// Taken while a template is built, so that of many test processes one does it.
const TEMPLATE_LOCK: i64 = 0x0074_6f6c_6c67_6174;
/// Rows that one statement adds.
const FILLED_AT_A_TIME: usize = 500_000;
const RELEASED_WITHIN: Duration = Duration::from_secs(10);
const DROPPED_WITHIN: Duration = Duration::from_secs(5);

/// A database of its own in the shared Postgres; dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    maintenance_url: String,
}

impl TestDatabase {
    /// A migrated database in the shared Postgres.
    ///
    /// `migrate` gets a database's URL and brings its schema up; it runs once for all tests, as
    /// long as the files in `migrations/` stay as they are.
    pub async fn create<F, Migrated>(migrate: F) -> Result<Self>
    where
        F: FnOnce(String) -> Migrated,
        Migrated: Future<Output = Result<()>>,
    {
        Self::create_in(TestPostgres::shared().await?, migrate).await
    }

    /// A migrated database in a Postgres of the caller's.
    pub async fn create_in<F, Migrated>(postgres: &TestPostgres, migrate: F) -> Result<Self>
    where
        F: FnOnce(String) -> Migrated,
        Migrated: Future<Output = Result<()>>,
    {
        let template = template(postgres, migrate).await.context("making the template database")?;
        Self::copy(postgres, &template).await
    }

    /// A database without any schema in the shared Postgres.
    pub async fn empty() -> Result<Self> {
        Self::copy(TestPostgres::shared().await?, "template1").await
    }

    async fn copy(postgres: &TestPostgres, template: &str) -> Result<Self> {
        let name = unique("t");
        let mut connection = postgres.connection().await?;
        run(&mut connection, format!("create database {name} template {template}")).await?;
        connection.close().await?;
        Ok(Self { url: postgres.url_of(&name), name, maintenance_url: postgres.url() })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds keys in use, of nobody, with these numbers and with ids in their order. It takes their checks
    /// from the table, which cost most of the time.
    pub async fn fill(&self, numbers: Range<u64>) -> Result<()> {
        self.fill_with(numbers, "$argon2", None).await
    }

    /// The same with that hash and rate limit (JSON; `None`: without one). [`StoredKeys`] makes some that can be used.
    ///
    /// [`StoredKeys`]: crate::StoredKeys
    pub(crate) async fn fill_with(&self, numbers: Range<u64>, hash: &str, rate_limit: Option<&str>) -> Result<()> {
        let mut connection = self.connection().await?;
        let without_checks = "do $$ declare name text; begin \
            for name in select conname from pg_constraint where conrelid = 'keys'::regclass and contype in ('c', 'f') \
            loop execute format('alter table keys drop constraint %I', name); end loop; end $$";
        connection.execute(without_checks).await?;
        let sql = "insert into keys (key_id, name, kind, secret_phc, rate_limit, created_at_ms, generation) \
            select 'tk_01hq3m' || lpad(n::text, 20, '0'), 'n', 'signed', $3, $4::json, 1700000000000, 1 from generate_series($1, $2 - 1) as n";
        for first in numbers.clone().step_by(FILLED_AT_A_TIME) {
            let end = numbers.end.min(first + FILLED_AT_A_TIME as u64);
            sqlx::query(sql).bind(first.cast_signed()).bind(end.cast_signed()).bind(hash).bind(rate_limit).execute(&mut connection).await?;
        }
        connection.execute("vacuum (analyze, parallel 0) keys").await?;
        Ok(())
    }

    /// A connection to it, as an independent witness or to hold a transaction open.
    pub async fn connection(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.maintenance_url.clone(), self.name.clone());
        let work = async move {
            let mut connection = PgConnection::connect(&url).await?;
            run(&mut connection, format!("drop database if exists {name} with (force)")).await
        };
        // The server may be stopped or gone: then there is nothing left to drop.
        keeper::run_blocking(async move { tokio::time::timeout(DROPPED_WITHIN, work).await.is_ok() }).ok();
    }
}

async fn template<F, Migrated>(postgres: &TestPostgres, migrate: F) -> Result<String>
where
    F: FnOnce(String) -> Migrated,
    Migrated: Future<Output = Result<()>>,
{
    let name = format!("template_{:016x}", fingerprint()?);
    let mut connection = postgres.connection().await?;
    sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await?;
    let found = sqlx::query("select 1 from pg_database where datname = $1").bind(&name).fetch_optional(&mut connection).await?;
    if found.is_none() {
        build(postgres, &mut connection, &name, migrate).await?;
    }
    // Closing the session lets go of the lock.
    connection.close().await?;
    Ok(name)
}

/// Builds under another name, so that a template that exists is complete.
async fn build<F, Migrated>(postgres: &TestPostgres, connection: &mut PgConnection, name: &str, migrate: F) -> Result<()>
where
    F: FnOnce(String) -> Migrated,
    Migrated: Future<Output = Result<()>>,
{
    let building = format!("building_{name}");
    run(connection, format!("drop database if exists {building} with (force)")).await?;
    run(connection, format!("create database {building}")).await?;
    migrate(postgres.url_of(&building)).await.context("migrating")?;
    // The server notices a moment later that the migration's connections are closed.
    eventually("the migration's connections are closed", RELEASED_WITHIN, async || {
        let mut witness = postgres.connection().await?;
        let count = sqlx::query_scalar("select count(*) from pg_stat_activity where datname = $1");
        let open: i64 = count.bind(&building).fetch_one(&mut witness).await?;
        anyhow::ensure!(open == 0, "{open} are open");
        Ok(witness.close().await?)
    })
    .await?;
    run(connection, format!("alter database {building} rename to {name}")).await
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<()> {
    connection.execute(AssertSqlSafe(sql.clone())).await.with_context(|| sql)?;
    Ok(())
}

/// A hash of the names and texts of all migrations.
fn fingerprint() -> Result<u64> {
    let folder = repository().join("migrations");
    let mut files: Vec<_> = std::fs::read_dir(&folder).context("reading migrations/")?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.file_name().hash(&mut hasher);
        std::fs::read(file.path())?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn one_table(url: String) -> Result<()> {
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::query("create table marks (n int)").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    async fn marks(database: &TestDatabase) -> i64 {
        let mut connection = database.connection().await.unwrap();
        sqlx::query_scalar("select count(*) from marks").fetch_one(&mut connection).await.unwrap()
    }

    #[tokio::test]
    async fn copies_are_migrated_once_and_apart() {
        // Its own server: the shared one's template belongs to the real migrations.
        let postgres = TestPostgres::start().await.unwrap();
        let runs = AtomicU32::new(0);
        let migrate = async |url| {
            runs.fetch_add(1, Ordering::Relaxed);
            one_table(url).await
        };
        let (one, two) = tokio::join!(TestDatabase::create_in(&postgres, &migrate), TestDatabase::create_in(&postgres, &migrate));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        let mut connection = one.connection().await.unwrap();
        sqlx::query("insert into marks values (1)").execute(&mut connection).await.unwrap();
        assert_eq!((marks(&one).await, marks(&two).await), (1, 0));
    }

    #[tokio::test]
    async fn a_failed_migration_leaves_no_template() {
        let postgres = TestPostgres::start().await.unwrap();
        let failed = TestDatabase::create_in(&postgres, async |_| anyhow::bail!("no")).await;
        assert!(failed.is_err());
        let made = TestDatabase::create_in(&postgres, one_table).await.unwrap();
        assert_eq!(marks(&made).await, 0);
    }

    #[tokio::test]
    async fn a_database_is_gone_after_its_value() {
        let database = TestDatabase::empty().await.unwrap();
        let name = database.name().to_owned();
        drop(database);
        // Who drops it does not wait for a server that takes long.
        eventually("gone", Duration::from_mins(1), async || {
            let mut connection = TestPostgres::shared().await?.connection().await?;
            let found = sqlx::query("select 1 from pg_database where datname = $1").bind(&name).fetch_optional(&mut connection).await?;
            anyhow::ensure!(found.is_none(), "{name} is there");
            Ok(connection.close().await?)
        })
        .await
        .unwrap();
    }
}
