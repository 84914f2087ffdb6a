//! The image's health check asks the node with a credential that is mounted.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tollgate_testkit::{Scratch, eventually};

use super::{docker::Running, image::image};

const SOON: Duration = Duration::from_secs(90);

/// A node alone, with everything taken from it that it can do without, and a check every second.
async fn node(secrets: &Path) -> Running {
    let image = image().await;
    let mount = format!("{}:/run/tollgate:ro", secrets.display());
    let arguments = [
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=none",
        "--tmpfs=/home/nonroot:uid=65532,gid=65532",
        "--env=TOLLGATE_ALLOW_PLAINTEXT=true",
        "--health-interval=1s",
        "--health-timeout=30s",
        "--health-retries=1",
        "--health-start-period=0s",
        "--volume",
        &mount,
        &image,
    ];
    Running::start(&arguments).await
}

async fn becomes(node: &Running, health: &str) {
    let waited = eventually(health, SOON, async || {
        let found = node.inspect("{{.State.Health.Status}}").await;
        anyhow::ensure!(found == health, "it is {found}");
        Ok(())
    });
    if let Err(error) = waited.await {
        panic!("{error:#}: {}\n{}", node.inspect("{{json .State}}").await, node.out().await);
    }
}

/// The admin key that the first start printed.
async fn first_key(node: &Running) -> String {
    let printed = eventually("an admin key", SOON, async || {
        let out = node.out().await;
        let line = out.lines().map(str::trim).find(|line| line.starts_with("tk_"));
        line.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("none in {out:?}"))
    });
    printed.await.unwrap()
}

#[tokio::test]
async fn a_container_is_healthy_with_a_good_credential_alone() {
    let secrets = Scratch::new("secrets").unwrap();
    // The container's user reads it, whatever files are made with here.
    std::fs::set_permissions(secrets.path(), Permissions::from_mode(0o755)).unwrap();
    let node = node(secrets.path()).await;
    let key = first_key(&node).await;
    let mounted = secrets.path().join("health-key");
    becomes(&node, "unhealthy").await;
    std::fs::write(&mounted, format!("{key}\n")).unwrap();
    std::fs::set_permissions(&mounted, Permissions::from_mode(0o644)).unwrap();
    becomes(&node, "healthy").await;
    let (key_id, secret) = key.split_once(':').expect("an api key");
    std::fs::write(&mounted, format!("{key_id}:{}", secret.chars().rev().collect::<String>())).unwrap();
    becomes(&node, "unhealthy").await;
}
