//! The image that the other tests run.

use std::{
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    process::Command,
};

use tollgate_testkit::{Scratch, repository};

use super::docker::{both, build, docker, done};

/// Its name: `TOLLGATE_IMAGE`, or one that is made of the release binary, as `Dockerfile` says. One name for each
/// working tree, so that old ones do not pile up.
pub(crate) async fn image() -> String {
    if let Some(named) = std::env::var("TOLLGATE_IMAGE").ok().filter(|name| !name.is_empty()) {
        return named;
    }
    let mut hasher = DefaultHasher::new();
    repository().hash(&mut hasher);
    let name = format!("tollgate-test-{:016x}", hasher.finish());
    let _turn = turn(&name);
    let folder = Scratch::new("image").unwrap();
    let stripped = Command::new("strip").arg("--strip-debug").arg("-o").arg(folder.path().join("tollgate")).arg(binary()).status();
    assert!(stripped.expect("strip is installed").success(), "the binary cannot be stripped");
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY tollgate /out/tollgate\n").unwrap();
    let binary_image = format!("{name}-binary");
    build(folder.path(), &binary_image, &[]).await;
    build(&repository(), &name, &[("BINARY_IMAGE", &binary_image)]).await;
    let ran = docker(&["run", "--rm", "--network", "none", &name, "--version"]).output().await.unwrap();
    let advice = "where this machine's C library is newer than Debian 12's: docker build --tag tollgate . and set TOLLGATE_IMAGE=tollgate";
    assert!(ran.status.success(), "the binary does not run on the image's base: {}\n{advice}", both(&ran));
    name
}

/// Held by one test process at a time.
fn turn(name: &str) -> File {
    let file = File::create(std::env::temp_dir().join(format!("{name}.lock"))).expect("a lock file");
    file.lock().expect("a lock");
    file
}

fn binary() -> PathBuf {
    let released = std::env::var_os("TOLLGATE_RELEASE_BIN");
    PathBuf::from(released.expect("TOLLGATE_RELEASE_BIN (tests/run sets it) or TOLLGATE_IMAGE"))
}

#[tokio::test]
async fn its_label_tells_the_version_of_the_binary() {
    let image = image().await;
    let label = "{{index .Config.Labels \"org.opencontainers.image.version\"}}";
    let labelled = done(docker(&["image", "inspect", "--format", label, &image])).await;
    let told = done(docker(&["run", "--rm", "--network", "none", &image, "--version"])).await;
    assert_eq!(told, format!("tollgate {labelled}"));
}

#[tokio::test]
async fn it_does_not_serve_in_the_clear_unless_it_is_told_that_it_may() {
    let image = image().await;
    let refused = docker(&["run", "--rm", "--network", "none", &image]).output().await.unwrap();
    let said = both(&refused);
    assert!(refused.status.code() == Some(64) && said.contains("listen") && said.contains("allow_plaintext"), "{said}");
}
