//! The schema: its migrations, which are part of the program, and whether a server has them.

use std::{fmt, time::Duration};

use sqlx::{
    Connection, PgConnection,
    migrate::{MigrateError, Migrator},
};

use crate::{PostgresError, options::server};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// What the name of a migration begins with that the version before cannot live with. All others only add, so nodes of
/// that version go on, and start, while a fleet is upgraded or taken back.
const BREAKING: &str = "breaking ";

/// The least rights of a node, for a role of its own.
const NODE_RIGHTS: &str = include_str!("../../../deploy/postgres/node-rights.sql");

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How the schema of a server compares to the one that this program was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// The same.
    Current,
    /// It has all that this program knows, and migrations of a later version, which only add; the newest.
    Ahead(i64),
    /// There is none yet.
    Absent,
    /// Some migrations are missing; the first of them.
    Behind(i64),
    /// It has migrations that this program does not know and cannot live with; the newest of them.
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
            Self::Ahead(version) => write!(f, "the database schema has migration {version} of a later version, which does no harm"),
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

impl SchemaState {
    /// Whether this program can work with it.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Current | Self::Ahead(_))
    }
}

/// Brings the schema up to date; returns its version, which is a later one where a later version of this program has
/// been there. Two at once are safe: one waits for the other. Each migration is a transaction, so one that fails leaves
/// those before it.
pub async fn migrate(url: &str) -> Result<i64, PostgresError> {
    let mut connection = connect(url).await?;
    if let SchemaState::Ahead(version) = state_of(&mut connection).await? {
        return Ok(version);
    }
    // On failure the connection is dropped, and the server lets go of the migration lock.
    MIGRATOR.run_direct(None, &mut connection, false).await.map_err(failed)?;
    connection.close().await?;
    Ok(newest())
}

/// Gives the role `tollgate_node` the least rights of a node and takes all others away, all at once; makes the role
/// where there is none and the caller may make roles. Does nothing and answers false where a later version of this
/// program has been: its nodes need rights that this one knows nothing of.
pub async fn give_node_rights(url: &str) -> Result<bool, PostgresError> {
    let mut connection = connect(url).await?;
    let is_ours = !matches!(state_of(&mut connection).await?, SchemaState::Ahead(_));
    if is_ours {
        sqlx::raw_sql(NODE_RIGHTS).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(is_ours)
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
    let rows = sqlx::query_as("select version, checksum, description from _sqlx_migrations where success order by version");
    match rows.fetch_all(connection).await {
        Ok(applied) => Ok(compare(&applied)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(SchemaState::Absent),
        Err(error) => Err(error.into()),
    }
}

/// Version, checksum and name of a migration that a server has.
type Applied = (i64, Vec<u8>, String);

fn compare(applied: &[Applied]) -> SchemaState {
    let known = || MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration());
    if applied.is_empty() {
        return SchemaState::Absent;
    }
    let unknown = || applied.iter().rev().filter(|(version, ..)| !MIGRATOR.version_exists(*version));
    if let Some((version, ..)) = unknown().find(|(.., name)| name.starts_with(BREAKING)) {
        return SchemaState::Newer(*version);
    }
    for migration in known() {
        match applied.iter().find(|(version, ..)| *version == migration.version) {
            None => return SchemaState::Behind(migration.version),
            Some((version, checksum, _)) if *checksum != *migration.checksum => return SchemaState::Altered(*version),
            Some(_) => {}
        }
    }
    unknown().next().map_or(SchemaState::Current, |(version, ..)| SchemaState::Ahead(*version))
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

    fn all() -> Vec<Applied> {
        let up = MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration());
        up.map(|migration| (migration.version, migration.checksum.to_vec(), migration.description.to_string())).collect()
    }

    #[test]
    fn every_migration_goes_both_ways() {
        let down = MIGRATOR.iter().filter(|migration| migration.migration_type.is_down_migration());
        assert_eq!(down.map(|migration| migration.version).collect::<Vec<_>>(), all().iter().map(|row| row.0).collect::<Vec<_>>());
    }

    #[test]
    fn tells_absent_behind_ahead_newer_and_altered() {
        assert_eq!(compare(&all()), SchemaState::Current);
        assert_eq!(compare(&[]), SchemaState::Absent);
        assert_eq!(compare(&all()[..1]), SchemaState::Behind(all()[1].0));
        assert_eq!(compare(&all()[1..]), SchemaState::Behind(all()[0].0));
        let with = |later: &[(i64, &str)]| {
            let later = later.iter().map(|(version, name)| (*version, vec![], (*name).to_owned()));
            all().into_iter().chain(later).collect::<Vec<_>>()
        };
        assert_eq!(compare(&with(&[(9998, "a column"), (9999, "an index")])), SchemaState::Ahead(9999));
        assert_eq!(compare(&with(&[(9998, "breaking names"), (9999, "an index")])), SchemaState::Newer(9998));
        assert_eq!(compare(&with(&[(9999, "an index")])[1..]), SchemaState::Behind(all()[0].0), "what is missing is missing");
        let mut altered = all();
        altered[0].1 = vec![0];
        assert_eq!(compare(&altered), SchemaState::Altered(altered[0].0));
    }
}
