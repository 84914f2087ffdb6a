//! Completions and manual pages.

use std::process::Command;

use crate::node::{ran, tollgate};

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// Whether this machine has a program.
fn has(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).output().expect("sh runs").status.success()
}

#[test]
fn every_shell_gets_a_script_that_names_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in SHELLS {
        let script = ran(tollgate(folder.path(), &["completions", shell])
            .env("TOLLGATE_API_KEY_FILE", "/canary")
            .env("TOLLGATE_URL", "http://canary"));
        assert_eq!((script.code, script.err.as_str()), (0, ""), "{shell}");
        for word in ["serve", "bootstrap", "signing-keys", "rotate", "revoke-keys", "completions", "--api-key-file"] {
            // fish leaves the dashes of long options away.
            assert!(script.out.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
        assert!(!script.out.contains("canary"), "{shell}: the value of a variable");
    }
}

#[test]
fn shells_can_read_their_scripts() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = ran(&mut tollgate(folder.path(), &["completions", "bash", "--to", "."]));
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{}", written.err);
    assert_eq!(ran(Command::new("bash").args(["-n", "tollgate.bash"]).current_dir(folder.path())).err, "");
    for (shell, file) in [("zsh", "_tollgate"), ("fish", "tollgate.fish")] {
        assert_eq!(ran(&mut tollgate(folder.path(), &["completions", shell, "--to", "."])).code, 0);
        assert!(folder.path().join(file).is_file(), "{file}");
        if has(shell) {
            assert_eq!(ran(Command::new(shell).args(["-n", file]).current_dir(folder.path())).err, "", "{shell}");
        }
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(ran(&mut tollgate(folder.path(), &["completions", "bash", "--to", "."])).code, 0);
    let complete = |words: &str| {
        let script = format!(
            "source ./tollgate.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _tollgate tollgate \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        ran(Command::new("bash").args(["--norc", "-c", &script]).current_dir(folder.path())).out.trim().to_owned()
    };
    assert_eq!(complete("tollgate boot"), "bootstrap");
    assert_eq!(complete("tollgate keys ro"), "rotate");
    assert_eq!(complete("tollgate keys create --unl"), "--unlimited");
    assert_eq!(complete("tollgate completions pow"), "powershell");
}

#[test]
fn there_is_a_manual_page_for_the_whole_and_one_for_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = ran(tollgate(folder.path(), &["completions", "man"]).env("TOLLGATE_URL", "http://canary"));
    assert_eq!((page.code, page.err.as_str()), (0, ""));
    assert!(page.out.contains(".TH tollgate 1") && page.out.contains("TOLLGATE_URL") && !page.out.contains("canary"), "{}", page.out);
    let written = ran(&mut tollgate(folder.path(), &["completions", "man", "--to", "."]));
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{}", written.err);
    for name in ["tollgate.1", "tollgate-keys.1", "tollgate-keys-create.1", "tollgate-signing-keys-add.1"] {
        let text = std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(text.contains(".SH NAME"), "{name}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    for form in ["bash", "man"] {
        let refused = ran(&mut tollgate(folder.path(), &["completions", form, "--to", "nowhere"]));
        assert!(refused.failed(1).contains("cannot write into nowhere"), "{}", refused.err);
    }
    assert_eq!(ran(&mut tollgate(folder.path(), &["completions", "tcsh"])).code, 2);
}
