//! Opening and making the file.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use redb::{Database, DatabaseError, backends::FileBackend};

use super::{Fallible, KeyFileError, tables};

const FILE_NAME: &str = "keys.redb";

/// Memory for pages of the file: about 10⁵ keys.
const CACHE_BYTES: usize = 64 << 20;

pub(super) fn open(data_dir: &Path) -> Fallible<(PathBuf, Database)> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyFileError::Open { path, source }
    };
    make_directory(data_dir).map_err(at(data_dir))?;
    let path = data_dir.join(FILE_NAME);
    let file = make_file(&path).map_err(at(&path))?;
    // The name of a new file must outlive a power cut as its content does.
    File::open(data_dir).and_then(|directory| directory.sync_all()).map_err(at(data_dir))?;
    let database = open_database(file, &path)?;
    tables::prepare(&database)?;
    Ok((path, database))
}

fn make_directory(data_dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)
}

/// Hashes of secrets are nobody else's business, whatever the umask or an older copy says.
fn make_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn open_database(file: File, path: &Path) -> Fallible<Database> {
    let opened = FileBackend::new(file).and_then(|backend| Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend));
    opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => KeyFileError::InUse { path: path.to_owned() },
        other => other.into(),
    })
}
