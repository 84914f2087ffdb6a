//! The unit of `deploy/systemd`: what it says must go with the settings, and let a node do no more than it needs.

use std::{path::PathBuf, process::Command, time::Duration};

use tollgate_settings::{LoadFrom, Settings};
use tollgate_testkit::{Scratch, repository};

use crate::node::{ran, tollgate};

/// Of 100, as `systemd-analyze security` counts; 49 and less it calls "OK".
const EXPOSURE_MAX: &str = "20";
/// What a node writes after its requests have ended, and the system's own slowness.
const AFTERWARDS: Duration = Duration::from_secs(15);
/// Files beside clients' connections.
const OWN_FILES: u64 = 512;

fn file(name: &str) -> PathBuf {
    repository().join("deploy/systemd").join(name)
}

fn unit() -> String {
    std::fs::read_to_string(file("tollgate.service")).expect("the unit")
}

/// All values of a directive, in order.
fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
}

fn value<'a>(unit: &'a str, name: &str) -> &'a str {
    match values(unit, name).as_slice() {
        [value] => value,
        other => panic!("{name} is set {} times", other.len()),
    }
}

/// The unit with this build's binary in a folder of its own.
fn with_our_binary() -> Scratch {
    let folder = Scratch::new("unit").expect("a folder");
    let unit = unit().replace("/usr/local/bin/tollgate", env!("CARGO_BIN_EXE_tollgate"));
    std::fs::write(folder.path().join("tollgate.service"), unit).expect("written");
    folder
}

/// Runs `systemd-analyze` on the unit; `None` where this machine has none.
fn analyze(arguments: &[&str]) -> Option<(bool, String)> {
    let folder = with_our_binary();
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(folder.path().join("tollgate.service")).env("SYSTEMD_PAGER", "cat");
    let output = command.output().ok()?;
    Some((output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))))
}

#[test]
fn its_limits_go_with_the_settings() {
    let (unit, settings) = (unit(), Settings::load(&LoadFrom::default()).expect("the defaults"));
    let stop: u64 = value(&unit, "TimeoutStopSec").strip_suffix('s').and_then(|text| text.parse().ok()).expect("seconds");
    let needed = settings.shutdown.drain_delay.get() + settings.shutdown.grace.get() + AFTERWARDS;
    assert!(Duration::from_secs(stop) >= needed, "{stop} s are less than {needed:?}");
    let files: u64 = value(&unit, "LimitNOFILE").parse().expect("a number");
    assert!(files >= settings.http.connections_max as u64 + OWN_FILES, "{files}");
    assert_eq!(value(&unit, "RestartPreventExitStatus"), "64");
    assert_eq!(value(&unit, "StartLimitIntervalSec"), "0", "a node that ends quickly is started again all the same");
    assert_eq!(value(&unit, "Type"), "exec", "a node tells systemd nothing");
}

#[test]
fn a_node_finds_its_settings_good_as_the_unit_gives_them() {
    let (unit, credentials) = (unit(), Scratch::new("credentials").expect("a folder"));
    let texts = [
        ("redis-url", "rediss://tollgate:hunter2@redis.example:6379/0"),
        ("postgres-url", "postgres://tollgate:hunter2@db.example:5432/tollgate?sslmode=verify-full"),
        ("master-key", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    ];
    let named: Vec<&str> = values(&unit, "LoadCredential").iter().filter_map(|value| Some(value.split_once(':')?.0)).collect();
    assert_eq!(named, texts.map(|(name, _)| name));
    for (name, text) in texts {
        std::fs::write(credentials.path().join(name), text).expect("written");
    }
    let config = file("tollgate.toml").display().to_string();
    let start = value(&unit, "ExecStart");
    assert_eq!(start, "/usr/local/bin/tollgate serve --config /etc/tollgate/tollgate.toml");
    let mut command = tollgate(credentials.path(), &["config", "check", "--config", &config]);
    for pair in values(&unit, "Environment") {
        let (name, value) = pair.split_once('=').expect("a pair");
        command.env(name, value.replace("%d", &credentials.path().display().to_string()));
    }
    let checked = ran(&mut command);
    assert_eq!(checked.code, 0, "{}", checked.err);
    assert!(!unit.contains("hunter2") && !checked.err.contains("hunter2"));
}

#[test]
fn systemd_understands_every_line_of_it() {
    // Other units of this machine are no business of ours, and where there is no systemd nobody judges.
    if let Some((_, said)) = analyze(&["verify", "--man=no"]) {
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("tollgate.service")).collect();
        assert_eq!(ours, Vec::<&str>::new(), "{said}");
    }
    let unit = unit();
    let wrong = unit.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']) && !line.contains('='));
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn it_lets_a_node_do_no_more_than_it_needs() {
    let unit = unit();
    for (name, expected) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("LimitCORE", "0"),
    ] {
        assert_eq!(value(&unit, name), expected, "{name}");
    }
    if let Some((good, said)) = analyze(&["security", "--offline=true", &format!("--threshold={EXPOSURE_MAX}"), "--no-pager"]) {
        assert!(good, "{said}");
    }
}
