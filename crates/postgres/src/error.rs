//! What can go wrong with Postgres, and what the gate is told of it.
//!
//! Nothing that Postgres says about values is kept: the detail of its messages may hold a row, and
//! a row holds hashes. Its one-line message and the names of constraints hold none.

use std::sync::Arc;

use sqlx::error::DatabaseError;
use tollgate_gate::{
    config::{ConfigError, ConfigErrorKind},
    ports::KeyStoreError,
};

use crate::SchemaState;

/// Why a call on Postgres failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PostgresError {
    /// The URL of the settings is none.
    #[error("postgres.url is no URL such as postgres://user@host:5432/database?sslmode=verify-full")]
    Url,
    /// A file that the URL names for TLS is not there, or holds something else: which, and what is wrong.
    #[error("{0}")]
    File(Arc<str>),
    /// No connection, no answer in time, a lock not had in time. A change may or may not stand.
    #[error("postgres: {0}")]
    Unreachable(Arc<str>),
    /// Rolled back so that another transaction may go on: nothing was changed.
    #[error("postgres: {0}")]
    RolledBack(Arc<str>),
    /// The schema is not the one this program was built for.
    #[error("{0}")]
    Schema(SchemaState),
    /// It answers, but refuses what must work, or holds what cannot be read.
    #[error("postgres: {0}")]
    Unusable(Arc<str>),
    /// No such row for this caller.
    #[error("no such key")]
    NotFound,
    /// The change is refused.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// There already.
    #[error("{0} exists already")]
    Exists(Arc<str>),
    /// Made before, under the name that the caller gave it: nothing was changed.
    #[error("this change was made before")]
    Repeated,
}

impl PostgresError {
    /// Whether the same call may succeed a little later, with nothing mended.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::RolledBack(_))
    }

    /// The same error, where it says that something exists, with a name for what that is.
    pub(crate) fn naming(self, what: impl FnOnce() -> String) -> Self {
        if let Self::Exists(_) = self { Self::Exists(what().into()) } else { self }
    }

    /// A row that this program cannot read.
    pub(crate) fn unreadable(what: &str, id: &str, column: &str) -> Self {
        Self::Unusable(format!("{what} {id} has a {column} that cannot be read").into())
    }
}

impl From<PostgresError> for KeyStoreError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Unreachable(reason) | PostgresError::RolledBack(reason) => Self::Unreachable(reason),
            PostgresError::NotFound => Self::NotFound,
            PostgresError::Refused(refusal) => Self::Refused(refusal),
            PostgresError::Exists(what) => Self::Exists(what),
            PostgresError::Repeated => Self::Repeated,
            PostgresError::Url | PostgresError::File(_) | PostgresError::Schema(_) | PostgresError::Unusable(_) => {
                Self::Unusable(error.to_string().into())
            }
        }
    }
}

impl From<sqlx::Error> for PostgresError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error;
        match error {
            Error::Database(error) => said_by_server(&*error),
            Error::Io(error) => Self::Unreachable(refused_certificate(&error).unwrap_or_else(|| error.to_string()).into()),
            Error::Tls(error) => Self::Unreachable(format!("no TLS connection: {error}").into()),
            Error::PoolTimedOut => Self::Unreachable("no connection in time: the server does not answer, or all are in use".into()),
            Error::PoolClosed => Self::Unreachable("the pool is closed".into()),
            Error::WorkerCrashed | Error::Protocol(_) => Self::Unreachable("the connection broke".into()),
            Error::ColumnDecode { index, .. } => Self::Unusable(format!("column {index} cannot be read").into()),
            Error::Configuration(_) => Self::Url,
            // The rest cannot come of these queries; its text might hold values.
            _ => Self::Unusable("the driver failed".into()),
        }
    }
}

/// What is wrong with the server's certificate, where that is why there is no connection. The library
/// below tells it in words alone.
fn refused_certificate(error: &std::io::Error) -> Option<String> {
    let told = error.to_string();
    let why = told.strip_prefix("invalid peer certificate: ")?;
    let words = if why.contains("UnknownIssuer") {
        "is not signed by an authority that is trusted here (sslrootcert in postgres.url)"
    } else if why.contains("not valid for name") || why.contains("NotValidForName") {
        "is for another name than the one that was connected to"
    } else if why.contains("not valid yet") || why.contains("NotValidYet") {
        "is not valid yet"
    } else if why.contains("expired") || why.contains("Expired") {
        "has expired"
    } else {
        return Some(format!("no TLS connection: the certificate of Postgres cannot be trusted: {why}"));
    };
    Some(format!("no TLS connection: the certificate of Postgres {words}"))
}

/// By SQLSTATE, see the appendix of the Postgres manual.
fn said_by_server(error: &dyn DatabaseError) -> PostgresError {
    let code = error.code().unwrap_or_default();
    let message = || format!("{} ({code})", error.message()).into();
    match (code.get(..2).unwrap_or_default(), &*code) {
        ("40", _) => PostgresError::RolledBack(message()),
        // Broken, out of resources, interrupted, starting, ending.
        ("08" | "53" | "57" | "58", _) | (_, "55P03" | "25P03" | "25P04") => PostgresError::Unreachable(message()),
        // A standby: a failover is on its way, or the URL names the wrong server.
        (_, "25006") => PostgresError::Unreachable("the server is read-only".into()),
        (_, "42P01" | "42703" | "42883") => PostgresError::Schema(SchemaState::Broken),
        (_, "23505") => PostgresError::Exists(error.constraint().unwrap_or_default().into()),
        ("22" | "23" | "54", _) => refused(error.constraint().unwrap_or_default()).into(),
        _ => PostgresError::Unusable(message()),
    }
}

/// The gate refuses bad rules before they come here: this is the second line, with less to say.
fn refused(constraint: &str) -> ConfigError {
    let (pointer, detail) = match constraint {
        "keys_rate_limit_good" | "keys_rate_limit_names" | "owners_rate_limit_good" => {
            ("/rate_limit", "the database takes no such rate limit")
        }
        "keys_name_length" => ("/name", "a name has 1 to 128 characters"),
        "keys_scopes_good" => ("/scopes", "at most 32 scopes, each [a-z0-9][a-z0-9._:-]{0,63}"),
        "keys_owned_scopes" => ("/scopes", "a key with an owner cannot have the scope owners:write"),
        "keys_outage_mode_known" => ("/outage_mode", "an outage mode is local, open or closed"),
        "keys_metadata_form" => ("/metadata", "metadata is an object of at most 4096 bytes"),
        "keys_revoke_reason_form" => ("/reason", "a reason has at most 256 characters"),
        "keys_key_id_form" => ("/key_id", "not a key id"),
        "keys_owner_fkey" | "owners_owner_form" => ("/owner", "not an owner"),
        "" => ("", "a text holds a character that the database cannot store, or a value is out of range"),
        _ => ("", "the database refuses these values"),
    };
    ConfigError { kind: ConfigErrorKind::Invalid, pointer: pointer.to_owned(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_transient() {
        assert!(PostgresError::from(sqlx::Error::PoolTimedOut).is_transient());
        assert!(PostgresError::from(sqlx::Error::WorkerCrashed).is_transient());
        assert!(!PostgresError::Schema(SchemaState::Absent).is_transient());
        assert!(!PostgresError::NotFound.is_transient());
    }

    #[test]
    fn the_gate_learns_what_to_do_about_a_schema() {
        let KeyStoreError::Unusable(text) = PostgresError::Schema(SchemaState::Absent).into() else { panic!("not unusable") };
        assert!(text.contains("tollgate migrate"), "{text}");
    }

    #[test]
    fn values_of_a_row_are_not_repeated() {
        let source = "$argon2id$secret".to_owned().into();
        let error = PostgresError::from(sqlx::Error::ColumnDecode { index: "\"name\"".to_owned(), source });
        assert!(!format!("{error:?} {error}").contains("argon2"), "{error:?}");
    }
}
