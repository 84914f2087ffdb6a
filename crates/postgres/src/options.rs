//! How to reach Postgres, and how long anything may take there.

use std::{fmt, time::Duration};

use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use crate::{PostgresError, certificates};

const LOG_RETENTION: Duration = Duration::from_hours(7 * 24);
const AUDIT_RETENTION: Duration = Duration::from_hours(400 * 24);

/// Where Postgres is and the bound of everything that can wait. TLS is chosen by `sslmode=`,
/// `sslrootcert=` and so on in the URL.
///
/// The time-outs of the session are set with the connection's first message, so none is ever
/// without them; a connection pooler between must pool sessions, not transactions.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database?sslmode=…`; never printed.
    pub url: String,
    /// Most connections at a time, at least 1.
    pub pool_size: u32,
    /// Connections of these that looking up keys may take; the others are kept for the rest.
    pub lookups_in_flight: u32,
    /// The longest wait for a free connection, an opened one included.
    pub acquire_timeout: Duration,
    /// The longest single statement.
    pub statement_timeout: Duration,
    /// The longest wait for a lock, such as that of the change log's head.
    pub lock_timeout: Duration,
    /// The longest pause within a transaction, after which the server ends the session: what a
    /// node that stopped in the middle of a change can hold up the others.
    pub idle_in_transaction_timeout: Duration,
    /// How long rows of the change log are kept: a reader that is further behind starts over.
    pub log_retention: Duration,
    /// How long rows of the audit log are kept.
    pub audit_retention: Duration,
}

impl Options {
    /// A pool of 16 connections, half of them for look-ups; two seconds for a connection and for a lock, five for a
    /// statement and for a silent transaction; 7 days of changes, 400 of audit.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_size: 16,
            lookups_in_flight: 8,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(5),
            log_retention: LOG_RETENTION,
            audit_retention: AUDIT_RETENTION,
        }
    }

    /// The longest a call can take where the server keeps to its time-outs: a connection, the locks
    /// of a key and of the log's head, and a statement.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.acquire_timeout + 2 * self.lock_timeout + self.statement_timeout
    }

    /// What a connection of the pool is opened with.
    pub(crate) fn session(&self) -> Result<PgConnectOptions, PostgresError> {
        let millis = |timeout: Duration| format!("{}ms", timeout.as_millis().max(1));
        let session = server(&self.url)?.options([
            ("default_transaction_isolation", "read committed".to_owned()),
            ("statement_timeout", millis(self.statement_timeout)),
            ("lock_timeout", millis(self.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(self.idle_in_transaction_timeout)),
        ]);
        Ok(session)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url: _,
            pool_size,
            lookups_in_flight,
            acquire_timeout,
            statement_timeout,
            lock_timeout,
            idle_in_transaction_timeout,
            log_retention,
            audit_retention,
        } = self;
        f.debug_struct("Options")
            .field("url", &"[redacted]")
            .field("pool_size", pool_size)
            .field("lookups_in_flight", lookups_in_flight)
            .field("acquire_timeout", acquire_timeout)
            .field("statement_timeout", statement_timeout)
            .field("lock_timeout", lock_timeout)
            .field("idle_in_transaction_timeout", idle_in_transaction_timeout)
            .field("log_retention", log_retention)
            .field("audit_retention", audit_retention)
            .finish()
    }
}

/// The server of a URL. What is wrong with the URL is not said, for the URL may hold a password.
pub(crate) fn server(url: &str) -> Result<PgConnectOptions, PostgresError> {
    certificates::check(url)?;
    let options: PgConnectOptions = url.parse().map_err(|_| PostgresError::Url)?;
    Ok(options.application_name("tollgate").disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_url() {
        let shown = format!("{:?}", Options::new("postgres://me:open-sesame@db/tollgate"));
        assert!(!shown.contains("sesame") && shown.contains("[redacted]"), "{shown}");
    }

    #[test]
    fn a_bad_url_is_not_echoed() {
        for url in ["", "open-sesame", "postgres://u:open-sesame@h:notaport/d", "postgres://u:open-sesame@h/d?sslmode=open-sesame"] {
            let error = Options::new(url).session().expect_err("no URL");
            assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
        }
    }
}
