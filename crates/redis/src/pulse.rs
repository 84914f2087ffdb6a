//! Whether a client can still come to something, and where the next one begins.
//!
//! A server that takes connections and says nothing (a frozen process, a host that is cut off behind its kernel) was seen to
//! hold a whole client of fred 10.1 up for minutes, whoever had taken its place meanwhile.

use std::time::Duration;

use fred::{
    clients::Client,
    error::Error,
    interfaces::ClientLike,
    types::config::{ClusterDiscoveryPolicy, Config, Options, Server, ServerConfig},
};
use tokio::time::{Instant, sleep};

/// From one question to the next.
const PULSE: Duration = Duration::from_secs(1);
/// A client that has answered nothing for so long is given up. Longer than any server is away in a failover that goes well.
const STUCK: Duration = Duration::from_secs(5);

/// What a server begins an answer with that has one for nobody just now, or none to this.
const REFUSALS: [&str; 5] = ["MISCONF", "LOADING", "BUSY", "NOPERM", "MASTERDOWN"];

/// Ends when no question was answered for so long that another client may do better.
pub(crate) async fn until_stuck(client: &Client, connect_timeout: Duration) {
    let patience = STUCK.max(connect_timeout + PULSE);
    let options = Options { max_attempts: Some(1), timeout: Some(PULSE), fail_fast: true, ..Default::default() };
    let mut answered = Instant::now();
    while answered.elapsed() < patience {
        sleep(PULSE).await;
        let asked = client.with_options(&options);
        // fred's own time-out does not begin before a connection is there.
        let told = tokio::time::timeout(PULSE, Box::pin(asked.ping::<()>(None))).await;
        if told.is_ok_and(|told| told.map_or_else(|error| is_refusal(&error), |()| true)) {
            answered = Instant::now();
        }
    }
}

/// A server that refuses is there.
fn is_refusal(error: &Error) -> bool {
    REFUSALS.iter().any(|code| error.details().starts_with(code))
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
        ServerConfig::Clustered { hosts, policy } => {
            rotate(hosts);
            hosts.truncate(1);
            // Once there, all members that it has told of are asked, or its end would be the client's.
            *policy = ClusterDiscoveryPolicy::UseCache;
        }
        ServerConfig::Sentinel { hosts, .. } => rotate(hosts),
        ServerConfig::Centralized { .. } => {}
    }
    config
}

#[cfg(test)]
mod tests {
    use fred::error::ErrorKind;

    use super::*;

    #[test]
    fn a_server_that_refuses_is_there_and_one_that_is_silent_is_not() {
        for text in
            ["MISCONF Redis is configured to save RDB snapshots", "LOADING Redis is loading the dataset in memory", "NOPERM this user"]
        {
            assert!(is_refusal(&Error::new(ErrorKind::Unknown, text)), "{text}");
        }
        for (kind, text) in [(ErrorKind::Timeout, "Request timed out."), (ErrorKind::Canceled, "Canceled."), (ErrorKind::IO, "")] {
            assert!(!is_refusal(&Error::new(kind, text)), "{text}");
        }
    }

    #[test]
    fn a_cluster_is_begun_at_one_member_and_held_by_all() {
        let config = Config::from_url("redis-cluster://a:1?node=b:2&node=c:3").expect("a URL");
        let mut begun: Vec<String> = Vec::new();
        for turn in 0..3 {
            let ServerConfig::Clustered { hosts, policy } = turned(&config, turn).server else { panic!("a cluster") };
            assert_eq!((hosts.len(), policy), (1, ClusterDiscoveryPolicy::UseCache));
            begun.extend(hosts.iter().map(|host| host.host.to_string()));
        }
        begun.sort_unstable();
        assert_eq!(begun, ["a", "b", "c"]);
    }
}
