//! Folders that vanish with the process.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Reads until our end of the pipe closes, which it does however this process ends, then cleans.
const JANITOR: &str = r#"
cat >/dev/null
if [ -e "$1/containers" ]; then
    ids=$(docker ps --all --quiet --filter "label=$2=$3")
    [ -z "$ids" ] || docker rm --force --volumes $ids
fi
rm -rf "$1"
"#;

/// The label that containers of this process carry, with [`process_name`] as its value.
pub(crate) const LABEL: &str = "tollgate.testkit";

struct Base {
    folder: PathBuf,
    _janitor: Child,
}

static BASE: OnceLock<Base> = OnceLock::new();

/// A folder for one server or node, removed on drop, or at the latest when the process ends.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes a new folder whose name begins with `name`; other users may read it.
    pub fn new(name: &str) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .permissions(PermissionsExt::from_mode(0o755))
            .tempdir_in(&base()?.folder)
            .context("making a scratch folder")?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn owner(&self) -> Result<u32> {
        Ok(std::fs::metadata(self.path())?.uid())
    }
}

/// The root of the repository that the tests were built from.
pub fn repository() -> PathBuf {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_root.ancestors().nth(2).unwrap_or(crate_root).to_path_buf()
}

/// A word that nothing else uses, on this or any other process of the machine: `<stem>` + letters.
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos() & 0xFFFF_FFFF_FFFF);
    format!("{stem}{:x}_{nanos:x}_{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Marks that containers were started, so that the janitor looks for them.
pub(crate) fn note_containers() -> Result<()> {
    Ok(std::fs::write(base()?.folder.join("containers"), "")?)
}

/// The name under which this process' containers can be found.
pub(crate) fn process_name() -> Result<String> {
    let name = base()?.folder.file_name().context("a scratch folder without a name")?;
    Ok(name.to_string_lossy().into_owned())
}

fn base() -> Result<&'static Base> {
    if let Some(base) = BASE.get() {
        return Ok(base);
    }
    let folder = tempfile::Builder::new().prefix("tollgate-test-").permissions(PermissionsExt::from_mode(0o755)).tempdir()?.keep();
    let janitor = janitor(&folder).context("starting the janitor")?;
    // Of two made at once one is dropped: its pipe closes, and its janitor removes it.
    Ok(BASE.get_or_init(|| Base { folder, _janitor: janitor }))
}

fn janitor(folder: &Path) -> io::Result<Child> {
    let name = folder.file_name().unwrap_or_default();
    Command::new("sh")
        .args(["-c", JANITOR, "janitor"])
        .arg(folder)
        .arg(LABEL)
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_after_its_value() {
        let scratch = Scratch::new("gone").unwrap();
        let path = scratch.path().to_path_buf();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn unique_names_differ() {
        assert_ne!(unique("a"), unique("a"));
    }

    #[test]
    fn the_repository_is_where_the_workspace_is() {
        assert!(repository().join("Cargo.lock").is_file());
    }
}
