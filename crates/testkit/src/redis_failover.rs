//! Redises that take over from each other: a Cluster with a replica for each master, and a master with a replica that
//! sentinels look after.

use std::time::Duration;

use anyhow::{Context, Result};
use redis::{FromRedisValue, Value};

use crate::{Port, RedisOptions, TestRedis, TestRedisCluster, eventually};

/// Generous: whole elections are in it, on a busy machine.
const WITHIN: Duration = Duration::from_mins(1);
const SENTINELS: usize = 3;
/// The name that sentinels know the master by.
const NAME: &str = "tollgate";

/// A Cluster in which each master has one replica, in the same order.
#[derive(Debug)]
pub struct TestRedisPairs {
    /// The masters that it began with.
    pub masters: TestRedisCluster,
    /// Their replicas.
    pub replicas: Vec<TestRedis>,
    _buses: Vec<Port>,
}

impl TestRedisPairs {
    /// Starts `masters` masters and a replica for each, and waits until these copy.
    pub async fn start(masters: usize) -> Result<Self> {
        let masters = TestRedisCluster::start(masters).await?;
        let (mut replicas, mut buses) = (Vec::new(), Vec::new());
        for master in masters.nodes() {
            let bus = Port::take()?;
            let options = RedisOptions::default().cluster().line(&format!("cluster-port {}", bus.number()));
            // However long it has not heard of its master, it may take over.
            let replica = TestRedis::with(options.line("cluster-replica-validity-factor 0")).await?;
            let (host, port) = replica.address().rsplit_once(':').context("an address without a port")?;
            ask::<()>(master, &["cluster", "meet", host, port, &bus.number().to_string()]).await?;
            let id: String = ask(master, &["cluster", "myid"]).await?;
            eventually("the replica knows its master", WITHIN, async || ask::<()>(&replica, &["cluster", "replicate", &id]).await).await?;
            replicas.push(replica);
            buses.push(bus);
        }
        for (master, replica) in masters.nodes().iter().zip(&replicas) {
            copied(master, replica).await?;
        }
        Ok(Self { masters, replicas, _buses: buses })
    }

    /// A URL that names all of them.
    pub fn url(&self) -> String {
        let replicas: Vec<String> = self.replicas.iter().map(|replica| format!("&node={}", replica.address())).collect();
        self.masters.url() + &replicas.concat()
    }

    /// Freezes all replicas: what masters do from now on is lost when they take over.
    pub async fn cut_off(&self) -> Result<()> {
        for (master, replica) in self.masters.nodes().iter().zip(&self.replicas) {
            cut_off(master, replica).await?;
        }
        Ok(())
    }

    /// Lets a replica take over, whatever became of its master, and waits until it says that it serves.
    pub async fn take_over(&self, index: usize) -> Result<()> {
        let replica = self.replicas.get(index).with_context(|| format!("there is no replica {index}"))?;
        eventually("the replica takes over", WITHIN, async || {
            if !is_master(replica).await? {
                ask::<()>(replica, &["cluster", "failover", "takeover"]).await?;
            }
            let info: String = ask(replica, &["cluster", "info"]).await?;
            anyhow::ensure!(is_master(replica).await? && info.contains("cluster_state:ok"), "{info}");
            Ok(())
        })
        .await
    }
}

/// A master, a replica, and three sentinels that agree by two.
#[derive(Debug)]
pub struct TestRedisSentinels {
    /// The first one was the master.
    pub redis: [TestRedis; 2],
    sentinels: Vec<TestRedis>,
}

impl TestRedisSentinels {
    /// Starts all, and waits until the sentinels know the replica and each other.
    pub async fn start() -> Result<Self> {
        let master = TestRedis::start().await?;
        let (host, port) = master.address().rsplit_once(':').context("an address without a port")?;
        let replica = TestRedis::with(RedisOptions::default().line(&format!("replicaof {host} {port}"))).await?;
        copied(&master, &replica).await?;
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            let options = RedisOptions::default().sentinel().line(&format!("sentinel monitor {NAME} {host} {port} 2"));
            let options = options.line(&format!("sentinel down-after-milliseconds {NAME} 1000"));
            sentinels.push(TestRedis::with(options.line(&format!("sentinel failover-timeout {NAME} 3000"))).await?);
        }
        let whole = Self { redis: [master, replica], sentinels };
        whole.agreed().await?;
        Ok(whole)
    }

    /// A URL that names all sentinels.
    pub fn url(&self) -> String {
        let mut addresses = self.sentinels.iter().map(TestRedis::address);
        let first = addresses.next().unwrap_or_default();
        let rest: Vec<String> = addresses.map(|address| format!("node={address}&")).collect();
        format!("redis-sentinel://{first}/0?{}sentinelServiceName={NAME}", rest.concat())
    }

    /// Waits until all sentinels name this one the master, and it says so itself.
    pub async fn master_is(&self, index: usize) -> Result<()> {
        let expected = self.redis.get(index).with_context(|| format!("there is no redis {index}"))?;
        eventually("another master", WITHIN, async || {
            for sentinel in &self.sentinels {
                let named: Vec<String> = ask(sentinel, &["sentinel", "get-master-addr-by-name", NAME]).await?;
                anyhow::ensure!(named.join(":") == expected.address(), "{named:?}");
            }
            anyhow::ensure!(is_master(expected).await?, "it is a replica still");
            Ok(())
        })
        .await
    }

    /// Waits until `index` copies the other one.
    pub async fn copies(&self, index: usize) -> Result<()> {
        let [master, replica] = self.by(index);
        copied(master, replica).await
    }

    /// Freezes `index`, the replica: what the master does from now on is lost when it takes over.
    pub async fn cut_off(&self, index: usize) -> Result<()> {
        let [master, replica] = self.by(index);
        cut_off(master, replica).await
    }

    /// The other one, and `index`.
    fn by(&self, index: usize) -> [&TestRedis; 2] {
        let [first, second] = &self.redis;
        if index == 0 { [second, first] } else { [first, second] }
    }

    /// Waits until every sentinel sees one good replica and both other sentinels.
    pub async fn agreed(&self) -> Result<()> {
        for sentinel in &self.sentinels {
            eventually("the sentinels agree", WITHIN, async || {
                let told: String = ask(sentinel, &["info", "sentinel"]).await?;
                anyhow::ensure!(told.contains("status=ok") && told.contains("slaves=1,sentinels=3"), "{told}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// Freezes a replica so that it hears nothing of what its master does from now on, not even what lies on the wire.
async fn cut_off(master: &TestRedis, replica: &TestRedis) -> Result<()> {
    copied(master, replica).await?;
    replica.stop()?;
    ask::<Value>(master, &["client", "kill", "type", "replica"]).await.map(drop)
}

async fn copied(master: &TestRedis, replica: &TestRedis) -> Result<()> {
    eventually("the replica has what its master has", WITHIN, async || {
        let link = replica.info("replication", "master_link_status").await?;
        let offsets = (master.info("replication", "master_repl_offset").await?, replica.info("replication", "slave_repl_offset").await?);
        anyhow::ensure!(link == "up" && offsets.0 == offsets.1, "{link} {offsets:?}");
        Ok(())
    })
    .await
}

async fn is_master(redis: &TestRedis) -> Result<bool> {
    Ok(redis.info("replication", "role").await? == "master")
}

async fn ask<T: FromRedisValue>(redis: &TestRedis, words: &[&str]) -> Result<T> {
    let answer: Value = redis.command(words).await.with_context(|| format!("{words:?}"))?;
    redis::from_redis_value(answer).with_context(|| format!("{words:?}"))
}
