//! URLs that lie in files.

use super::*;

const REDIS: &str = "TOLLGATE_REDIS__URL_FILE";
const POSTGRES: &str = "TOLLGATE_POSTGRES__URL_FILE";

/// A directory with two files, and what names them.
fn files(redis: &str, postgres: &str) -> (tempfile::TempDir, Vec<(String, String)>) {
    let dir = tempfile::tempdir().unwrap();
    let written = [(REDIS, "redis", redis), (POSTGRES, "postgres", postgres)].map(|(variable, name, text)| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        (variable.to_owned(), path.display().to_string())
    });
    let env = [pairs(&[("TOLLGATE_MODE", "cluster")]), written.to_vec()].concat();
    (dir, env)
}

fn load(env: Vec<(String, String)>) -> Result<Settings, SettingsError> {
    Settings::load(&LoadFrom { env, ..LoadFrom::default() })
}

fn refused(env: Vec<(String, String)>) -> String {
    load(env).expect_err("was accepted").to_string()
}

#[test]
fn a_file_may_hold_the_url_of_a_store() {
    let (dir, env) = files("redis://:hunter2@localhost\n", "postgres://u:hunter2@localhost/db");
    let settings = load(env).unwrap();
    assert_eq!(settings.redis.url.expose(), "redis://:hunter2@localhost");
    assert_eq!(settings.postgres.url.expose(), "postgres://u:hunter2@localhost/db");
    let shown = settings.show().into_iter().find(|shown| shown.name == "redis.url").unwrap();
    assert_eq!((shown.value.as_str(), shown.origin), ("\"redis://:***@localhost\"", format!("file {}/redis", dir.path().display())));
}

#[test]
fn what_a_file_holds_is_checked_like_any_url() {
    let (_dir, env) = files("redis://:hunter2@redis.example", "http://hunter2");
    let error = refused(env);
    assert!(error.contains("redis.url (file ") && error.contains("is plain text beyond loopback"), "{error}");
    assert!(error.contains("postgres.url (file ") && error.contains("must begin with postgres://"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_or_is_empty_is_reported_once() {
    let (dir, env) = files("redis://localhost", "\n");
    fs::remove_file(dir.path().join("redis")).unwrap();
    let error = load(env).expect_err("was accepted");
    let lines: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&format!("redis.url_file (environment variable {REDIS}): ")) && lines[0].contains("cannot be read"));
    assert!(lines[1].starts_with("postgres.url_file (") && lines[1].ends_with("names a file that is empty"), "{lines:?}");
}

#[test]
fn of_a_url_and_a_file_only_one_may_be_set() {
    let (_dir, mut env) = files("redis://localhost", "postgres://u@localhost/db");
    env.extend(pairs(&[("TOLLGATE_REDIS__URL", "redis://:hunter2@localhost")]));
    let error = refused(env.clone());
    assert!(
        error.contains("is set, and so is redis.url (environment variable TOLLGATE_REDIS__URL)") && !error.contains("hunter2"),
        "{error}"
    );
    env.extend(pairs(&[(REDIS, "")]));
    assert!(load(env).is_ok(), "an empty text means not set");
}

#[test]
fn a_file_is_of_mode_cluster_too() {
    let (_dir, mut env) = files("redis://localhost", "postgres://u@localhost/db");
    env.remove(0);
    assert!(refused(env).contains("redis.url_file (environment variable TOLLGATE_REDIS__URL_FILE): is a setting of mode \"cluster\""));
}

#[test]
fn a_file_that_is_too_long_is_refused_and_not_cut() {
    // Cut at the bound, each would be a good URL: of white space around one all may be read.
    let url = "redis://:hunter2@localhost";
    for (length, is_good) in [(16 * 1024, true), (16 * 1024 + 1, false), (64 * 1024, false)] {
        let (_dir, env) = files(&format!("{url}{}", " ".repeat(length - url.len())), "postgres://u@localhost/db");
        match load(env) {
            Ok(settings) => assert!(is_good && settings.redis.url.expose() == url, "{length}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!is_good && error.contains("is longer than 16384 bytes: name the file") && !error.contains("hunter2"), "{error}");
            }
        }
    }
    // In the middle of a character it is too long as well, and not text of another kind.
    let (_dir, env) = files(&format!("{}é", "x".repeat(16 * 1024)), "postgres://u@localhost/db");
    assert!(refused(env).contains("is longer than 16384 bytes"));
}

#[test]
fn white_space_inside_a_url_is_refused() {
    for url in ["redis://:hunter2@localhost\nredis://:hunter2@other", "redis://:hun ter2@localhost", "redis://:hunter2@local\thost"] {
        let (_dir, env) = files(&format!(" {url} \n"), "postgres://u@localhost/db");
        let error = refused(env);
        assert!(error.contains("has white space or a line break inside the URL: put the URL alone"), "{error}");
        assert!(!error.contains("ter2"), "{error}");
    }
}
