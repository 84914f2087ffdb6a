//! The image that the other tests run.

use std::{
    fs::{File, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
};

use tollgate_testkit::{Scratch, repository};

use super::docker::{both, build, docker, done};

/// What the image was made of, so that it is made once.
const LABEL: &str = "tollgate.test";
const ADVICE: &str =
    "where this machine's C library is newer than Debian 12's: docker build --tag tollgate . and set TOLLGATE_IMAGE=tollgate";

/// Its name: `TOLLGATE_IMAGE`, or one that is made of the release binary, as `Dockerfile` says. One name for each
/// working tree, so that old ones do not pile up.
pub(crate) async fn image() -> String {
    if let Some(named) = std::env::var("TOLLGATE_IMAGE").ok().filter(|name| !name.is_empty()) {
        return named;
    }
    let name = format!("tollgate-test-{:016x}", hash_of(&repository()));
    let _turn = turn(&name);
    let label = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    let made = docker(&["image", "inspect", "--format", &label, &name]).output().await.expect("docker is installed");
    let sources = sources();
    if both(&made).trim() != sources {
        make(&name, &sources).await;
    }
    name
}

async fn make(name: &str, sources: &str) {
    let folder = Scratch::new("image").unwrap();
    let stripped = Command::new("strip").arg("--strip-debug").arg("-o").arg(folder.path().join("tollgate")).arg(binary()).status();
    assert!(stripped.expect("strip is installed").success(), "the binary cannot be stripped");
    std::fs::set_permissions(folder.path().join("tollgate"), Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY tollgate /out/tollgate\n").unwrap();
    let binary_image = format!("{name}-binary");
    build(folder.path(), &binary_image, &[]).await;
    let (binary_image, label) = (format!("BINARY_IMAGE={binary_image}"), format!("{LABEL}={sources}"));
    build(&repository(), name, &["--build-arg", &binary_image, "--label", &label]).await;
    let ran = docker(&["run", "--rm", "--network", "none", name, "--version"]).output().await.unwrap();
    assert!(ran.status.success(), "the binary does not run on the image's base: {}\n{ADVICE}", both(&ran));
}

/// Another text wherever the image would be another.
fn sources() -> String {
    let made = std::fs::metadata(binary()).expect("the binary is there");
    let file = std::fs::read_to_string(repository().join("Dockerfile")).expect("Dockerfile can be read");
    format!("{:016x}", hash_of(&(made.len(), made.modified().expect("a time"), binary(), file)))
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
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
