//! One running stack, and what is done to it.

use serde_json::Value;
use std::time::Duration;
use tokio::process::Command;
use tollgate_testkit::{Port, Scratch, eventually, repository, unique};

use super::{
    docker::{AtEnd, docker, done},
    image::image,
};

/// A node that has just started looks every key up, which takes longer on a busy machine than a user would wait.
/// So does a decision, and one that is made without Redis is not exact.
const PATIENCE: &str = "{environment: {TOLLGATE_POSTGRES__LOOKUP_TIMEOUT: 30s, TOLLGATE_POSTGRES__ACQUIRE_TIMEOUT: 30s, TOLLGATE_REDIS__DECISION_TIMEOUT: 2s}}";

/// Everything is up after that, on a busy machine too.
const UP_WITHIN: &str = "240";
const HEALTHY_WITHIN: Duration = Duration::from_mins(2);

/// A stack with a name, a port and networks of its own; gone with its value, volumes and all.
#[derive(Debug)]
pub(crate) struct Stack {
    environment: Vec<(&'static str, String)>,
    port: Port,
    folder: Scratch,
    _end: AtEnd,
}

/// What is done to a node.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It stands still: what is sent to it is neither refused nor answered.
    Hangs,
    GoesOn,
    /// Its wire to a network is out, and in again, at the address that it had.
    CutOff(&'static str),
    Connected(&'static str),
}

impl Stack {
    /// From nothing, with these files over the first one.
    pub(crate) async fn up(overlays: &[&str]) -> Self {
        let (port, name, folder) = (Port::take().unwrap(), unique("tollgate-stack-"), Scratch::new("stack").unwrap());
        let patience = folder.path().join("patience.yml");
        std::fs::write(&patience, format!("services: {{node-1: {PATIENCE}, node-2: {PATIENCE}, node-3: {PATIENCE}}}\n")).unwrap();
        let files = ["docker-compose.yml"].iter().chain(overlays).fold(String::new(), |files, file| files + file + ":");
        let files = format!("{files}{}", patience.display());
        let number = port.number();
        let network = |first: u16| format!("10.{}.{}", first + (number >> 8) % 40, number & 0xff);
        let environment = vec![
            ("COMPOSE_PROJECT_NAME", name.clone()),
            ("COMPOSE_FILE", files),
            ("TOLLGATE_IMAGE", image().await),
            ("BALANCER_PORT", number.to_string()),
            // No other test has that port.
            ("FRONT_NETWORK", network(214)),
            ("STORE_NETWORK", network(174)),
        ];
        let end = format!(
            "cd '{}' && docker compose --project-name \"$1\" --profile '*' down --volumes --timeout 1 --remove-orphans",
            repository().display()
        );
        let stack = Self { environment, port, folder, _end: AtEnd::new(&end, &name) };
        stack.start().await;
        stack
    }

    /// `docker compose up`, until everything is healthy.
    pub(crate) async fn start(&self) {
        let up = self
            .command(&["up", "--detach", "--no-build", "--wait", "--wait-timeout", UP_WITHIN])
            .output()
            .await
            .expect("docker is installed");
        if !up.status.success() {
            let log = self.compose(&["logs", "--tail", "30"]).await;
            panic!("{}\n{log}", super::docker::both(&up));
        }
    }

    /// The balancer's, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// `docker compose` with these arguments, which must succeed; what it wrote to its standard output.
    pub(crate) async fn compose(&self, arguments: &[&str]) -> String {
        done(self.command(arguments)).await
    }

    /// A line of shell, as a user would type it in the folder of the repository.
    pub(crate) async fn shell(&self, line: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(repository());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        done(command).await
    }

    /// The key that `bootstrap` made.
    pub(crate) async fn admin_key(&self) -> String {
        let path = self.folder.path().join("key");
        self.compose(&["cp", "bootstrap:/admin/key", &path.display().to_string()]).await;
        std::fs::read_to_string(path).expect("the key").trim_end().to_owned()
    }

    /// Does something to a node.
    pub(crate) async fn fault(&self, node: &str, fault: Fault) {
        let id = self.compose(&["ps", "--all", "--quiet", node]).await;
        let of = |network: &str| format!("{}_{network}", self.named("COMPOSE_PROJECT_NAME"));
        match fault {
            Fault::Hangs => drop(self.compose(&["pause", node]).await),
            Fault::GoesOn => drop(self.compose(&["unpause", node]).await),
            Fault::CutOff(network) => drop(done(docker(&["network", "disconnect", &of(network), &id])).await),
            Fault::Connected(network) => {
                let last = node.rsplit('-').next().unwrap_or_default();
                let address = format!("{}.1{last}", self.named("FRONT_NETWORK"));
                done(docker(&["network", "connect", "--alias", node, "--ip", &address, &of(network), &id])).await;
            }
        }
    }

    fn named(&self, name: &str) -> &str {
        self.environment.iter().find(|(named, _)| *named == name).map_or("", |(_, value)| value)
    }

    /// How often the balancer has asked another node, as its log tells.
    pub(crate) async fn resent(&self) -> usize {
        let log = self.compose(&["logs", "--no-log-prefix", "balancer"]).await;
        let asked = log.lines().filter_map(|line| line.split("upstream=\"").nth(1)?.split('"').next());
        asked.map(|upstreams| upstreams.matches(',').count()).sum()
    }

    /// The exit status of a service that was stopped.
    pub(crate) async fn exit_status(&self, service: &str) -> String {
        let id = self.compose(&["ps", "--all", "--quiet", service]).await;
        done(docker(&["inspect", "--format", "{{.State.ExitCode}}", &id])).await
    }

    /// What a Redis answers to the nodes' user.
    pub(crate) async fn ask_redis(&self, service: &str, command: &str) -> String {
        let line = format!("REDISCLI_AUTH=$(cat /run/redis-secrets/password) redis-cli --user tollgate --no-auth-warning {command}");
        self.compose(&["exec", "-T", service, "sh", "-c", &line]).await
    }

    /// What a member of a Cluster answers to the user that makes and changes it.
    pub(crate) async fn ask_member(&self, service: &str, arguments: &str) -> String {
        let line =
            format!("REDISCLI_AUTH=$(cat /run/redis-secrets/failover-password) redis-cli --user cluster --no-auth-warning {arguments}");
        self.compose(&["exec", "-T", service, "sh", "-c", &line]).await
    }

    /// The address that a sentinel tells.
    pub(crate) async fn master(&self) -> String {
        self.ask_redis("sentinel-1", "-p 26379 sentinel get-master-addr-by-name tollgate").await
    }

    /// Waits until a service is healthy.
    pub(crate) async fn healthy(&self, service: &str) {
        let waited = eventually(service, HEALTHY_WITHIN, async || {
            let health = self.health(service).await;
            anyhow::ensure!(health["Status"] == "healthy", "{health}");
            Ok(())
        });
        waited.await.unwrap();
    }

    /// Waits for two more health checks of a service; both must be good.
    pub(crate) async fn checked_twice_and_healthy(&self, service: &str) {
        let before = checks(&self.health(service).await);
        let waited = eventually(service, HEALTHY_WITHIN, async || {
            let health = self.health(service).await;
            let after: Vec<_> = checks(&health).into_iter().filter(|check| !before.contains(check)).collect();
            anyhow::ensure!(after.len() >= 2, "{health}");
            Ok((health, after))
        });
        let (health, after) = waited.await.unwrap();
        assert!(health["Status"] == "healthy" && after.iter().all(|(_, status)| *status == 0), "{service}: {health}");
    }

    async fn health(&self, service: &str) -> Value {
        let id = self.compose(&["ps", "--all", "--quiet", service]).await;
        let health = done(docker(&["inspect", "--format", "{{json .State.Health}}", &id])).await;
        serde_json::from_str(&health).expect("JSON")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = docker(&[&["compose"], arguments].concat());
        command.current_dir(repository()).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Each health check that is remembered: when it began, and its exit status.
fn checks(health: &Value) -> Vec<(String, i64)> {
    let log = health["Log"].as_array().map_or(&[][..], Vec::as_slice);
    log.iter().map(|check| (check["Start"].to_string(), check["ExitCode"].as_i64().expect("a status"))).collect()
}
