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
    connection::Connection,
    failure::Failure,
    look::{Facts, Told},
};

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

impl RedisBuckets {
    /// Asks all servers, and distrusts the link where one has become another.
    pub(crate) async fn look_at_servers(&self) -> Result<StoreLook, BucketError> {
        let told = self.ask_servers().await?;
        let found = self.watch.lock().unwrap_or_else(PoisonError::into_inner).see(&told, Instant::now());
        let told = answers(&told);
        for what in &found.vulnerable {
            tracing::warn!("{what}");
        }
        if let Some(server) = &found.changed {
            tracing::warn!(%server, "redis is another server than before, or another master: what is held of its state is distrusted");
            self.made.fetch_add(1, Ordering::AcqRel);
        }
        match told.into_iter().find_map(|(server, facts)| facts.demoted(server)) {
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
        let demoted = answers(&told).into_iter().find_map(|(server, facts)| facts.demoted(server));
        demoted.map_or(Ok(()), |why| Err(BucketError::Unusable(why.into())))
    }

    /// By every connection that is up, as they may have gone to different servers; fails where no
    /// server has answered.
    async fn ask_servers(&self) -> Result<Vec<Told>, BucketError> {
        let up = self.connections.iter().filter(|connection| connection.is_up());
        let servers = up.flat_map(|connection| connection.servers().into_iter().map(move |server| (connection, server)));
        let asked = servers.map(|(connection, (name, server))| async move { (name, ask(connection, server).await) });
        let told = future::join_all(asked).await;
        if told.iter().any(|(_, facts)| facts.is_ok()) {
            return Ok(told.into_iter().map(|(name, facts)| (name, facts.ok())).collect());
        }
        let failure = told.into_iter().find_map(|(_, facts)| facts.err());
        Err(failure.map_or_else(|| BucketError::Unreachable("no connection".into()), Failure::into_error))
    }
}

/// What those said that answered.
fn answers(told: &[Told]) -> Vec<(&str, &Facts)> {
    told.iter().filter_map(|(server, facts)| Some((server.as_str(), facts.as_ref()?))).collect()
}

/// `INFO` tells everything. Where it is not allowed, or not there at all, `ROLE` may be.
async fn ask(connection: &Connection, server: Option<Server>) -> Result<Facts, Failure> {
    match connection.command_at(server.clone(), "INFO", ASK_TIMEOUT).await {
        Ok(info) => Ok(Facts::read(&text(info))),
        Err(failure) if matches!(failure.kind, RedisErrorKind::Refused | RedisErrorKind::Other) => {
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
