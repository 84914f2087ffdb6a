//! A throwaway Redis Cluster whose slots can be moved by hand.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::{FromRedisValue, Value};

use crate::{Port, RedisOptions, TestCertificate, TestRedis, eventually};

const SLOTS: usize = 16_384;
const UP_WITHIN: Duration = Duration::from_secs(30);
const MIGRATE_TIMEOUT_MS: u32 = 5_000;

/// Masters without replicas; all slots are served.
#[derive(Debug)]
pub struct TestRedisCluster {
    nodes: Vec<TestRedis>,
    buses: Vec<Port>,
    tls: Vec<Port>,
}

impl TestRedisCluster {
    /// Starts `masters` nodes, shares the slots out evenly and waits until every node says `ok`.
    pub async fn start(masters: usize) -> Result<Self> {
        Self::with(masters, &RedisOptions::default()).await
    }

    /// The same, with settings for every node.
    pub async fn with(masters: usize, options: &RedisOptions) -> Result<Self> {
        Self::launched(masters, options, None).await
    }

    /// The same, where every node shows this certificate on a port of its own.
    pub async fn over_tls(masters: usize, certificate: &TestCertificate) -> Result<Self> {
        Self::launched(masters, &RedisOptions::default(), Some(certificate)).await
    }

    async fn launched(masters: usize, options: &RedisOptions, certificate: Option<&TestCertificate>) -> Result<Self> {
        let mut cluster = Self { nodes: Vec::new(), buses: Vec::new(), tls: Vec::new() };
        for _ in 0..masters {
            let bus = Port::take()?;
            let mut own = options.clone().cluster().line(&format!("cluster-port {}", bus.number()));
            if let Some(certificate) = certificate {
                let port = Port::take()?;
                own = own.tls(&port, certificate);
                cluster.tls.push(port);
            }
            cluster.nodes.push(TestRedis::with(own).await?);
            cluster.buses.push(bus);
        }
        cluster.share_slots().await?;
        cluster.introduce().await?;
        cluster.wait_until_ok().await?;
        Ok(cluster)
    }

    /// The nodes, in order of their first slots.
    pub fn nodes(&self) -> &[TestRedis] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, index: usize) -> Result<&TestRedis> {
        self.nodes.get(index).with_context(|| format!("the cluster has no node {index}"))
    }

    /// A URL that names all nodes, as fred reads it.
    pub fn url(&self) -> String {
        url("redis-cluster", self.nodes.iter().map(|node| node.address().to_owned()))
    }

    /// The same for the ports that speak TLS.
    pub fn tls_url(&self) -> String {
        url("rediss-cluster", self.tls.iter().map(|port| port.address().to_string()))
    }

    /// The slot of a key.
    pub async fn slot_of(&self, key: &str) -> Result<u16> {
        self.ask(0, &["cluster", "keyslot", key]).await
    }

    /// The index of the node that holds a slot, as that node sees it.
    pub async fn owner_of(&self, slot: u16) -> Result<usize> {
        for index in 0..self.nodes.len() {
            if self.slots_of(index).await?.iter().any(|range| range.contains(&slot)) {
                return Ok(index);
            }
        }
        anyhow::bail!("no node holds slot {slot}")
    }

    /// Moves a slot with its keys, one step after the other; `between` runs while the slot is
    /// importing and migrating and none of its keys has moved.
    pub async fn move_slot<Between>(&self, slot: u16, to: usize, between: Between) -> Result<()>
    where
        Between: AsyncFnOnce(&Self) -> Result<()>,
    {
        let from = self.begin_move(slot, to).await?;
        between(self).await?;
        while self.move_keys(slot, from, to, 100).await? > 0 {}
        self.finish_move(slot, from, to).await
    }

    /// Marks a slot as leaving its node for `to`; returns the index of the node that it leaves.
    pub async fn begin_move(&self, slot: u16, to: usize) -> Result<usize> {
        let from = self.owner_of(slot).await?;
        anyhow::ensure!(from != to, "slot {slot} is on node {to} already");
        let (source, target) = (self.id(from).await?, self.id(to).await?);
        let slot = slot.to_string();
        self.ask::<()>(to, &["cluster", "setslot", &slot, "importing", &source]).await?;
        self.ask::<()>(from, &["cluster", "setslot", &slot, "migrating", &target]).await?;
        Ok(from)
    }

    /// Moves up to `keys_max` keys of a slot; returns how many.
    pub async fn move_keys(&self, slot: u16, from: usize, to: usize, keys_max: usize) -> Result<usize> {
        let keys: Vec<String> = self.ask(from, &["cluster", "getkeysinslot", &slot.to_string(), &keys_max.to_string()]).await?;
        if keys.is_empty() {
            return Ok(0);
        }
        let (host, port) = self.node(to)?.address().rsplit_once(':').context("an address without a port")?;
        let timeout = MIGRATE_TIMEOUT_MS.to_string();
        let mut words = vec!["migrate", host, port, "", "0", &timeout, "replace", "keys"];
        words.extend(keys.iter().map(String::as_str));
        self.ask::<()>(from, &words).await?;
        Ok(keys.len())
    }

    /// Gives the slot to `to` and tells every node.
    pub async fn finish_move(&self, slot: u16, from: usize, to: usize) -> Result<()> {
        let target = self.id(to).await?;
        let others = (0..self.nodes.len()).filter(|index| *index != from && *index != to);
        for index in [to, from].into_iter().chain(others) {
            self.ask::<()>(index, &["cluster", "setslot", &slot.to_string(), "node", &target]).await?;
        }
        Ok(())
    }

    async fn share_slots(&self) -> Result<()> {
        for (index, range) in shares(self.nodes.len()).into_iter().enumerate() {
            let (first, last) = (range.start.to_string(), (range.end - 1).to_string());
            self.ask::<()>(index, &["cluster", "addslotsrange", &first, &last]).await?;
            self.ask::<()>(index, &["cluster", "set-config-epoch", &(index + 1).to_string()]).await?;
        }
        Ok(())
    }

    async fn introduce(&self) -> Result<()> {
        for (node, bus) in self.nodes.iter().zip(&self.buses).skip(1) {
            let (host, port) = node.address().rsplit_once(':').context("an address without a port")?;
            self.ask::<()>(0, &["cluster", "meet", host, port, &bus.number().to_string()]).await?;
        }
        Ok(())
    }

    async fn wait_until_ok(&self) -> Result<()> {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        for index in 0..self.nodes.len() {
            eventually("cluster_state:ok", UP_WITHIN, async || {
                let info: String = self.ask(index, &["cluster", "info"]).await?;
                for line in ["cluster_state:ok", "cluster_slots_ok:16384", known.as_str()] {
                    anyhow::ensure!(info.lines().any(|found| found == line), "node {index} has no {line}: {info}");
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn id(&self, index: usize) -> Result<String> {
        self.ask(index, &["cluster", "myid"]).await
    }

    async fn slots_of(&self, index: usize) -> Result<Vec<Range<u16>>> {
        let nodes: String = self.ask(index, &["cluster", "nodes"]).await?;
        let own = nodes.lines().find(|line| line.contains("myself")).context("a node that does not know itself")?;
        // `1-5`, `7`, or `[9-<-id]` for a slot on its way.
        own.split_whitespace().skip(8).filter(|word| !word.starts_with('[')).map(range).collect()
    }

    async fn ask<T: FromRedisValue>(&self, index: usize, words: &[&str]) -> Result<T> {
        let answer: Value = self.node(index)?.command(words).await.with_context(|| format!("node {index}: {words:?}"))?;
        redis::from_redis_value(answer).with_context(|| format!("node {index}: {words:?}"))
    }
}

fn url(scheme: &str, mut addresses: impl Iterator<Item = String>) -> String {
    let first = addresses.next().unwrap_or_default();
    let rest: Vec<String> = addresses.map(|address| format!("node={address}")).collect();
    format!("{scheme}://{first}/?{}", rest.join("&"))
}

fn range(word: &str) -> Result<Range<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Ok(first.parse()?..last.parse::<u16>()? + 1)
}

/// The slots in `parts` ranges of nearly the same length.
fn shares(parts: usize) -> Vec<Range<usize>> {
    (0..parts).map(|part| SLOTS * part / parts..SLOTS * (part + 1) / parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_slot_once() {
        for parts in 1..7 {
            let shares = shares(parts);
            assert_eq!(shares.iter().map(ExactSizeIterator::len).sum::<usize>(), SLOTS);
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[tokio::test]
    async fn a_slot_moves_with_its_keys_and_can_be_held_half_way() {
        let cluster = TestRedisCluster::start(3).await.unwrap();
        let slot = cluster.slot_of("{a}").await.unwrap();
        let from = cluster.owner_of(slot).await.unwrap();
        let to = (from + 1) % 3;
        cluster.node(from).unwrap().command(&["set", "{a}x", "1"]).await.unwrap();
        cluster.move_slot(slot, to, half_way).await.unwrap();
        assert_eq!(cluster.owner_of(slot).await.unwrap(), to);
        let value: String = cluster.ask(to, &["get", "{a}x"]).await.unwrap();
        assert_eq!(value, "1");
        let moved = cluster.ask::<String>(from, &["get", "{a}x"]).await.unwrap_err();
        assert!(format!("{moved:#}").contains("Moved:"), "{moved:#}");
    }

    async fn half_way(cluster: &TestRedisCluster) -> Result<()> {
        let slot = cluster.slot_of("{a}").await?;
        let from = cluster.owner_of(slot).await?;
        let missing = cluster.ask::<String>(from, &["get", "{a}missing"]).await.unwrap_err();
        assert!(format!("{missing:#}").contains("Ask:"), "{missing:#}");
        Ok(())
    }
}
