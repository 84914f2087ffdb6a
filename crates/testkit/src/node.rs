//! A real node: the `tollgate` binary as a process of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Launch;
use crate::{Port, Process, Scratch, eventually, probe};

const UP_WITHIN: Duration = Duration::from_mins(1);

/// Tests hash thousands of secrets; one test uses the default figures.
const QUICK: [(&str, &str); 3] =
    [("TOLLGATE_ARGON2__MEMORY_KIB", "64"), ("TOLLGATE_ARGON2__ITERATIONS", "1"), ("TOLLGATE_SHUTDOWN__DRAIN_DELAY", "0s")];

/// All callers of a test have one address, and fail on purpose; a test of the limit on failures takes
/// these back by [`NodeBuilder::without`].
const PATIENT: [(&str, &str); 2] =
    [("TOLLGATE_PREAUTH__ADDRESS__BURST", "1000000000"), ("TOLLGATE_PREAUTH__KEY_TEXT__BURST", "1000000000")];

/// A busy machine must not turn exact decisions into an outage, nor the first use of a key into a
/// refusal; a test of outages takes these back by [`NodeBuilder::without`].
const EXACT: [(&str, &str); 4] = [
    ("TOLLGATE_OUTAGE__MODE", "closed"),
    ("TOLLGATE_REDIS__DECISION_TIMEOUT", "5s"),
    ("TOLLGATE_POSTGRES__LOOKUP_TIMEOUT", "5s"),
    ("TOLLGATE_POSTGRES__ACQUIRE_TIMEOUT", "5s"),
];

/// How a node is to be started.
#[derive(Debug, Clone)]
pub struct NodeBuilder {
    environment: BTreeMap<String, String>,
    build: Build,
}

/// Which binary a node is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Build {
    /// That of these sources, as it is made for tests.
    #[default]
    Debug,
    /// The release build, for tests of large numbers: `TOLLGATE_RELEASE_BIN`, which `tests/run` sets. Where it is not set
    /// the node is the same as any other, only slower.
    Release,
    /// An earlier version: `TOLLGATE_BEFORE_BIN`, which `.ci/upgrade` sets. Where it is not set, the same as any other.
    Before,
}

/// A running node; killed on drop.
#[derive(Debug)]
pub struct Node {
    process: Process,
    builder: NodeBuilder,
    listen: Port,
    metrics: Port,
    folder: Scratch,
}

/// A command of the `tollgate` binary, with none of the settings that the tests themselves run
/// under.
///
/// The binary is `TOLLGATE_BIN`, else the one that cargo put next to the tests; `tests/run`
/// builds it.
pub fn tollgate<Argument: AsRef<str>>(arguments: &[Argument]) -> Result<Command> {
    Ok(command(binary()?, arguments))
}

fn command<Argument: AsRef<str>>(binary: PathBuf, arguments: &[Argument]) -> Command {
    let mut command = Command::new(binary);
    command.args(arguments.iter().map(AsRef::as_ref));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOLLGATE_")) {
        command.env_remove(name);
    }
    command
}

impl Node {
    /// A node of a cluster, with outage mode `closed` and a long deadline, so that every decision is
    /// exact. Migrate the database first, or start a [`crate::Fleet`].
    pub fn cluster(redis_url: &str, postgres_url: &str) -> NodeBuilder {
        EXACT
            .into_iter()
            .fold(NodeBuilder::quick(), |builder, (name, value)| builder.env(name, value))
            .env("TOLLGATE_MODE", "cluster")
            .env("TOLLGATE_REDIS__URL", redis_url)
            .env("TOLLGATE_POSTGRES__URL", postgres_url)
    }

    /// A node without services, which keeps its file in `data_dir`.
    pub fn embedded(data_dir: &Path) -> NodeBuilder {
        NodeBuilder::quick().env("TOLLGATE_DATA_DIR", data_dir.to_string_lossy())
    }

    /// The address for requests.
    pub fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    /// The URL for requests, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The URL of the metrics page.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.metrics.address())
    }

    /// The metrics page.
    pub async fn metrics(&self) -> Result<String> {
        let (status, body) = probe::get(self.metrics.address(), "/metrics").await?;
        anyhow::ensure!(status == 200, "the metrics page answers {status}");
        Ok(body)
    }

    /// Asks one of the health pages, e.g. `/health/ready`.
    pub async fn health(&self, path: &str) -> Result<(u16, String)> {
        probe::get(self.address(), path).await
    }

    /// Waits until it is ready.
    pub async fn wait_until_ready(&self) -> Result<()> {
        self.wait_for("/health/ready").await
    }

    /// Tells it to stop (SIGTERM) and waits for its exit status.
    pub async fn stop(&self) -> Result<ExitStatus> {
        self.process.signal("TERM")?;
        self.process.ended().await
    }

    /// Kills it, as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again after it ended, on the same ports with the same settings, and waits until
    /// it is ready.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = self.builder.launch(&self.listen, &self.metrics, self.folder.path())?;
        self.wait_until_ready().await
    }

    /// The same by another binary.
    pub async fn start_again_as(&mut self, build: Build) -> Result<()> {
        self.builder.build = build;
        self.start_again().await
    }

    /// The process itself: signals, exit status and output.
    pub fn process(&self) -> &Process {
        &self.process
    }

    async fn wait_for(&self, path: &str) -> Result<()> {
        let what = format!("200 on {path}");
        let up = eventually(&what, UP_WITHIN, async || {
            let (status, body) = self.health(path).await?;
            anyhow::ensure!(status == 200, "it answers {status}: {body}");
            Ok(())
        });
        // A node that has ended will not come up any more.
        tokio::select! {
            answer = up => answer.with_context(|| self.process.log_tail()),
            status = self.process.ended_at_all() => Err(anyhow::anyhow!("the node ended, {}\n{}", status?, self.process.log_tail())),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = format!("--- log of the node on {}\n{}\n", self.address(), self.process.log_tail());
            // The test has failed already; a log that cannot be shown changes nothing.
            std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).ok();
        }
    }
}

impl NodeBuilder {
    fn quick() -> Self {
        QUICK
            .into_iter()
            .chain(PATIENT)
            .fold(Self { environment: BTreeMap::new(), build: Build::Debug }, |builder, (name, value)| builder.env(name, value))
    }

    /// Sets an environment variable; the last one of a name counts.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Takes an environment variable back: the node then uses the default.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Uses another binary.
    #[must_use]
    pub fn build(self, build: Build) -> Self {
        Self { build, ..self }
    }

    /// Uses the release build.
    #[must_use]
    pub fn released(self) -> Self {
        self.build(Build::Release)
    }

    /// Starts the node and waits until it is ready.
    pub async fn start(self) -> Result<Node> {
        let node = self.spawn()?;
        node.wait_until_ready().await?;
        Ok(node)
    }

    /// Starts the node and waits until it listens, ready or not.
    pub async fn start_live(self) -> Result<Node> {
        let node = self.spawn()?;
        node.wait_for("/health/live").await?;
        Ok(node)
    }

    /// Starts the node and waits for nothing.
    pub fn spawn(self) -> Result<Node> {
        let (listen, metrics, folder) = (Port::take()?, Port::take()?, Scratch::new("node")?);
        let process = self.launch(&listen, &metrics, folder.path())?;
        Ok(Node { process, builder: self, listen, metrics, folder })
    }

    /// A command of the binary (`migrate`, `bootstrap`, …) under the settings of this node.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = command(self.build.binary()?, arguments);
        command.envs(&self.environment);
        Ok(command)
    }

    /// Runs such a command to its end; returns its standard output without the last line end.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = tokio::process::Command::from(self.command(arguments)?).output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "tollgate {arguments:?}: {}: {errors}", output.status);
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    fn launch(&self, listen: &Port, metrics: &Port, folder: &Path) -> Result<Process> {
        let mut command = self.command(&["serve"])?;
        command
            .env("TOLLGATE_LISTEN", listen.address().to_string())
            .env("TOLLGATE_METRICS_LISTEN", metrics.address().to_string())
            .current_dir(folder);
        Launch::new(command, folder).start()
    }
}

impl Build {
    fn binary(self) -> Result<PathBuf> {
        let variable = match self {
            Self::Debug => return binary(),
            Self::Release => "TOLLGATE_RELEASE_BIN",
            Self::Before => "TOLLGATE_BEFORE_BIN",
        };
        std::env::var_os(variable).map_or_else(binary, |path| Ok(path.into()))
    }
}

fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TOLLGATE_BIN") {
        return Ok(path.into());
    }
    // The tests are in target/debug/deps, the binary is in target/debug.
    let tests = std::env::current_exe().context("where these tests are")?;
    let built = tests.ancestors().skip(1).take(2).map(|folder| folder.join("tollgate")).find(|path| path.is_file());
    built.context("the binary is not built: cargo build -p tollgate, or set TOLLGATE_BIN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts() {
        let builder = Node::embedded(Path::new("/data")).env("A", "1").env("A", "2").env("B", "3").without("B");
        assert_eq!(builder.environment.get("A").map(String::as_str), Some("2"));
        assert_eq!(builder.environment.get("B"), None);
        assert_eq!(builder.environment.get("TOLLGATE_DATA_DIR").map(String::as_str), Some("/data"));
    }
}
