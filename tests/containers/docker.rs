//! The engine's command line.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Output, Stdio},
};

use tokio::process::Command;

/// `docker` with these arguments, and without the surroundings of a terminal.
pub(crate) fn docker(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments).env("DOCKER_BUILDKIT", "1").env("BUILDKIT_PROGRESS", "plain").env("COMPOSE_ANSI", "never").stdin(Stdio::null());
    command.kill_on_drop(true);
    command
}

/// Runs a command that must succeed; what it wrote, without white space around it.
pub(crate) async fn done(mut command: Command) -> String {
    let output = command.output().await.expect("docker is installed");
    assert!(output.status.success(), "{:?}: {}\n{}", command.as_std(), output.status, both(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// All that a command wrote.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Builds what the `Dockerfile` in `folder` says.
pub(crate) async fn build(folder: &Path, tag: &str, options: &[&str]) {
    let mut command = docker(&["build", "--quiet", "--tag", tag]);
    command.args(options).arg(folder);
    done(command).await;
}

/// A container; gone with its value, or with this process, however it ends.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: String,
    _end: AtEnd,
}

impl Running {
    /// `docker run --detach` with these arguments.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let id = done(docker(&[&["run", "--detach"], arguments].concat())).await;
        Self { _end: AtEnd::new("docker rm --force --volumes \"$1\"", &id), id }
    }

    pub(crate) async fn inspect(&self, format: &str) -> String {
        done(docker(&["inspect", "--format", format, &self.id])).await
    }

    /// What it wrote to its standard output.
    pub(crate) async fn out(&self) -> String {
        done(docker(&["logs", &self.id])).await
    }
}

/// A line of shell that is run when this value is dropped, or the process ends: its pipe closes either way.
#[derive(Debug)]
pub(crate) struct AtEnd(std::process::Child);

impl AtEnd {
    /// The line sees `argument` as `$1`.
    pub(crate) fn new(line: &str, argument: &str) -> Self {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("trap '' INT TERM; cat >/dev/null; {line}"), "sh", argument]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("a shell"))
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Nothing can be done here about a failure.
        self.0.wait().ok();
    }
}
