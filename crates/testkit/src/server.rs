//! A server of either backend, and what can be done to it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use crate::container::{Container, ContainerLaunch};
use crate::process::{Launch, Process};

/// A running Redis or Postgres.
#[derive(Debug)]
pub struct Server(Kind);

#[derive(Debug)]
enum Kind {
    Local {
        launch: Box<Launch>,
        process: Mutex<Option<Process>>,
    },
    Container(Box<Container>),
    /// Started by `tests/run` for every test process.
    Foreign,
}

impl Server {
    pub(crate) fn local(launch: Launch) -> Result<Self> {
        let process = launch.start()?;
        Ok(Self(Kind::Local { launch: Box::new(launch), process: Mutex::new(Some(process)) }))
    }

    pub(crate) async fn container(launch: ContainerLaunch) -> Result<Self> {
        Ok(Self(Kind::Container(Box::new(launch.start().await?))))
    }

    pub(crate) fn foreign() -> Self {
        Self(Kind::Foreign)
    }

    /// Ends it at once, as a crash would; what it wrote to its files stays.
    pub fn kill(&self) -> Result<()> {
        match &self.0 {
            Kind::Local { process, .. } => hold(process).as_ref().map_or(Ok(()), Process::kill),
            Kind::Container(container) => container.kill(),
            Kind::Foreign => refuse(),
        }
    }

    /// Starts it again after [`Server::kill`], on the same port and files.
    pub(crate) fn start_again(&self) -> Result<()> {
        match &self.0 {
            Kind::Local { launch, process } => {
                let mut held = hold(process);
                // The old one must have let go of the port.
                drop(held.take());
                *held = Some(launch.start()?);
                Ok(())
            }
            Kind::Container(container) => container.start_again(),
            Kind::Foreign => refuse(),
        }
    }

    /// Freezes it: connections stay open and nothing is answered.
    pub fn stop(&self) -> Result<()> {
        match &self.0 {
            Kind::Local { process, .. } => hold(process).as_ref().context("the server was killed")?.signal_tree("STOP"),
            Kind::Container(container) => container.pause(),
            Kind::Foreign => refuse(),
        }
    }

    /// Lets a frozen server go on.
    pub fn cont(&self) -> Result<()> {
        match &self.0 {
            Kind::Local { process, .. } => hold(process).as_ref().context("the server was killed")?.signal_tree("CONT"),
            Kind::Container(container) => container.unpause(),
            Kind::Foreign => refuse(),
        }
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        match &self.0 {
            Kind::Local { process, .. } => hold(process).as_ref().map(Process::log_tail).unwrap_or_default(),
            Kind::Container(container) => container.log_tail(),
            Kind::Foreign => String::new(),
        }
    }
}

fn hold(process: &Mutex<Option<Process>>) -> MutexGuard<'_, Option<Process>> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse() -> Result<()> {
    anyhow::bail!("this server is shared with other tests: start one with `start`")
}
