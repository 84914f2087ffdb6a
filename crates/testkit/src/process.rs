//! Child processes that cannot outlive the test.
//!
//! A child dies with its value, and where the test process is killed before it can drop
//! anything, by the kernel: `setpriv --pdeathsig` asks for that without unsafe code.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{eventually, keeper};

/// The bound on a process that was told to end.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Longer than any test.
const LONGEST: Duration = Duration::from_hours(24);

/// The user that a process runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What to start and how it ends.
#[derive(Debug)]
pub(crate) struct Launch {
    /// Program, arguments, environment and folder; its output goes to the log files.
    pub(crate) command: Command,
    /// The signal that ends it at once and leaves nothing behind.
    pub(crate) end: &'static str,
    /// Another user to run as; needs root.
    pub(crate) user: Option<User>,
    /// Where `stdout` and `stderr` are written.
    pub(crate) logs: PathBuf,
}

/// A running child; killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    pid: u32,
    end: &'static str,
    logs: PathBuf,
}

impl Launch {
    pub(crate) fn new(command: Command, logs: &Path) -> Self {
        Self { command, end: "KILL", user: None, logs: logs.to_path_buf() }
    }

    /// Starts it on the keeper's thread.
    pub(crate) fn start(&self) -> Result<Process> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut command = self.wrapped();
        command.stdin(Stdio::null()).stdout(self.log("stdout")?).stderr(self.log("stderr")?);
        let child = keeper::run_blocking(async move { command.spawn() })?.with_context(|| format!("starting {program}"))?;
        Ok(Process { pid: child.id(), child: Mutex::new(child), end: self.end, logs: self.logs.clone() })
    }

    /// The same command, behind `setpriv`, which replaces itself by it.
    fn wrapped(&self) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(User { uid, gid }) = self.user {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        }
        command.args(["--pdeathsig", self.end, "--"]).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        command
    }

    fn log(&self, stream: &str) -> Result<File> {
        let path = self.logs.join(stream);
        File::options().create(true).append(true).open(&path).with_context(|| format!("opening {}", path.display()))
    }
}

impl Process {
    /// Sends a signal by name (`TERM`, `STOP`, …); a process that has ended is left alone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let mut child = self.child();
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        // The child is not reaped while the lock is held, so its number is still its own.
        let status = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status().context("running kill")?;
        anyhow::ensure!(status.success(), "kill -s {name} {} failed", self.pid);
        Ok(())
    }

    /// Sends a signal to it and to its children, which may have process groups of their own.
    pub(crate) fn signal_tree(&self, name: &str) -> Result<()> {
        if !self.is_running() {
            // Its number may be another's by now.
            return Ok(());
        }
        self.signal(name)?;
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap_or_default();
        for child in children.split_whitespace() {
            // One that ended meanwhile is no failure.
            Command::new("kill").args(["-s", name, child]).stderr(Stdio::null()).status().context("running kill")?;
        }
        Ok(())
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        self.signal(self.end)?;
        // A stopped process ends only when it goes on.
        self.signal_tree("CONT")?;
        self.child().wait().context("waiting for a killed process")?;
        Ok(())
    }

    /// Waits for it to end by itself, or after a signal.
    pub async fn ended(&self) -> Result<ExitStatus> {
        let what = format!("the end of process {}", self.pid);
        eventually(&what, END_WITHIN, async || self.child().try_wait()?.context("still running")).await
    }

    /// Waits for its end for as long as that takes.
    pub(crate) async fn ended_at_all(&self) -> Result<ExitStatus> {
        eventually("its end", LONGEST, async || self.child().try_wait()?.context("still running")).await
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// What it wrote to its standard output so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it wrote to its standard error so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The end of both outputs, for messages.
    pub fn log_tail(&self) -> String {
        let both = format!("{}{}", self.stdout(), self.stderr());
        let lines: Vec<&str> = both.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn read(&self, stream: &str) -> String {
        std::fs::read(self.logs.join(stream)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done here about a failure, and the kernel ends the child in any case.
        self.kill().ok();
    }
}

/// The path of a program on the path or in one of the folders where Debian hides it.
pub(crate) fn find_program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut hidden: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
    hidden.sort();
    folders.extend(hidden.into_iter().rev());
    folders.push("/usr/sbin".into());
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is not installed (tests/run installs it)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    fn sleeper(scratch: &Scratch) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", "echo started; exec sleep 600"]);
        Launch::new(command, scratch.path()).start().unwrap()
    }

    #[tokio::test]
    async fn a_process_is_killed_even_if_it_is_stopped() {
        let scratch = Scratch::new("process").unwrap();
        let process = sleeper(&scratch);
        process.signal("STOP").unwrap();
        assert!(process.is_running());
        process.kill().unwrap();
        assert!(!process.is_running());
    }

    #[tokio::test]
    async fn output_and_exit_status_are_kept() {
        let scratch = Scratch::new("process").unwrap();
        let process = sleeper(&scratch);
        eventually("output", END_WITHIN, async || {
            anyhow::ensure!(process.stdout() == "started\n");
            Ok(())
        })
        .await
        .unwrap();
        process.signal("TERM").unwrap();
        assert!(!process.ended().await.unwrap().success());
    }

    #[test]
    fn a_missing_program_is_named() {
        assert!(find_program("no-such-program").unwrap_err().to_string().contains("no-such-program"));
    }
}
