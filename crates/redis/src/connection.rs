//! Connections that come back by themselves.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::Error,
    interfaces::{ClientLike, ClusterInterface, EventInterface, KeysInterface},
    types::{
        Builder, CustomCommand, Key, Value,
        config::{self, Config, ReconnectPolicy, TcpConfig, UnresponsiveConfig},
    },
};
use tokio::{sync::broadcast::error::RecvError, task::JoinSet};

use crate::{
    buckets::OptionsError,
    failure::Failure,
    options::Options,
    pulse,
    scripts::Script,
    tls::{self, LastRefusal},
};

/// Attempts to reconnect come ever later, up to a quarter of a second: a server that is back is
/// used again within that.
const RECONNECT_DELAY_MS: u32 = 10;
const RECONNECT_DELAY_MAX_MS: u32 = 250;
/// A connection that owes an answer for so long is given up and made anew.
const UNRESPONSIVE: Duration = Duration::from_secs(1);
/// How long a client whose task has ended is left alone.
const REBUILD_DELAY: Duration = Duration::from_millis(250);

/// One connection (one to each master of a Cluster) and the task that keeps it.
pub(crate) struct Connection {
    client: RwLock<Client>,
    config: Config,
    refusal: LastRefusal,
    connect_timeout: Duration,
    made: Arc<AtomicU64>,
    trouble: Mutex<Option<Arc<str>>>,
}

/// How a script is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Sha,
    Text,
}

impl Connection {
    /// Reads the URL. Connects once [`Connection::keep`] runs. `made` counts connections.
    pub(crate) fn new(options: &Options, made: Arc<AtomicU64>) -> Result<Self, OptionsError> {
        let (mut config, refusal) = tls::config(options)?;
        config.fail_fast = false;
        let client = build(&config, options.connect_timeout).map_err(|_| OptionsError::URL)?;
        let (client, trouble) = (RwLock::new(client), Mutex::new(None));
        Ok(Self { client, config, refusal, connect_timeout: options.connect_timeout, made, trouble })
    }

    pub(crate) fn is_clustered(&self) -> bool {
        self.config.server.is_clustered()
    }

    /// Whether calls can be made now; where not, they fail at once.
    pub(crate) fn is_up(&self) -> bool {
        self.client().is_connected()
    }

    /// Keeps a client connected, for ever. fred itself reconnects; but its task can end (with
    /// fred 10.1 some errors while a Cluster's map is read anew do that), or wait for ever, and then a new
    /// client takes the place of the old one.
    pub(crate) async fn keep(self: Arc<Self>) {
        for turn in 1.. {
            let client = self.client();
            let mut tasks = JoinSet::new();
            let (reconnects, errors) = (client.reconnect_rx(), client.error_rx());
            tasks.spawn(Arc::clone(&self).count(reconnects));
            tasks.spawn(Arc::clone(&self).note(errors));
            let task = AbortOnDrop(client.connect());
            tokio::select! {
                () = self.until_ended(task) => {}
                () = pulse::until_stuck(&client, self.connect_timeout) => {
                    tracing::debug!("the redis client has answered nothing for long and is replaced");
                }
            }
            tokio::time::sleep(REBUILD_DELAY).await;
            match build(&pulse::turned(&self.config, turn), self.connect_timeout) {
                Ok(client) => *self.client.write().unwrap_or_else(PoisonError::into_inner) = client,
                Err(error) => self.set_trouble(Some(&error.to_string())),
            }
        }
    }

    async fn until_ended(&self, mut task: AbortOnDrop) {
        let why = match (&mut task.0).await {
            Ok(Ok(())) => "the connection task has ended".to_owned(),
            Ok(Err(error)) => self.refusal.worded(&error),
            Err(error) => error.to_string(),
        };
        tracing::warn!(%why, "the redis client has stopped and is made anew");
        self.set_trouble(Some(&why));
    }

    async fn count(self: Arc<Self>, mut reconnects: tokio::sync::broadcast::Receiver<config::Server>) {
        loop {
            match reconnects.recv().await {
                Ok(server) => tracing::info!(%server, "connected to redis"),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
            self.set_trouble(None);
            self.made.fetch_add(1, Ordering::AcqRel);
        }
    }

    async fn note(self: Arc<Self>, mut errors: tokio::sync::broadcast::Receiver<(Error, Option<config::Server>)>) {
        loop {
            match errors.recv().await {
                Ok((error, _)) => self.set_trouble(Some(&self.refusal.worded(&error))),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// The last error, if nothing was better since.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, text: Option<&str>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = text.map(Into::into);
    }

    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For one command that is sent at most once, not at all while disconnected, and not any more
    /// once `timeout` has passed.
    fn once(&self, timeout: Duration) -> WithOptions<Client> {
        // fred takes a time-out of zero for none.
        let timeout = Some(timeout.max(Duration::from_micros(1)));
        let options = config::Options { max_attempts: Some(1), max_redirections: Some(0), timeout, fail_fast: true, ..Default::default() };
        self.client().with_options(&options)
    }

    /// Runs a script.
    pub(crate) async fn run(
        &self,
        script: &Script,
        by: By,
        keys: Vec<Bytes>,
        args: Vec<Value>,
        timeout: Duration,
    ) -> Result<Bytes, Failure> {
        // Not fred's own `evalsha`: with fred 10.1 it silently drops the options of `once`.
        let (name, script) = match by {
            By::Sha => ("EVALSHA", Value::Bytes(script.sha1.clone())),
            By::Text => ("EVAL", Value::Bytes(Bytes::from_static(script.text.as_bytes()))),
        };
        // All keys of a call share a slot where there are slots.
        let slot = keys.first().map(|key| fred::util::redis_keyslot(key));
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let head = [script, Value::Integer(count)].into_iter();
        let args: Vec<Value> = head.chain(keys.into_iter().map(Value::Bytes)).chain(args).collect();
        let told = self.once(timeout).custom(CustomCommand::new_static(name, slot, false), args).await;
        told.map_err(Failure::from)
    }

    /// Runs one command whose first argument is a key.
    pub(crate) async fn command(&self, name: &'static str, args: Vec<Value>, timeout: Duration) -> Result<Value, Failure> {
        let slot = args.first().and_then(Value::as_bytes).map(fred::util::redis_keyslot);
        let client = self.once(timeout);
        within(timeout, Box::pin(client.custom(CustomCommand::new_static(name, slot, false), args))).await
    }

    /// Reads a key, to see whether the server answers.
    pub(crate) async fn probe(&self, key: Bytes, timeout: Duration) -> Result<(), Failure> {
        let client = self.once(timeout);
        let value: Value = within(timeout, Box::pin(client.get(Key::from(key)))).await?;
        drop(value);
        Ok(())
    }

    /// The servers that decide, by name: every master of a Cluster, else the one that is connected to.
    pub(crate) fn servers(&self) -> Vec<(String, Option<config::Server>)> {
        let client = self.client();
        if self.is_clustered() {
            let map = client.cached_cluster_state().map(|map| map.unique_primary_nodes()).unwrap_or_default();
            return map.into_iter().map(|server| (server.to_string(), Some(server))).collect();
        }
        let server = client.active_connections().into_iter().next();
        vec![(server.map_or_else(|| "redis.url".to_owned(), |server| server.to_string()), None)]
    }

    /// Runs one command without arguments at one server.
    pub(crate) async fn command_at(&self, server: Option<config::Server>, name: &'static str, timeout: Duration) -> Result<Value, Failure> {
        let mut client = self.once(timeout);
        if let Some(server) = server {
            let options = config::Options { cluster_node: Some(server), ..client.options().clone() };
            client = self.client().with_options(&options);
        }
        let command = CustomCommand::new_static(name, None, false);
        within(timeout, Box::pin(client.custom(command, Vec::<Value>::new()))).await
    }

    /// Connects anew: by what the name, the sentinels or the map of a Cluster say now.
    pub(crate) async fn start_over(&self, timeout: Duration) {
        // Where that fails the client is connecting already.
        drop(tokio::time::timeout(timeout, Box::pin(self.client().force_reconnection())).await);
    }

    /// Reads the map of the Cluster anew.
    pub(crate) async fn refresh_map(&self) {
        let read = tokio::time::timeout(self.connect_timeout, async { self.client().sync_cluster().await }).await;
        if !matches!(read, Ok(Ok(()))) {
            tracing::warn!("the map of the redis cluster cannot be read");
        }
    }
}

/// Holds a call to its time-out: fred's own does not begin before a connection is there. fred's
/// futures take kilobytes, hence the boxes.
async fn within<T>(timeout: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, call).await {
        Ok(told) => told.map_err(Failure::from),
        Err(_) => Err(Failure::timed_out()),
    }
}

impl fmt::Debug for Connection {
    /// Not the configuration: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("made", &self.made).field("trouble", &self.trouble()).finish_non_exhaustive()
    }
}

/// The first connection that is up: while one comes back the others do its work. With none up, the
/// first.
pub(crate) fn usable(connections: &[Arc<Connection>]) -> Option<&Connection> {
    let up = connections.iter().find(|connection| connection.is_up());
    up.or(connections.first()).map(Arc::as_ref)
}

/// One of the connections that are up, each in its turn; with none up, the first.
pub(crate) fn usable_in_turn(connections: &[Arc<Connection>], turn: usize) -> Option<&Connection> {
    let up: Vec<&Arc<Connection>> = connections.iter().filter(|connection| connection.is_up()).collect();
    let in_turn = turn.checked_rem(up.len()).and_then(|place| up.get(place).copied());
    in_turn.or(connections.first()).map(Arc::as_ref)
}

/// fred's task must not outlive its keeper.
struct AbortOnDrop(fred::types::ConnectHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn build(config: &Config, connect_timeout: Duration) -> Result<Client, Error> {
    let tcp = TcpConfig { nodelay: Some(true), ..Default::default() };
    let mut policy = ReconnectPolicy::new_linear(0, RECONNECT_DELAY_MAX_MS, RECONNECT_DELAY_MS);
    policy.set_jitter(RECONNECT_DELAY_MS);
    Builder::from_config(config.clone())
        .with_connection_config(|connection| {
            connection.connection_timeout = connect_timeout;
            connection.internal_command_timeout = connect_timeout;
            connection.max_command_attempts = 1;
            // fred 10.1 re-sends to the wrong node on ASK until its task ends; a refusal is definite.
            connection.max_redirections = 0;
            connection.unresponsive = UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE), interval: UNRESPONSIVE / 4 };
            // A primary that became a replica under the connection. The others are told per call.
            connection.reconnect_errors = vec![config::ReconnectError::ReadOnly];
            connection.tcp = tcp;
        })
        .set_policy(policy)
        .build()
}
