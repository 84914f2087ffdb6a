//! Several nodes over one Redis and one Postgres, ready to be asked.

use anyhow::{Context, Result};

use crate::{Build, Node, NodeBuilder, TestDatabase, TestNginx, TestPostgres, TestRedis};

/// How a fleet is to be started; by default on the shared Redis and Postgres.
#[derive(Debug)]
pub struct FleetBuilder {
    nodes: usize,
    redis_url: Option<String>,
    postgres_url: Option<String>,
    environment: Vec<(String, String)>,
    taken_back: Vec<String>,
    build: Build,
}

/// Running nodes of one cluster with a database and a Redis prefix of their own.
#[derive(Debug)]
pub struct Fleet {
    /// The nodes, all ready.
    pub nodes: Vec<Node>,
    /// An api key with the scope `admin`.
    pub admin_key: String,
    /// What the nodes' Redis keys begin with.
    pub prefix: String,
    /// How the nodes were started; starts one more.
    pub builder: NodeBuilder,
    /// Dropped after the nodes.
    pub database: Option<TestDatabase>,
}

impl Fleet {
    /// `nodes` nodes on the shared services.
    pub async fn start(nodes: usize) -> Result<Self> {
        Self::builder(nodes).start().await
    }

    /// To set more than the number of nodes.
    pub fn builder(nodes: usize) -> FleetBuilder {
        FleetBuilder { nodes, redis_url: None, postgres_url: None, environment: Vec::new(), taken_back: Vec::new(), build: Build::Debug }
    }

    /// One of the nodes.
    pub fn node(&self, index: usize) -> Result<&Node> {
        self.nodes.get(index).with_context(|| format!("the fleet has no node {index}"))
    }

    /// nginx before all nodes.
    pub async fn balancer(&self) -> Result<TestNginx> {
        TestNginx::start(&self.nodes.iter().map(Node::address).collect::<Vec<_>>()).await
    }
}

impl FleetBuilder {
    /// A Redis of the caller's: one that is flushed or killed, a Cluster, or a proxy's address.
    #[must_use]
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        self.redis_url = Some(url.into());
        self
    }

    /// A migrated database of the caller's, for instance through a proxy.
    #[must_use]
    pub fn postgres(mut self, url: impl Into<String>) -> Self {
        self.postgres_url = Some(url.into());
        self
    }

    /// An environment variable for every node.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Takes an environment variable back that tests set ([`Node::cluster`]): the default holds.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.taken_back.push(name.into());
        self
    }

    /// Nodes of another build.
    #[must_use]
    pub fn build(self, build: Build) -> Self {
        Self { build, ..self }
    }

    /// Nodes of the release build.
    #[must_use]
    pub fn released(self) -> Self {
        self.build(Build::Release)
    }

    /// Makes the database and the first admin key, starts the nodes and waits until all are ready.
    pub async fn start(self) -> Result<Fleet> {
        let redis_url = match &self.redis_url {
            Some(url) => url.clone(),
            None => TestRedis::shared().await?.url(),
        };
        let database = if self.postgres_url.is_none() { Some(TestDatabase::migrated().await?) } else { None };
        let own = database.as_ref().map(|database| database.url().to_owned());
        let postgres_url = own.or(self.postgres_url).unwrap_or_default();
        let prefix = crate::unique("t") + ":";
        let plain = Node::cluster(&redis_url, &postgres_url).env("TOLLGATE_REDIS__PREFIX", &prefix);
        let plain = self.taken_back.iter().fold(plain, |builder, name| builder.without(name));
        let builder = self.environment.into_iter().fold(plain.build(self.build), |builder, (name, value)| builder.env(&name, value));
        let admin_key = builder.run(&["bootstrap"]).await.context("making the first admin key")?;
        let nodes: Vec<Node> = (0..self.nodes).map(|_| builder.clone().spawn()).collect::<Result<_>>()?;
        for node in &nodes {
            node.wait_until_ready().await?;
        }
        Ok(Fleet { nodes, admin_key, prefix, builder, database })
    }
}

impl TestDatabase {
    /// A database with the schema that `tollgate migrate` makes, in the shared Postgres.
    pub async fn migrated() -> Result<Self> {
        Self::create(migrate).await
    }

    /// The same in a Postgres of the caller's.
    pub async fn migrated_in(postgres: &TestPostgres) -> Result<Self> {
        Self::create_in(postgres, migrate).await
    }
}

/// Brings a database's schema up by the binary.
async fn migrate(url: String) -> Result<()> {
    // The command needs no Redis, but the mode asks for its URL.
    Node::cluster("redis://127.0.0.1:1/", &url).run(&["migrate"]).await.map(drop)
}
