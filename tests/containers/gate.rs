//! `.ci/image-gate`: it passes the image, and finds what is wrong with others.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use tokio::process::Command;
use tollgate_testkit::{Scratch, repository, unique};

use super::{
    docker::{AtEnd, both, build},
    image::image,
};

/// Whether the gate lets an image pass, and what it says.
async fn judged(image: &str) -> (bool, String) {
    let output = Command::new(repository().join(".ci/image-gate")).arg(image).output().await.expect("the gate runs");
    (output.status.success(), both(&output))
}

/// What the gate says of an image that is made of the good one by these lines.
async fn refused(good: &str, lines: &str) -> String {
    let folder = Scratch::new("gate").unwrap();
    std::fs::write(folder.path().join("Dockerfile"), lines.replace("GOOD", good)).unwrap();
    std::fs::write(folder.path().join("file"), vec![0; 1024]).unwrap();
    let name = unique("tollgate-gate-");
    let _end = AtEnd::new("docker image rm \"$1\"", &name);
    build(folder.path(), &name, &[]).await;
    let (passed, said) = judged(&name).await;
    assert!(!passed, "{lines}: {said}");
    said
}

#[tokio::test]
async fn the_image_is_as_it_should_be() {
    let (passed, said) = judged(&image().await).await;
    assert!(passed, "{said}");
}

/// Whose processes cannot be seen may be anybody's.
#[tokio::test]
async fn an_image_whose_processes_cannot_be_seen_is_refused() {
    let image = image().await;
    let folder = Scratch::new("gate").unwrap();
    let blind = folder.path().join("docker");
    std::fs::write(&blind, "#!/bin/sh\n[ \"$1\" != top ] || { echo blind >&2; exit 1; }\nPATH=${PATH#*:} exec docker \"$@\"\n").unwrap();
    std::fs::set_permissions(&blind, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a path"));
    let output = Command::new(repository().join(".ci/image-gate")).arg(image).env("PATH", path).output().await.expect("the gate runs");
    assert!(!output.status.success() && both(&output).contains("blind"), "{}", both(&output));
}

#[tokio::test]
async fn an_image_that_runs_as_root_is_refused() {
    let good = image().await;
    for user in ["0:0", "root", "nonroot"] {
        let said = refused(&good, &format!("FROM GOOD\nUSER {user}\n")).await;
        assert!(said.contains(&format!("runs as \"{user}\"")), "{said}");
        assert_eq!(said.contains("its user can write to /"), user != "nonroot", "{said}");
    }
}

#[tokio::test]
async fn an_image_that_its_user_can_change_is_refused() {
    let good = image().await;
    let said = refused(&good, "FROM GOOD\nCOPY --chown=65532:65532 file /usr/local/bin/helper\n").await;
    assert!(said.contains("/usr/local/bin/helper can be changed by its user"), "{said}");
    let said = refused(&good, "FROM GOOD\nCOPY --chmod=0666 file /etc/helper\n").await;
    assert!(said.contains("/etc/helper can be changed by everybody"), "{said}");
}

#[tokio::test]
async fn an_image_that_needs_a_writable_root_is_refused() {
    let said = refused(&image().await, "FROM GOOD\nCMD [\"serve\", \"--data-dir\", \"/tmp/data\"]\n").await;
    assert!(said.contains("does not start with a read-only root"), "{said}");
}

#[tokio::test]
async fn an_image_with_a_shell_is_refused() {
    let redis = std::env::var("REDIS_IMAGE").unwrap_or_else(|_| "redis:7".into());
    let lines = format!("FROM {redis} AS other\nFROM GOOD\nCOPY --from=other /bin/sh /bin/sh\n");
    let said = refused(&image().await, &lines).await;
    assert!(said.contains("has a shell: /"), "{said}");
}

#[tokio::test]
async fn an_image_without_a_health_check_is_refused() {
    let said = refused(&image().await, "FROM GOOD\nHEALTHCHECK NONE\n").await;
    assert!(said.contains("has no health check by the binary"), "{said}");
}
