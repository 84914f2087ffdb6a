//! The bus over Redis' pub/sub: one channel per deployment, `<prefix>events`.
//!
//! Events are JSON, in the form that redis-macros derives. Whoever listens does so on a connection
//! of its own, which is made anew whenever it is silent for too long; events that nobody fetches
//! in time are dropped, and that is told.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{Builder, ConnectHandle, FromValue, Message, Value, config::Config},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{
        Mutex,
        broadcast::{self, error::RecvError},
    },
    task::JoinSet,
};
use tollgate_api::BusEvent;
use tollgate_gate::ports::{BoxFuture, Bus, BusError, Heard};

use crate::{
    Options, OptionsError, Wire,
    connection::Connection,
    names::Names,
    pulse::turned,
    tls::{self, LastRefusal},
};

/// How long one event may take to be said.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(200);
/// A connection that brings nothing for so long is made anew: nodes hear their own heartbeats.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// From the end of one connection to the next attempt.
const PAUSE: Duration = Duration::from_millis(100);
/// No event is longer.
const EVENT_BYTES_MAX: usize = 4096;

/// An event as it stands on the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, redis_macros::FromRedisValue, redis_macros::ToRedisArgs)]
#[serde(transparent)]
pub struct EventLine(pub BusEvent);

/// The bus of one deployment. Everything it started ends with it.
#[derive(Debug)]
pub struct RedisBus {
    channel: Arc<str>,
    publisher: Arc<Connection>,
    heard: Mutex<broadcast::Receiver<Heard>>,
    _tasks: JoinSet<()>,
}

impl RedisBus {
    /// Starts to connect, in the background: neither waits for Redis nor fails without it.
    ///
    /// Must be called within a Tokio runtime.
    pub fn connect(options: &Options) -> Result<Self, OptionsError> {
        let names = Names::new(&options.prefix, options.tags)?;
        let channel: Arc<str> = format!("{}events", names.prefix()).into();
        let events_max = options.events_max.max(1);
        let (told, heard) = broadcast::channel(events_max);
        let publisher = Arc::new(Connection::new(options, Arc::new(AtomicU64::new(0)))?);
        let (mut config, refusal) = tls::config(options)?;
        config.fail_fast = true;
        let listener = Listener { config, refusal, connect_timeout: options.connect_timeout, events_max, channel: channel.clone(), told };
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&publisher).keep());
        tasks.spawn(listener.listen());
        Ok(Self { channel, publisher, heard: Mutex::new(heard), _tasks: tasks })
    }

    /// The channel's name.
    pub fn channel(&self) -> &str {
        &self.channel
    }
}

impl Bus for RedisBus {
    fn publish(&self, event: BusEvent) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            let channel = Value::Bytes(self.channel.as_bytes().to_vec().into());
            let told = self.publisher.command("PUBLISH", vec![channel, Wire(EventLine(event)).into()], PUBLISH_TIMEOUT).await;
            told.map(drop).map_err(|failure| BusError(failure.into_error().to_string().into()))
        })
    }

    fn next(&self) -> BoxFuture<'_, Heard> {
        Box::pin(async move {
            match self.heard.lock().await.recv().await {
                Ok(heard) => heard,
                Err(RecvError::Lagged(_)) => Heard::Overflowed,
                // The listener lives as long as this does.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        })
    }
}

struct Listener {
    config: Config,
    refusal: LastRefusal,
    connect_timeout: Duration,
    events_max: usize,
    channel: Arc<str>,
    told: broadcast::Sender<Heard>,
}

impl fmt::Debug for Listener {
    /// Not the configuration: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Listener {
    /// One connection after the other, for ever.
    async fn listen(self) {
        let mut trouble = String::new();
        for turn in 0.. {
            let why = match self.once(turn).await {
                Ok(()) => "nothing was heard for a while".to_owned(),
                Err(error) => self.refusal.worded(&error),
            };
            self.tell(Heard::Parted);
            if why != trouble {
                tracing::warn!(%why, "not listening to the bus; trying again");
            }
            trouble = why;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Listens on one connection, until it is of no use any more.
    async fn once(&self, turn: usize) -> Result<(), Error> {
        let client = self.client(turn)?;
        let (mut messages, mut errors) = (client.message_rx(), client.error_rx());
        let task = AbortOnDrop(client.connect());
        self.subscribe(&client).await?;
        self.tell(Heard::Joined);
        loop {
            tokio::select! {
                // A connection that fred would make anew has lost what was said meanwhile.
                Ok((error, _)) = errors.recv() => return Err(error),
                message = tokio::time::timeout(SILENCE_MAX, messages.recv()) => match message {
                    Ok(Ok(message)) => self.tell(read(message)),
                    Ok(Err(RecvError::Lagged(_))) => self.tell(Heard::Overflowed),
                    Ok(Err(RecvError::Closed)) | Err(_) => break,
                },
            }
        }
        drop(task);
        Ok(())
    }

    async fn subscribe(&self, client: &Client) -> Result<(), Error> {
        let late = |_| Error::new(fred::error::ErrorKind::Timeout, "no answer in time");
        let joining = async {
            client.wait_for_connect().await?;
            client.subscribe(self.channel.as_ref()).await
        };
        tokio::time::timeout(self.connect_timeout, joining).await.map_err(late)?
    }

    /// A client that does not come back by itself: a new connection is a new listener.
    fn client(&self, turn: usize) -> Result<Client, Error> {
        Builder::from_config(turned(&self.config, turn))
            .with_connection_config(|connection| {
                connection.connection_timeout = self.connect_timeout;
                connection.internal_command_timeout = self.connect_timeout;
                connection.max_command_attempts = 1;
                connection.max_redirections = 0;
            })
            .with_performance_config(|performance| performance.broadcast_channel_capacity = self.events_max)
            .build()
    }

    fn tell(&self, heard: Heard) {
        // Fails only where nobody listens any more.
        self.told.send(heard).ok();
    }
}

fn read(message: Message) -> Heard {
    let bytes = match &message.value {
        Value::Bytes(bytes) => bytes.len(),
        Value::String(text) => text.len(),
        _ => return Heard::Unreadable,
    };
    if bytes > EVENT_BYTES_MAX {
        return Heard::Unreadable;
    }
    Wire::<EventLine>::from_value(message.value).map_or(Heard::Unreadable, |line| Heard::Event(line.0.0))
}

/// fred's task must not outlive the connection's use.
struct AbortOnDrop(ConnectHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
