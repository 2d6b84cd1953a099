//! A file at once under its name: small ones that are replaced, such as state and metrics, and new ones that take no
//! other's name.
//!
//! Checkpoints are not written by this: `fold_format::save` is.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use fold_format::storage::Storage as _;
use fold_format::{Disk, Misuse};

use crate::error::{DirectoryOperation, Error};

/// What a name begins and ends with until it is the file's own.
const PREFIX: &str = ".fold-write-";
const SUFFIX: &str = ".part";

/// Writes `bytes` under a temporary name in the same directory, flushes them, and gives them the name `path`. Readable
/// by all, as the umask allows: the metrics are another user's business.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Directory {
        operation: DirectoryOperation::Write,
        path: path.into(),
        source,
    };
    let mut file = temporary(path, PREFIX, SUFFIX).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_data().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Has a new file filled under a temporary name, flushes it, and gives it the name `path`, and the directory's names to
/// the disk. Whatever fails, there is no such file.
///
/// # Errors
/// `FOLD-E0003` the name is taken; what `fill` fails with; what the system refuses.
pub(crate) fn create<T>(path: &Path, fill: impl FnOnce(&mut File) -> Result<T, Error>) -> Result<T, Error> {
    let failed = |operation, source| Error::Directory {
        operation,
        path: path.into(),
        source,
    };
    let mut file = temporary(path, PREFIX, SUFFIX).map_err(|error| failed(DirectoryOperation::Write, error))?;
    let filled = fill(file.as_file_mut())?;
    let synced = file.as_file().sync_all();
    synced.map_err(|error| failed(DirectoryOperation::Sync, error))?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::Format(Misuse::TargetExists { path: path.into() }.into()),
        _ => failed(DirectoryOperation::Rename, error.error),
    })?;
    Disk.sync_dir(dir_of(path))
        .map_err(|error| failed(DirectoryOperation::Sync, error))?;
    Ok(filled)
}

/// The directory of a file's name.
pub(crate) fn dir_of(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A file in the directory of `path` that goes when it is dropped.
pub(crate) fn temporary(path: &Path, prefix: &str, suffix: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(suffix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As any new file: the umask takes away what it does.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir_of(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_takes_no_other_name_and_a_failure_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let write = |bytes: &'static [u8]| {
            move |out: &mut File| {
                out.write_all(bytes).unwrap();
                Ok(())
            }
        };
        let failing = create(&path, |_| -> Result<(), Error> {
            Err(fold_format::Error::Cancelled.into())
        });
        assert!(failing.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        create(&path, write(b"one")).unwrap();
        assert_eq!(create(&path, write(b"two")).unwrap_err().exit().number(), 21);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.prom");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 1);
        let taken = dir.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        let error = replace(&taken, b"x").unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        let error = replace(&dir.path().join("absent/file"), b"x").unwrap_err();
        assert_eq!(error.exit().number(), 74, "{error}");
    }
}
