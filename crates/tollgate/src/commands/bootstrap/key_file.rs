//! The file that `--to` names: written whole or not at all, for its owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tollgate_client::RequestId;
use tollgate_keys::ApiKey;

use crate::exit::Failure;

/// A file that is to be written: it is there already under another name, and goes away again
/// where nothing is written.
#[derive(Debug)]
pub(crate) struct KeyFile {
    target: PathBuf,
    draft: PathBuf,
    file: File,
    overwrite: bool,
}

impl KeyFile {
    /// Makes the draft beside the target. Fails where the target is there, unless it is to be
    /// overwritten.
    pub(crate) fn prepare(target: &Path, overwrite: bool) -> Result<Self, Failure> {
        if !overwrite && target.symlink_metadata().is_ok() {
            return Err(exists(target));
        }
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".{}.tmp", RequestId::generate()));
        let draft = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
        let file = file.map_err(|error| failed(target, &error))?;
        Ok(Self { target: target.to_owned(), draft, file, overwrite })
    }

    /// Writes the api key and gives the file its name.
    pub(crate) fn write(mut self, api_key: &ApiKey) -> Result<(), Failure> {
        let written = writeln!(self.file, "{}", api_key.expose().as_str()).and_then(|()| self.file.sync_all());
        let named = written.and_then(|()| self.publish());
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.target),
            _ => failed(&self.target, &error),
        })
    }

    /// A link fails where the name is taken; a new name would take it over.
    fn publish(&self) -> io::Result<()> {
        if self.overwrite { fs::rename(&self.draft, &self.target) } else { fs::hard_link(&self.draft, &self.target) }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        // After a rename it is not there any more, which is as well.
        fs::remove_file(&self.draft).ok();
    }
}

fn exists(target: &Path) -> Failure {
    Failure::other(format!("{} is there already", target.display()), "move it away, name another file, or overwrite it with --force")
}

fn failed(target: &Path, error: &io::Error) -> Failure {
    let what = format!("cannot write {}: {error}", target.display());
    Failure::other(what, "name a file in a directory that this user may write to")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn api_key() -> ApiKey {
        ApiKey::parse("mine:secret").expect("an api key")
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    }

    #[test]
    fn the_file_is_for_its_owner_alone_and_no_draft_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        KeyFile::prepare(&path, false).expect("prepared").write(&api_key()).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "mine:secret\n");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn a_file_that_is_there_is_overwritten_by_force_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, "old").expect("written");
        assert!(KeyFile::prepare(&path, false).is_err());
        assert_eq!(fs::read_to_string(&path).expect("read"), "old");
        KeyFile::prepare(&path, true).expect("prepared").write(&api_key()).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "mine:secret\n");
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn one_that_appears_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let file = KeyFile::prepare(&path, false).expect("prepared");
        fs::write(&path, "other").expect("written");
        assert!(file.write(&api_key()).is_err());
        assert_eq!(fs::read_to_string(&path).expect("read"), "other");
    }

    #[test]
    fn nothing_is_left_of_what_was_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(KeyFile::prepare(&folder.path().join("key"), false).expect("prepared"));
        assert!(names(folder.path()).is_empty());
        assert!(KeyFile::prepare(&folder.path().join("none/key"), false).is_err());
    }
}
