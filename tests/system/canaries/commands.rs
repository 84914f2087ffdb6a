//! Canaries in the environment of commands, in their files, and where somebody has put them by mistake.

use std::process::{Command, Output};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{A_HASH, Cage, Canary, DECOY, Heard, IMPORTED_SECRET, MASTER_KEY, REDIS_PASSWORD, write};

/// Nobody listens here.
const NOWHERE: &str = "http://127.0.0.1:1";

impl Cage {
    /// A command of the binary under the settings of the node, and with this credential.
    fn command(&self, arguments: &[&str], api_key: &str) -> Command {
        let mut command = self.cluster.fleet.builder.command(arguments).unwrap();
        command.env("TOLLGATE_URL", self.cluster.fleet.node(0).unwrap().url()).env("TOLLGATE_API_KEY", api_key);
        command.current_dir(self.folder.path());
        command
    }

    /// The same with the admin's.
    fn admins(&self, arguments: &[&str]) -> Command {
        self.command(arguments, &self.cluster.fleet.admin_key)
    }

    /// Runs a command to its end and hears both of its outputs.
    async fn hear_command(&mut self, place: &str, command: Command) -> Option<i32> {
        let Output { status, stdout, stderr } = tokio::process::Command::from(command).output().await.unwrap();
        self.heard.hear(place, String::from_utf8_lossy(&stdout));
        self.heard.hear(place, String::from_utf8_lossy(&stderr));
        status.code()
    }
}

/// The commands that a text of help lists.
fn listed(help: &str) -> Vec<String> {
    let list = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The help of every command, with everything in the environment that there is, and in the wrong places too.
pub(super) async fn help(cage: &mut Cage) {
    let mut open: Vec<Vec<String>> = vec![vec![]];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let lasts = if path.len() < 2 { &[&["--help"][..], &["--no-such-flag"]][..] } else { &[&["--help"][..]] };
        for last in lasts {
            let words: Vec<&str> = path.iter().map(String::as_str).chain(last.iter().copied()).collect();
            let mut command = cage.admins(&words);
            // By mistake: the key itself for the name of its file.
            command.env("TOLLGATE_API_KEY_FILE", &cage.imported).env("TOLLGATE_CONFIG", &cage.imported);
            let Output { stdout, stderr, .. } = tokio::process::Command::from(command).output().await.unwrap();
            let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            if *last == ["--help"] {
                assert!(out.contains("Usage: "), "{words:?}: {err}");
                open.extend(listed(&out).into_iter().map(|name| [path.clone(), vec![name]].concat()));
                seen += 1;
            }
            cage.heard.hear("help", out);
            cage.heard.hear("help", err);
        }
    }
    assert!(seen > 30, "{seen} commands");
}

/// Commands that do what they are asked, and every one that a node answers.
pub(super) async fn that_succeed(cage: &mut Cage) {
    let (plain, rotated) = (cage.keys.plain.key_id.clone(), cage.keys.rotated.key_id.clone());
    for arguments in [
        &["keys", "list", "--all"][..],
        &["keys", "show", &plain],
        &["keys", "show", "customer-7"],
        &["keys", "usage", &plain],
        &["keys", "update", &plain, "--name", "other"],
        &["keys", "suspend", &plain],
        &["keys", "resume", &plain],
        &["keys", "reset", &plain],
        &["keys", "revoke", &plain, "--reason", "leaked"],
        &["owners", "set", "acme", "--burst", "5", "--per-seconds", "6"],
        &["owners", "show", "acme"],
        &["owners", "revoke-keys", "acme"],
        &["usage", "top"],
        &["nodes"],
        &["health"],
        &["check"],
        &["events", "--last-event-id", "L0", "--count", "5"],
        &["signing-keys", "list"],
        &["signing-keys", "add"],
        &["migrate"],
        &["bootstrap"],
    ] {
        // What is there as JSON is what the node has answered: one of its kind is enough.
        let forms = if arguments[0] == "keys" && arguments[1] != "show" { &["table"][..] } else { &["table", "json"] };
        for form in forms {
            let arguments = [arguments, &["--output", form]].concat();
            let code = cage.hear_command("results", cage.admins(&arguments)).await;
            // Reading what nodes share is given up after a second, which a busy machine may take.
            let is_shared = arguments.contains(&"usage") || arguments.contains(&"nodes");
            assert!(code == Some(0) || (is_shared && code == Some(8)), "{arguments:?}: {code:?}");
        }
    }
    // Their one result is a secret, which is told there and nowhere else.
    for (number, arguments) in [&["keys", "create", "--name", "n"][..], &["keys", "rotate", &rotated]].into_iter().enumerate() {
        let command = cage.admins(&[arguments, &["--output", "json"]].concat());
        let output = tokio::process::Command::from(command).output().await.unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        cage.canaries.push(Canary::of(&format!("a secret of the command line's, {number}"), told["api_key"].as_str().unwrap()));
        cage.heard.hear("results", String::from_utf8_lossy(&output.stderr));
    }
    export(cage).await;
    let (health, imported) = (cage.keys.health.api_key.clone(), cage.imported.clone());
    let file = write(&cage.folder, "health-key", &health).display().to_string();
    for arguments in [["health", "--api-key-file", &file], ["check", "--checked-key-file", &file]] {
        assert_eq!(cage.hear_command("results", cage.command(&arguments, &imported)).await, Some(0), "{arguments:?}");
    }
}

/// All keys as lines: hashes are at home there, and nothing else.
async fn export(cage: &mut Cage) {
    let output = tokio::process::Command::from(cage.admins(&["keys", "export"])).output().await.unwrap();
    let mut heard = Heard::default();
    heard.hear("the export", String::from_utf8_lossy(&output.stdout));
    let all_but_hashes: Vec<Canary> = cage.canaries.iter().filter(|canary| canary.name() != A_HASH).cloned().collect();
    heard.expect_none(&all_but_hashes, &[("the export", "customer-7"), ("the export", "$argon2id$")]);
    cage.heard.hear("results", String::from_utf8_lossy(&output.stderr));
}

/// Commands that come to nothing: nobody there, nobody's key, no right, no store, the wrong words.
pub(super) async fn that_fail(cage: &mut Cage) {
    let admin = cage.cluster.fleet.admin_key.clone();
    let imported = cage.imported.clone();
    let (no_scope, refused) = (cage.keys.unsigned.api_key.clone(), format!("{imported}x"));
    for arguments in [
        &["keys", "list"][..],
        &["keys", "create", "--name", "n"],
        &["keys", "revoke", "nobody"],
        &["usage", "top"],
        &["check", "--scope", "none"],
        &["events", "--count", "1"],
        &["health"],
    ] {
        let arguments = [arguments, &["--request-id", DECOY]].concat();
        for (url, api_key) in [(None, &refused), (None, &no_scope), (Some("http://mine:secret@127.0.0.1:1"), &imported)] {
            let mut command = cage.command(&arguments, api_key);
            if let Some(url) = url {
                command.env("TOLLGATE_URL", url);
            }
            let code = cage.hear_command("failures", command).await;
            assert_ne!(code, Some(0), "{arguments:?} at {url:?}");
        }
    }
    let mut command = cage.admins(&["keys", "list"]);
    command.env("TOLLGATE_URL", NOWHERE);
    assert_eq!(cage.hear_command("failures", command).await, Some(8));
    in_the_wrong_place(cage, &admin, &imported).await;
    let nowhere = [
        ("TOLLGATE_REDIS__URL", format!("redis://:{REDIS_PASSWORD}@127.0.0.1:1")),
        ("TOLLGATE_POSTGRES__URL", format!("postgres://u:{REDIS_PASSWORD}@127.0.0.1:1/d")),
        ("TOLLGATE_POSTGRES__ACQUIRE_TIMEOUT", "50ms".to_owned()),
    ];
    for arguments in [
        &["migrate"][..],
        &["bootstrap"],
        &["signing-keys", "list"],
        &["signing-keys", "add"],
        &["log", "reset"],
        &["keys", "export"],
        &["keys", "import", "import"],
    ] {
        let mut command = cage.admins(arguments);
        command.envs(nowhere.iter().map(|(name, value)| (name, value)));
        assert_eq!(cage.hear_command("failures", command).await, Some(8), "{arguments:?}");
    }
}

/// An api key as an argument, as the name of a file, as another variable.
async fn in_the_wrong_place(cage: &mut Cage, admin: &str, imported: &str) {
    for api_key in [admin, imported] {
        for arguments in [
            &["keys", "show", api_key][..],
            &["keys", "list", "--api-key", api_key],
            &["keys", "list", "--api-key-file", api_key],
            &["check", "--checked-key-file", api_key],
            &["check", api_key],
            &["--url", api_key, "health"],
            &["keys", "list", "--output", api_key],
        ] {
            // It is in the process list for as long as the command takes, and no longer: the command says so.
            let code = cage.hear_command("failures", cage.command(arguments, imported)).await;
            assert_eq!(code, Some(2), "{}", arguments[0]);
        }
        for variable in ["TOLLGATE_API_KEY_FILE", "TOLLGATE_URL"] {
            let mut command = cage.command(&["health"], imported);
            command.env(variable, api_key);
            assert_eq!(cage.hear_command("failures", command).await, Some(2), "{variable}");
        }
    }
    let bad = write(&cage.folder, "bad-key", &format!("customer-7 {IMPORTED_SECRET}")).display().to_string();
    assert_eq!(cage.hear_command("failures", cage.admins(&["health", "--api-key-file", &bad])).await, Some(2));
    let line = format!("{{\"key_id\":\"customer-8\",\"hash\":\"{IMPORTED_SECRET}\"}}\n");
    let lines = write(&cage.folder, "bad-import", &line).display().to_string();
    assert_eq!(cage.hear_command("failures", cage.admins(&["keys", "import", &lines])).await, Some(6));
}

/// Good settings and wrong ones, in the environment and in a file.
pub(super) async fn of_settings(cage: &mut Cage) {
    for (arguments, form) in [(["config", "show"], "table"), (["config", "show"], "json"), (["config", "check"], "table")] {
        let command = cage.admins(&[&arguments[..], &["--output", form]].concat());
        assert_eq!(cage.hear_command("settings", command).await, Some(0));
    }
    let url = cage.redis.url();
    let odd_master = write(&cage.folder, "odd-master-key", &MASTER_KEY[1..]).display().to_string();
    for (name, value) in [
        ("TOLLGATE_MODE", "embedded".to_owned()),
        ("TOLLGATE_REDIS__URL", url.replace('@', "[")),
        ("TOLLGATE_REDIS__URL", url.replace("redis:", "http:")),
        ("TOLLGATE_REDIS__URL", url.replace('@', "/@")),
        ("TOLLGATE_REDIS__URL", url.replace("127.0.0.1", "192.0.2.1")),
        ("TOLLGATE_REDIS__URL", REDIS_PASSWORD.to_owned()),
        ("TOLLGATE_REDIS__URL", format!("{url}not-a-number")),
        ("TOLLGATE_POSTGRES__URL", format!("postgres://u:{REDIS_PASSWORD}@127.0.0.1:x/d")),
        ("TOLLGATE_POSTGRES__URL", format!("postgres://u@127.0.0.1/d?password={REDIS_PASSWORD}&sslmode=bogus")),
        ("TOLLGATE_TELEMETRY__OTLP_ENDPOINT", format!("http://spans:{REDIS_PASSWORD}@127.0.0.1:1")),
        ("TOLLGATE_REDIS__PASSWORD", REDIS_PASSWORD.to_owned()),
        ("TOLLGATE_REDIS__TAGS", REDIS_PASSWORD.to_owned()),
        ("TOLLGATE_REDIS__DECISION_TIMEOUT", REDIS_PASSWORD.to_owned()),
        ("TOLLGATE_OUTAGE__MODE", REDIS_PASSWORD.to_owned()),
        ("TOLLGATE_LISTEN", REDIS_PASSWORD.to_owned()),
        ("TOLLGATE_TRUSTED_PROXIES", REDIS_PASSWORD.to_owned()),
        ("TOLLGATE_KEYS__MASTER_KEY_FILE", odd_master),
    ] {
        let commands: &[&[&str]] =
            if name == "TOLLGATE_REDIS__URL" { &[&["config", "check"], &["serve"]] } else { &[&["config", "check"]] };
        for arguments in commands {
            let mut command = cage.admins(arguments);
            command.env(name, &value);
            assert_eq!(cage.hear_command("wrong settings", command).await, Some(64), "{name}: {arguments:?}");
        }
    }
    for text in [
        format!("[redis]\nurl = {url}\n"),
        format!("[redis]\nurl = \"{url}\nprefix = \"x\"\n"),
        format!("[redis]\nurl = [\"{url}\"]\n"),
        format!("[redis]\nurl = \"{url}\"\nurl = \"{url}\"\n"),
        format!("redis = \"{url}\"\n"),
        format!("[redis.url]\nis = \"{url}\"\n"),
    ] {
        let file = write(&cage.folder, "wrong.toml", &text).display().to_string();
        let mut command = cage.admins(&["config", "check", "--config", &file]);
        command.env_remove("TOLLGATE_REDIS__URL");
        assert_eq!(cage.hear_command("wrong settings", command).await, Some(64), "{text}");
    }
}

/// A command that runs on: what the list of processes shows of it.
pub(super) async fn that_run_on(cage: &mut Cage) {
    let mut command = tokio::process::Command::from(cage.admins(&["events", "--last-event-id", "L0"]));
    let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    cage.heard.hear("results", lines.next_line().await.unwrap().expect("an event"));
    let shown = std::fs::read_to_string(format!("/proc/{}/cmdline", child.id().unwrap())).unwrap();
    cage.heard.hear("the process list", shown.replace('\0', " "));
    child.kill().await.unwrap();
}
