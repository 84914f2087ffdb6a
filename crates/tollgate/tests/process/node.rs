//! Running the binary.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::Value;
use tempfile::NamedTempFile;

/// No machine is so slow.
const WITHIN: Duration = Duration::from_mins(1);

/// A run of a command that has ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// An embedded node; killed on drop.
pub(crate) struct Node {
    child: Child,
    log: Receiver<Value>,
    out: NamedTempFile,
    pub(crate) url: String,
    pub(crate) metrics_address: String,
}

/// The binary with nothing in its environment but what is said here: cheap hashes, free ports.
pub(crate) fn tollgate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    for (name, value) in [
        ("PATH", std::env::var("PATH").unwrap_or_default().as_str()),
        ("TOLLGATE_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_METRICS_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_LOG__FORMAT", "json"),
        ("TOLLGATE_ARGON2__MEMORY_KIB", "64"),
        ("TOLLGATE_ARGON2__ITERATIONS", "1"),
        ("TOLLGATE_SHUTDOWN__DRAIN_DELAY", "0s"),
    ] {
        command.env(name, value);
    }
    command
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: status.code().expect("an exit status"), out: text(stdout), err: text(stderr) }
}

impl Ran {
    /// The result, of a command that must have succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).expect("JSON")
    }

    /// A failure with this exit status: nothing on standard output, two lines on standard error.
    pub(crate) fn failed(&self, code: i32) -> &str {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.contains("error: ") && self.err.contains("\nhelp: "), "{}", self.err);
        &self.err
    }
}

impl Node {
    /// Starts a node in `folder` and waits until it listens.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::launch(&mut tollgate(folder, &["serve"]))
    }

    pub(crate) fn launch(command: &mut Command) -> Self {
        let out = NamedTempFile::new().expect("a file");
        let mut child = command.stdout(out.reopen().expect("the file")).stderr(Stdio::piped()).spawn().expect("it starts");
        let (lines, log) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("standard error"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.send(serde_json::from_str(&line).unwrap_or(Value::String(line))).ok();
            }
        });
        let mut node = Self { child, log, out, url: String::new(), metrics_address: String::new() };
        let listening = node.logged("listening");
        let address = |name: &str| listening[name].as_str().expect("an address").to_owned();
        let scheme = if listening["tls"] == true { "https" } else { "http" };
        node.url = format!("{scheme}://{}", address("address"));
        node.metrics_address = address("metrics_address");
        node
    }

    /// Starts a node for the first time; also its admin key, and all that it printed.
    pub(crate) fn first(folder: &Path) -> (Self, String, String) {
        Self::first_of(&mut tollgate(folder, &["serve"]))
    }

    /// The same of a command of one's own.
    pub(crate) fn first_of(command: &mut Command) -> (Self, String, String) {
        let mut node = Self::launch(command);
        let welcome = node.eventually(|node| Some(node.out()).filter(|text| text.contains("bootstrap --force")));
        let key = welcome.lines().map(str::trim).find(|line| line.starts_with("tk_")).expect("an api key").to_owned();
        (node, key, welcome)
    }

    /// What it has written to standard output.
    fn out(&self) -> String {
        std::fs::read_to_string(self.out.path()).expect("text")
    }

    /// The next line of the log with this message.
    pub(crate) fn logged(&mut self, message: &str) -> Value {
        self.logged_with(|line| line["message"] == message)
    }

    /// The next line of the log that is so.
    pub(crate) fn logged_with(&mut self, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(WITHIN) {
                Ok(line) if is_it(&line) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("{error}; the log was {seen:#?}, the process {:?}", self.child.try_wait()),
            }
        }
    }

    /// A command that speaks to this node with this credential.
    pub(crate) fn ask(&self, folder: &Path, api_key: &str, arguments: &[&str]) -> Ran {
        ran(tollgate(folder, arguments).env("TOLLGATE_URL", &self.url).env("TOLLGATE_API_KEY", api_key))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end; its exit status and what it wrote to standard output.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let status = self.eventually(|node| node.child.try_wait().expect("it is ours"));
        (status.code(), self.out())
    }

    /// Stops it in order.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let (code, out) = self.ended();
        assert_eq!(code, Some(0));
        out
    }

    fn eventually<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let seen = tollgate_testkit::eventually("what the test waits for", WITHIN, || {
            std::future::ready(look(self).ok_or_else(|| anyhow::anyhow!("not yet")))
        });
        runtime.block_on(seen).expect("it came to pass")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
