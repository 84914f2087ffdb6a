//! `tollgate nodes`

use tollgate_api::{NodeList, NodeStatus};
use tollgate_client::Client;

use crate::{
    exit::{Exit, Failure},
    output::Output,
    table,
};

pub(crate) async fn run(client: &Client, output: Output) -> Result<Exit, Failure> {
    let list = client.nodes().await?;
    if !list.complete {
        output.note("warning: these are not all nodes: the registry cannot be read, or some nodes tell nothing of themselves");
    }
    output.result(&list, nodes_table)?;
    Ok(Exit::Done)
}

fn nodes_table(list: &NodeList) -> String {
    let rows: Vec<[String; 9]> = list.nodes.iter().map(row).collect();
    table::columns(["NODE", "VERSION", "UP", "READY", "OUTAGE MODE", "POSITION", "BEHIND", "FILTER", "TROUBLES"], &rows)
}

fn row(node: &NodeStatus) -> [String; 9] {
    let mode = serde_json::to_value(node.outage_mode).ok().and_then(|mode| mode.as_str().map(str::to_owned)).unwrap_or_default();
    let troubles: Vec<&str> = node.troubles.iter().map(|component| component.as_str()).collect();
    [
        node.node.clone(),
        node.version.clone(),
        uptime(node.uptime_seconds),
        if node.ready { "yes" } else { "no" }.to_owned(),
        if node.in_outage { format!("{mode} (now)") } else { mode },
        node.change_log_position.to_string(),
        node.change_log_lag.to_string(),
        format!("{} keys, {} KiB", node.bloom_filter.keys, node.bloom_filter.bytes.div_ceil(1024)),
        if troubles.is_empty() { "none".to_owned() } else { troubles.join(", ") },
    ]
}

/// The two largest units.
fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_a_table() {
        let node = serde_json::json!({
            "id": "00", "node": "a:8080", "version": "1.2.3", "mode": "cluster", "started_at": "2026-01-02T03:04:05Z", "uptime_seconds": 93_784,
            "seen_at": "2026-01-02T03:04:05Z", "ready": true, "outage_mode": "local", "in_outage": true, "change_log_position": 7,
            "change_log_lag": 2, "bloom_filter": {"keys": 5, "bytes": 1025}, "troubles": ["redis", "pubsub"],
        });
        let list: NodeList = serde_json::from_value(serde_json::json!({"nodes": [node], "complete": true})).expect("a list");
        assert_eq!(
            nodes_table(&list),
            "NODE    VERSION  UP     READY  OUTAGE MODE  POSITION  BEHIND  FILTER         TROUBLES
a:8080  1.2.3    1d 2h  yes    local (now)  7         2       5 keys, 2 KiB  redis, pubsub"
        );
    }

    #[test]
    fn uptimes_are_short() {
        let texts = [59, 61, 3_660, 90_000].map(uptime);
        assert_eq!(texts, ["59s", "1m 1s", "1h 1m", "1d 1h"]);
    }
}
