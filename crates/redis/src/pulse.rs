//! Whether a client can still come to something, and where the next one begins.
//!
//! fred 10.1 makes a connection ready without a bound: a server that takes connections and says nothing (a frozen process, a
//! host that is cut off behind its kernel) holds the whole client up for ever, whoever has taken its place meanwhile.

use std::time::Duration;

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::config::{Config, Options, Server, ServerConfig},
};
use tokio::time::{Instant, sleep};

/// From one question to the next.
const PULSE: Duration = Duration::from_secs(1);
/// A client that has answered nothing for so long is given up. Longer than any server is away in a failover that goes well.
const STUCK: Duration = Duration::from_secs(5);

/// Ends when no question was answered for so long that another client may do better.
pub(crate) async fn until_stuck(client: &Client) {
    let options = Options { max_attempts: Some(1), timeout: Some(PULSE), fail_fast: true, ..Default::default() };
    let mut answered = Instant::now();
    while answered.elapsed() < STUCK {
        sleep(PULSE).await;
        let asked = client.with_options(&options);
        // fred's own time-out does not begin before a connection is there.
        if matches!(tokio::time::timeout(PULSE, Box::pin(asked.ping::<()>(None))).await, Ok(Ok(()))) {
            answered = Instant::now();
        }
    }
}

/// The next of the servers that are named: alone for a Cluster, which tells of the others, else first of all.
///
/// One that is gone, with its name, may take longer to be found gone than an attempt lasts: in a network of containers a
/// resolver takes 20 s to say that there is no such name. And fred 10.1 goes through a Cluster's in the order of their names.
pub(crate) fn turned(config: &Config, turn: usize) -> Config {
    let mut config = config.clone();
    let rotate = |hosts: &mut Vec<Server>| {
        let places = hosts.len().max(1);
        hosts.rotate_left(turn % places);
    };
    match &mut config.server {
        ServerConfig::Clustered { hosts, .. } => {
            rotate(hosts);
            hosts.truncate(1);
        }
        ServerConfig::Sentinel { hosts, .. } => rotate(hosts),
        ServerConfig::Centralized { .. } => {}
    }
    config
}
