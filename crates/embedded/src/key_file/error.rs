//! What can go wrong with the file.

use std::{fmt, io, path::PathBuf};

use tollgate_gate::{config::ConfigError, ports::KeyStoreError};
use tollgate_keys::RandomnessError;

/// Why the key file cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Another process has it.
    #[error("{} is used by another process: one node at a time may have it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file or its directory cannot be made or opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was written by a version of another format.
    #[error("the key file has format {found}, and this version reads {expected} only: use the version that wrote it to export its keys")]
    Format {
        /// What the file says.
        found: u32,
        /// What is read.
        expected: u32,
    },
    /// The database in the file failed.
    #[error("the key file failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// A row is not what it should be.
    #[error("row {row} of table {table} in the key file cannot be read: {detail}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong with it.
        detail: String,
    },
    /// No id could be drawn for a new change log.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The file is fine; the call is refused.
    #[error(transparent)]
    Refused(Box<KeyStoreError>),
}

impl KeyFileError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::Randomness(_) => true,
            Self::Database(error) => matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo),
            Self::Open { .. } | Self::Format { .. } | Self::Row { .. } | Self::Refused(_) => false,
        }
    }

    pub(super) fn row(table: &'static str, row: &dyn fmt::Display, detail: &dyn fmt::Display) -> Self {
        Self::Row { table, row: row.to_string(), detail: detail.to_string() }
    }
}

impl From<KeyStoreError> for KeyFileError {
    fn from(refused: KeyStoreError) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl From<ConfigError> for KeyFileError {
    fn from(refused: ConfigError) -> Self {
        KeyStoreError::Refused(refused).into()
    }
}

impl From<KeyFileError> for KeyStoreError {
    fn from(error: KeyFileError) -> Self {
        let (told, is_transient) = (error.to_string(), error.is_transient());
        match error {
            KeyFileError::Refused(refused) => *refused,
            _ if is_transient => Self::Unreachable(told.into()),
            _ => Self::Unusable(told.into()),
        }
    }
}

/// Every error of the database is one kind for us.
macro_rules! from_database {
    ($($error:ty),*) => {$(
        impl From<$error> for KeyFileError {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )*};
}

from_database!(redb::DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);
