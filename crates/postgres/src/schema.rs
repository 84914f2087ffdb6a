//! The schema: its migrations, which are part of the program, and whether a server has them.

use std::{fmt, time::Duration};

use sqlx::{
    Connection, PgConnection,
    migrate::{MigrateError, Migrator},
};

use crate::{PostgresError, options::server};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How the schema of a server compares to the one that this program was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// The same.
    Current,
    /// There is none yet.
    Absent,
    /// Some migrations are missing; the first of them.
    Behind(i64),
    /// It has migrations that this program does not know; the newest.
    Newer(i64),
    /// A migration was applied with another text than this program's.
    Altered(i64),
    /// The migrations are recorded, or were when last looked at, but something is not there.
    Broken,
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("the database schema is current"),
            Self::Absent => f.write_str("the database has no schema yet: run `tollgate migrate`"),
            Self::Behind(version) => write!(f, "the database schema lacks migration {version}: run `tollgate migrate`"),
            Self::Newer(version) => {
                write!(f, "the database schema has migration {version}, which this version does not know: use a newer tollgate")
            }
            Self::Altered(version) => {
                write!(f, "migration {version} of the database schema is not the one of this version: use the tollgate that made it")
            }
            Self::Broken => f.write_str("the database schema lacks a table or a column: run `tollgate migrate`"),
        }
    }
}

/// Brings the schema up to date; returns its version. Two at once are safe: one waits for the
/// other. Each migration is a transaction, so one that fails leaves those before it.
pub async fn migrate(url: &str) -> Result<i64, PostgresError> {
    let mut connection = connect(url).await?;
    // On failure the connection is dropped, and the server lets go of the migration lock.
    MIGRATOR.run_direct(None, &mut connection, false).await.map_err(failed)?;
    connection.close().await?;
    Ok(newest())
}

/// Takes the schema back to a version, 0 for none at all, and with it everything in its tables.
pub async fn migrate_down(url: &str, target: i64) -> Result<(), PostgresError> {
    let mut connection = connect(url).await?;
    MIGRATOR.undo(&mut connection, target).await.map_err(failed)?;
    connection.close().await?;
    Ok(())
}

/// Compares the schema of a server.
pub async fn schema_state(url: &str) -> Result<SchemaState, PostgresError> {
    let mut connection = connect(url).await?;
    let state = state_of(&mut connection).await?;
    connection.close().await?;
    Ok(state)
}

/// Compares the schema behind a connection.
pub(crate) async fn state_of(connection: &mut PgConnection) -> Result<SchemaState, PostgresError> {
    let rows = sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version");
    match rows.fetch_all(connection).await {
        Ok(applied) => Ok(compare(&applied)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(SchemaState::Absent),
        Err(error) => Err(error.into()),
    }
}

fn compare(applied: &[(i64, Vec<u8>)]) -> SchemaState {
    let known = || MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration());
    if applied.is_empty() {
        return SchemaState::Absent;
    }
    if let Some((version, _)) = applied.iter().rev().find(|(version, _)| !MIGRATOR.version_exists(*version)) {
        return SchemaState::Newer(*version);
    }
    for migration in known() {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            None => return SchemaState::Behind(migration.version),
            Some((version, checksum)) if *checksum != *migration.checksum => return SchemaState::Altered(*version),
            Some(_) => {}
        }
    }
    SchemaState::Current
}

fn newest() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

async fn connect(url: &str) -> Result<PgConnection, PostgresError> {
    let options = server(url)?;
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await {
        Ok(connection) => Ok(connection?),
        Err(_) => Err(PostgresError::Unreachable("no connection in time".into())),
    }
}

fn failed(error: MigrateError) -> PostgresError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => match PostgresError::from(error) {
            // A statement of ours that fails is not the caller's to mend.
            PostgresError::Refused(_)
            | PostgresError::Exists(_)
            | PostgresError::Repeated
            | PostgresError::NotFound
            | PostgresError::Schema(_) => {
                PostgresError::Unusable("a migration failed: the database holds tables or rows that are not Tollgate's".into())
            }
            other => other,
        },
        MigrateError::VersionMissing(version) => PostgresError::Schema(SchemaState::Newer(version)),
        MigrateError::VersionMismatch(version) => PostgresError::Schema(SchemaState::Altered(version)),
        other => PostgresError::Unusable(format!("the schema cannot be migrated: {other}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(i64, Vec<u8>)> {
        let up = MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration());
        up.map(|migration| (migration.version, migration.checksum.to_vec())).collect()
    }

    #[test]
    fn every_migration_goes_both_ways() {
        let down = MIGRATOR.iter().filter(|migration| migration.migration_type.is_down_migration());
        assert_eq!(down.map(|migration| migration.version).collect::<Vec<_>>(), all().iter().map(|row| row.0).collect::<Vec<_>>());
    }

    #[test]
    fn tells_absent_behind_newer_and_altered() {
        assert_eq!(compare(&all()), SchemaState::Current);
        assert_eq!(compare(&[]), SchemaState::Absent);
        assert_eq!(compare(&all()[..1]), SchemaState::Behind(all()[1].0));
        assert_eq!(compare(&all()[1..]), SchemaState::Behind(all()[0].0));
        let newer = [all(), vec![(9999, vec![])]].concat();
        assert_eq!(compare(&newer), SchemaState::Newer(9999));
        let mut altered = all();
        altered[0].1 = vec![0];
        assert_eq!(compare(&altered), SchemaState::Altered(altered[0].0));
    }
}
