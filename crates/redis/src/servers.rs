//! Asking the servers how they are: each of them, a standalone one or every master of a Cluster.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use fred::types::{FromValue, Value, config::Server};
use futures_util::future;
use tokio::time::Instant;
use tollgate_gate::ports::{BucketError, StoreLook};
use tollgate_telemetry::RedisErrorKind;

use crate::{
    buckets::RedisBuckets,
    connection::{self, Connection},
    failure::Failure,
    look::Facts,
};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

impl RedisBuckets {
    /// Asks all servers, and distrusts the link where one has become another.
    pub(crate) async fn look_at_servers(&self) -> Result<StoreLook, BucketError> {
        let told = self.ask_servers().await?;
        let found = self.watch.lock().unwrap_or_else(PoisonError::into_inner).see(&told, Instant::now());
        if let Some(server) = &found.changed {
            tracing::warn!(%server, "redis is another server than before, or another master: what is held of its state is distrusted");
            self.made.fetch_add(1, Ordering::AcqRel);
        }
        match told.iter().find_map(|(server, facts)| facts.demoted(server)) {
            Some(why) => self.leave_demoted(why).await.map(|()| found.look),
            None => Ok(found.look),
        }
    }

    /// What a replica answers may be old, so the link is distrusted. A replica of a Cluster decides
    /// nothing, it redirects; any other is not joined again before it says that it is a master.
    async fn leave_demoted(&self, why: String) -> Result<(), BucketError> {
        tracing::warn!(%why, "redis has changed its role");
        self.made.fetch_add(1, Ordering::AcqRel);
        let leave = |connection: &Arc<Connection>| {
            let connection = Arc::clone(connection);
            async move { connection.start_over(ASK_TIMEOUT).await }
        };
        future::join_all(self.connections.iter().map(leave)).await;
        if self.is_clustered() { Ok(()) } else { Err(BucketError::Unusable(why.into())) }
    }

    fn is_clustered(&self) -> bool {
        self.connections.iter().any(|connection| connection.is_clustered())
    }

    /// Refuses a server that says it is no master. One that does not say is not refused: the state
    /// id and the fences tell all the same, only later.
    pub(crate) async fn refuse_demoted(&self) -> Result<(), BucketError> {
        if self.is_clustered() {
            return Ok(());
        }
        let told = self.ask_servers().await.unwrap_or_default();
        let demoted = told.iter().find_map(|(server, facts)| facts.demoted(server));
        demoted.map_or(Ok(()), |why| Err(BucketError::Unusable(why.into())))
    }

    async fn ask_servers(&self) -> Result<Vec<(String, Facts)>, BucketError> {
        let connection = connection::usable(&self.connections);
        let connection = connection.ok_or_else(|| BucketError::Unreachable("no connection".into()))?;
        let asked = connection.servers().into_iter().map(|(name, server)| async move {
            let facts = ask(connection, server).await.map_err(Failure::into_error)?;
            Ok((name, facts))
        });
        future::join_all(asked).await.into_iter().collect()
    }
}

/// `INFO` tells everything. Where it is not allowed, `ROLE` may be.
async fn ask(connection: &Connection, server: Option<Server>) -> Result<Facts, Failure> {
    match connection.command_at(server.clone(), "INFO", ASK_TIMEOUT).await {
        Ok(info) => Ok(Facts::read(&text(info))),
        Err(failure) if failure.kind == RedisErrorKind::Refused => {
            let role = connection.command_at(server, "ROLE", ASK_TIMEOUT).await;
            Ok(Facts::refused(failure.text(), role.ok().and_then(role_of)))
        }
        Err(failure) => Err(failure),
    }
}

/// `INFO` is a bulk string, or with RESP3 a verbatim one.
fn text(info: Value) -> String {
    String::from_value(info).unwrap_or_default()
}

fn role_of(told: Value) -> Option<String> {
    let Value::Array(parts) = told else { return None };
    parts.into_iter().next().and_then(|role| String::from_value(role).ok())
}
