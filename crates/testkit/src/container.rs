//! A server in a container.
//!
//! Containers use the network of the host: the server then listens on the same loopback port,
//! with the same arguments, as a local one, and Redis Cluster's nodes find each other. They are
//! started by testcontainers; what else is done to them goes through `docker`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result};
use testcontainers::core::Mount;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

use crate::{keeper, scratch};

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct ContainerLaunch {
    /// `name:tag`.
    pub(crate) image: String,
    /// The command and its arguments.
    pub(crate) command: Vec<String>,
    /// Environment.
    pub(crate) environment: Vec<(String, String)>,
    /// A folder to show under its own path.
    pub(crate) folder: PathBuf,
}

/// A container; removed on drop.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
    held: Mutex<Option<ContainerAsync<GenericImage>>>,
}

impl ContainerLaunch {
    pub(crate) async fn start(self) -> Result<Container> {
        scratch::note_containers()?;
        let (name, tag) = self.image.rsplit_once(':').context("an image is name:tag")?;
        let folder = self.folder.to_string_lossy().into_owned();
        let request = GenericImage::new(name, tag)
            .with_cmd(self.command)
            .with_network("host")
            .with_env_vars(self.environment)
            .with_label(scratch::LABEL, scratch::process_name()?)
            .with_mount(Mount::bind_mount(folder.clone(), folder));
        // The client of the engine is bound to the runtime that made it, and a test's ends early.
        let held = keeper::run(request.start()).await?.with_context(|| format!("starting {}", self.image))?;
        Ok(Container { id: held.id().to_string(), held: Mutex::new(Some(held)) })
    }
}

impl Container {
    /// Freezes every process in it. The engine gives up, and lets all go on, where a busy machine does not come to that in
    /// moments: it is told so again, for a while.
    pub(crate) fn pause(&self) -> Result<()> {
        const ATTEMPTS: usize = 10;
        (1..ATTEMPTS).find_map(|_| docker(&["pause", &self.id]).ok()).map_or_else(|| docker(&["pause", &self.id]), Ok)
    }

    /// Lets them go on.
    pub(crate) fn unpause(&self) -> Result<()> {
        docker(&["unpause", &self.id])
    }

    /// Kills the server and waits until it is gone; its files stay.
    pub(crate) fn kill(&self) -> Result<()> {
        // Both fail if there is nothing to do, which is as good.
        docker(&["unpause", &self.id]).ok();
        docker(&["kill", &self.id]).ok();
        docker(&["wait", &self.id])
    }

    /// Starts it again on the files that it left.
    pub(crate) fn start_again(&self) -> Result<()> {
        docker(&["start", &self.id])
    }

    /// What it wrote, for messages.
    pub(crate) fn log_tail(&self) -> String {
        let asked = Command::new("docker").args(["logs", "--tail", "20", &self.id]).output();
        asked.map(|out| format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))).unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let held = self.held.lock().map(|mut held| held.take()).unwrap_or_default();
        if let Some(held) = held {
            // The janitor makes good what fails here.
            keeper::run_blocking(held.rm()).map(Result::ok).ok();
        }
    }
}

trait WithEnvironment {
    fn with_env_vars(self, environment: Vec<(String, String)>) -> Self;
}

impl WithEnvironment for testcontainers::ContainerRequest<GenericImage> {
    fn with_env_vars(self, environment: Vec<(String, String)>) -> Self {
        environment.into_iter().fold(self, |request, (name, value)| request.with_env_var(name, value))
    }
}

fn docker(arguments: &[&str]) -> Result<()> {
    let ran = Command::new("docker").args(arguments).stdin(Stdio::null()).output().context("running docker")?;
    anyhow::ensure!(ran.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
